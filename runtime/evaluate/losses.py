"""What a model finds hard: the loss of each sample's answers, with and without what they answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from runtime.errors import StreamError
from runtime.evaluate.model import NOTHING, Model
from runtime.sample import Sample


@dataclass(frozen=True, slots=True)
class Loss:
    """Of one sample: how many tokens are learnt, and their mean cross-entropy in nats; None where there are none."""

    tokens: int
    mean: float | None


class Losses:
    """The losses of samples under a model, on exactly the tokens that training learns."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @torch.inference_mode()
    def of(self, samples: Sequence[Sample]) -> list[Loss]:
        """The loss of each sample's answers, given all that comes before them."""
        batch = self.model.collator(samples)
        inputs = {name: tensor.to(self.model.device) for name, tensor in batch.inputs.items() if name != "labels"}
        logits: Tensor = self.model.model(**inputs, use_cache=False).logits[:, :-1].float()
        labels = batch.inputs["labels"][:, 1:].to(logits.device)
        each = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=NOTHING, reduction="none")
        sums, counts = each.view_as(labels).double().sum(dim=1).tolist(), (labels != NOTHING).sum(dim=1).tolist()
        return [
            Loss(count, total / count if count else None)
            for total, count in zip(sums[: len(samples)], counts[: len(samples)], strict=True)
        ]

    def alone(self, samples: Sequence[Sample]) -> list[Loss]:
        """The loss of the same answers without questions, system texts, tools and media: IFD's denominator."""
        bare = [
            dataclasses.replace(
                sample,
                messages=[message for message in sample.messages if message["role"] == "assistant"],
                media=[],
                tools=None,
            )
            for sample in samples
        ]
        return self.of(bare)


def ifd(conditioned: Loss, alone: Loss, sample: Sample) -> float | None:
    """Instruction-following difficulty (arXiv 2308.12032): loss of the answer given the question / loss of it alone.

    Both are means over the same tokens; other tokens raise `StreamError`, for the ratio would mean nothing. None where
    there is no answer, or where the answer alone is certain.
    """
    if conditioned.tokens != alone.tokens:
        raise StreamError(
            f"position {sample.position:,}: the chat template gives an answer other tokens without its question, so that "
            "there is no IFD; leave out `--ifd`"
        )
    return conditioned.mean / alone.mean if conditioned.mean is not None and alone.mean else None
