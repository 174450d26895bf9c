"""A vision-language model that answers questions, greedily, in batches that are padded on the left."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from recipe_compiler.kernels import digest_file, digest_parts
from runtime.collate import Collator, load_processor
from runtime.errors import StreamError
from runtime.evaluate.questions import Question
from runtime.models import load_model

#: The label of a token that is not learnt.
NOTHING = -100
#: What decides a model's answers; not logs, optimizers and states beside it.
_OF_A_MODEL = ("*.safetensors", "*config.json", "*.index.json", "*.jinja", "*.model", "merges.txt")
_OF_A_TOKENIZER = ("tokenizer.json", "vocab.json", "chat_template.json", "special_tokens_map.json", "added_tokens.json")
#: What the assistant says where its answer is asked for; what it says is cut off.
_SAID = {"role": "assistant", "content": [{"type": "text", "text": "."}]}
_BY_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids")


def digest(folder: Path) -> str:
    """A digest of a model's files: names and contents. Raises `StreamError` where there are no safetensors."""
    files = sorted({path for pattern in (*_OF_A_MODEL, *_OF_A_TOKENIZER) for path in folder.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise StreamError(f"{folder}: has no weights as safetensors; save the model with `save_pretrained`")
    return digest_parts("model", [part.encode() for path in files for part in (path.name, digest_file(path))])


class Model:
    """A model of the families that `runtime.collate` knows, in evaluation mode, on a GPU where there is one."""

    def __init__(self, model: Any, processor: Any, digest: str, video_frames: int | None = None) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()
        self.processor = processor
        self.collator = Collator(processor, video_frames=video_frames)
        self.digest = digest

    @staticmethod
    def load(folder: Path, *, video_frames: int | None = None) -> Model:
        """A model and its processor from a folder: no network, no pickle, no code of the folder.

        At most `video_frames` frames are shown of a video, as by a `Collator`; without, a video raises.
        """
        disable_progress_bar()
        processor = load_processor(folder)
        identity = digest(folder)
        return Model(load_model(folder, dtype="auto"), processor, identity, video_frames)

    @torch.inference_mode()
    def answer(self, questions: Sequence[Question], *, max_new_tokens: int) -> list[str]:
        """The greedy answer to each question, without special tokens and white space at its ends."""
        inputs = {name: tensor.to(self.device) for name, tensor in self._prompts(questions).items()}
        made = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self.processor.tokenizer.pad_token_id,
        )
        new = made[:, inputs["input_ids"].shape[1] :].tolist()
        return [self.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip() for tokens in new]

    def _prompts(self, questions: Sequence[Question]) -> dict[str, Tensor]:
        """Exactly what training has up to where the last answer begins, each row moved to the right end."""
        samples = [question.sample for question in questions]
        inputs = self.collator(
            [dataclasses.replace(sample, messages=[*sample.messages, _SAID]) for sample in samples]
        ).inputs
        starts = [_last_answer(labels) for labels in inputs["labels"]]
        width = max(starts)
        found = {name: tensor for name, tensor in inputs.items() if name not in (*_BY_TOKEN, "labels")}
        for name in _BY_TOKEN:
            if name in inputs:
                fill = self.processor.tokenizer.pad_token_id if name == "input_ids" else 0
                moved = torch.full((len(starts), width), fill, dtype=torch.long)
                for row, start in enumerate(starts):
                    moved[row, width - start :] = inputs[name][row, :start]
                found[name] = moved
        return found


def _last_answer(labels: Tensor) -> int:
    """Where the last run of labels begins. Shape (tokens,)."""
    learnt = (labels != NOTHING).nonzero().flatten()
    breaks = (learnt.diff() != 1).nonzero().flatten()
    return int(learnt[breaks[-1] + 1] if len(breaks) else learnt[0])
