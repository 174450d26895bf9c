"""Samples -> a batch: rows of tokens with labels, and the images of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from runtime.collate.encode import NOTHING, Encoded, Encoder, up_to_multiple
from runtime.errors import CollateError
from runtime.reader import Sample


@dataclass(frozen=True)
class Batch:
    """What a model takes, and whose it is.

    `inputs` is given to the model as it is; `inputs["labels"]` (rows, tokens) is -100 where nothing is learnt. `owner` has
    the same shape: the index into `samples` of each token, -1 for padding. `cut` is how many tokens each sample lost.
    """

    inputs: dict[str, Tensor]
    samples: list[Sample]
    owner: Tensor
    cut: list[int] = field(default_factory=list)


class Collator:
    """Makes batches for a processor of the LLaVA, Idefics3, SmolVLM or Qwen-VL family. Safe to pickle."""

    def __init__(
        self,
        processor: Any,
        *,
        max_tokens: int | None = None,
        truncate: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: Literal["left", "right"] = "right",
    ) -> None:
        self.encoder = Encoder(processor)
        self.max_tokens = max_tokens
        self.truncate = truncate
        self.pad_to_multiple_of = pad_to_multiple_of
        self.padding_side = padding_side
        pad = processor.tokenizer.pad_token_id
        if pad is None:
            raise CollateError("the tokenizer has no padding token; set `tokenizer.pad_token`")
        self.pad = int(pad)

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """A row for each sample. A tombstone is a row of padding; an empty part is one such row."""
        rows, pictures, cut = [], [], []
        for sample in samples:
            encoded, images, lost = self._read(sample)
            rows.append(encoded)
            pictures.append(images)
            cut.append(lost)
        length = up_to_multiple(max((len(row) for row in rows), default=0) or 1, self.pad_to_multiple_of)
        shape = (max(len(rows), 1), length)
        tokens, labels = np.full(shape, self.pad), np.full(shape, NOTHING)
        owner, kinds, seen = np.full(shape, -1), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        seen[:, 0 if self.padding_side == "right" else -1] = 1  # A row that sees nothing has no softmax.
        for number, row in enumerate(rows):
            at = slice(0, len(row)) if self.padding_side == "right" else slice(length - len(row), length)
            tokens[number, at], labels[number, at], kinds[number, at] = row.tokens, row.labels, row.kinds
            owner[number, at], seen[number, at] = number, 1
        inputs = {
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(seen),
            "labels": torch.from_numpy(labels),
        }
        if self.encoder.family.takes_grids:
            inputs["mm_token_type_ids"] = torch.from_numpy(kinds)
        if any(pictures):
            inputs |= self.encoder.family.tensors(pictures)
        return Batch(inputs, list(samples), torch.from_numpy(owner), cut)

    def _read(self, sample: Sample) -> tuple[Encoded, list[Any], int]:
        if sample.tombstone is not None:
            nothing = np.empty(0, np.int64)
            return Encoded(nothing, nothing, nothing, ()), [], 0
        images = [
            sample.media[part["media"]].image().convert("RGB")
            for message in sample.messages
            for part in message["content"]
            if part["type"] == "image"
        ]
        whole = self.encoder.encode(sample, [(image.height, image.width) for image in images])
        if self.max_tokens is None or len(whole) <= self.max_tokens:
            return whole, images, 0
        if not self.truncate:
            raise CollateError(
                f"sample {sample.sample_id[:12]} at position {sample.position:,} has {len(whole):,} tokens, and a sample may "
                f"have {self.max_tokens:,}; leave it out with a rule of the recipe, or ask for `truncate`"
            )
        kept = self.encoder.cut(whole, self.max_tokens)
        return kept, images[: len(kept.images)], len(whole) - len(kept)
