"""A vision-language model that answers questions, greedily, in batches that are padded on the left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from recipe_compiler.kernels import digest_file, digest_parts
from runtime.collate import load_processor
from runtime.collate.encode import NOTHING, Encoder
from runtime.errors import StreamError
from runtime.evaluate.questions import Question
from runtime.reader import Sample
from runtime.tiny import load_model

See: TypeAlias = Callable[[Sample, int, Any], Any]

#: What decides a model's answers; not logs, optimizers and states beside it.
_OF_A_MODEL = ("*.safetensors", "*config.json", "*.index.json", "*.jinja", "*.model", "merges.txt")
_OF_A_TOKENIZER = ("tokenizer.json", "vocab.json", "chat_template.json", "special_tokens_map.json", "added_tokens.json")


def digest(folder: Path) -> str:
    """A digest of a model's files: names and contents. Raises `StreamError` where there are no safetensors."""
    files = sorted({path for pattern in (*_OF_A_MODEL, *_OF_A_TOKENIZER) for path in folder.glob(pattern)})
    if not any(path.suffix == ".safetensors" for path in files):
        raise StreamError(f"{folder}: has no weights as safetensors; save the model with `save_pretrained`")
    return digest_parts("model", [part.encode() for path in files for part in (path.name, digest_file(path))])


class Model:
    """A model of the families that `runtime.collate` knows, in evaluation mode, on a GPU where there is one."""

    def __init__(self, model: Any, processor: Any, digest: str) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()
        self.processor = processor
        self.encoder = Encoder(processor)
        self.digest = digest
        pad = processor.tokenizer.pad_token_id
        self.pad = int(processor.tokenizer.eos_token_id if pad is None else pad)

    @staticmethod
    def load(folder: Path) -> Model:
        """A model and its processor from a folder: no network, no pickle, no code of the folder."""
        disable_progress_bar()
        processor = load_processor(folder)
        identity = digest(folder)
        return Model(load_model(folder, use_safetensors=True, dtype="auto"), processor, identity)

    @torch.inference_mode()
    def answer(self, questions: Sequence[Question], *, max_new_tokens: int, see: See | None = None) -> list[str]:
        """The greedy answer to each question, without special tokens and white space at its ends.

        `see` gives the picture to show in place of an RGB one: (sample, number of the picture, picture) -> picture.
        """
        prompts, images = zip(*(self._prompt(question.sample, see) for question in questions), strict=True)
        inputs = self._padded(prompts)
        if any(images):
            inputs |= self.encoder.family.tensors(list(images))
        inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        made = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self.pad,
        )
        new = made[:, inputs["input_ids"].shape[1] :].tolist()
        return [self.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip() for tokens in new]

    def _prompt(self, sample: Sample, see: See | None) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], list[Any]]:
        """The tokens (and their kinds) up to where an answer begins, exactly as training has them, and the images."""
        images = [
            sample.media[part["media"]].image().convert("RGB")
            for message in sample.messages
            for part in message["content"]
            if part["type"] == "image"
        ]
        if see is not None:
            images = [see(sample, number, image) for number, image in enumerate(images)]
        said = {"role": "assistant", "content": [{"type": "text", "text": "."}]}
        whole = self.encoder.encode(
            dataclasses.replace(sample, messages=[*sample.messages, said]),
            [(image.height, image.width) for image in images],
        )
        learnt = np.flatnonzero(whole.labels != NOTHING)
        breaks = np.flatnonzero(np.diff(learnt) != 1)
        start = int(learnt[breaks[-1] + 1] if len(breaks) else learnt[0])
        return (whole.tokens[:start], whole.kinds[:start]), images

    def _padded(self, prompts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> dict[str, Tensor]:
        length = max(len(tokens) for tokens, _ in prompts)
        shape = (len(prompts), length)
        ids, kinds, seen = np.full(shape, self.pad), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, (tokens, kind) in enumerate(prompts):
            at = slice(length - len(tokens), length)
            ids[row, at], kinds[row, at], seen[row, at] = tokens, kind, 1
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(seen)}
        return inputs | ({"mm_token_type_ids": torch.from_numpy(kinds)} if self.encoder.family.takes_grids else {})
