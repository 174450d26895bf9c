"""Samples -> a batch: rows of tokens with labels, and the images and videos of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from runtime.collate.encode import NOTHING, Encoded, Encoder, called, shown
from runtime.collate.families import Qwen, Shown
from runtime.collate.places import in_line, in_space
from runtime.decode import Clip, Pixels
from runtime.errors import CollateError
from runtime.sample import Media, Sample

_NO_TOKENS = Encoded(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), ())


@dataclass(frozen=True)
class Batch:
    """What a model takes, and whose it is.

    `inputs` is given to the model as it is; `inputs["labels"]` (rows, tokens) is -100 where nothing is learnt. `owner` has
    the same shape: the index into `samples` of each token, -1 for padding. `cut` is how many tokens each sample lost.
    """

    inputs: dict[str, Any]
    samples: list[Sample]
    owner: Tensor
    cut: list[int]

    def to(self, device: torch.device) -> dict[str, Any]:
        """`inputs` with their tensors on a device."""
        return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in self.inputs.items()}


@dataclass(frozen=True, slots=True)
class _Read:
    """A sample as tokens, what it shows with the pixels ([frames,] height, width, 3), and how many tokens were cut off."""

    encoded: Encoded
    shown: list[tuple[Shown, Pixels]]
    cut: int


class Collator:
    """Makes batches for a processor of the LLaVA, Idefics3, SmolVLM or Qwen-VL family. Safe to pickle and to fork.

    `max_tokens` is the most that a sample may have: a longer one raises `CollateError`, or with `truncate` loses its end
    (images that do not fit whole are left out with what follows them, and `Batch.cut` says how much was lost).
    `pad_to_multiple_of` is for kernels that like round lengths. With `video_frames` at most that many
    frames are shown of a video, spread evenly over it: as a video where the model takes videos (Qwen-VL), and else as that
    many images. Without, a sample with a video raises.

    A list of lists is a batch of packs: one row each, where a sample sees only itself and its positions begin at 0. The
    inputs then have `position_ids` and no `attention_mask`, from which transformers makes the mask for `sdpa`, `eager` and
    `flex_attention`; it looks only where there is no cache, so `use_cache` is False among the inputs. Flash attention looks
    only into a batch of one row: ask for `one_row`, which puts all packs behind each other.
    """

    def __init__(
        self,
        processor: Any,
        *,
        max_tokens: int | None = None,
        truncate: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: Literal["left", "right"] = "right",
        one_row: bool = False,
        video_frames: int | None = None,
    ) -> None:
        self.encoder = Encoder(processor)
        self.max_tokens = max_tokens
        self.truncate = truncate
        self.pad_to_multiple_of = pad_to_multiple_of
        self.padding_side = padding_side
        self.one_row = one_row
        self.video_frames = video_frames
        if processor.tokenizer.pad_token_id is None:
            raise CollateError("the tokenizer has no padding token; set `tokenizer.pad_token`")
        self.pad = int(processor.tokenizer.pad_token_id)

    def __call__(self, samples: Sequence[Sample] | Sequence[Sequence[Sample]]) -> Batch:
        """A row for each sample, or for each pack. A tombstone has no tokens; a row without tokens is padding alone."""
        packed = bool(samples) and not isinstance(samples[0], Sample)
        packs: list[list[Sample]] = [list(pack) if packed else [pack] for pack in samples]  # type: ignore[arg-type,list-item]
        if packed and self.one_row:
            packs = [[sample for pack in packs for sample in pack]]
        rows = [[self._read(sample) for sample in pack] for pack in packs]
        lengths = [sum(len(read.encoded) for read in row) for row in rows]
        width = _up_to_multiple(max([1, *lengths]), self.pad_to_multiple_of)
        shape = (max(1, len(rows)), width)
        starts = [0 if self.padding_side == "right" else width - length for length in lengths]

        tokens, labels = np.full(shape, self.pad, np.int64), np.full(shape, NOTHING, np.int64)
        owner, kinds = np.full(shape, -1, np.int64), np.zeros(shape, np.int64)
        number = 0
        for row, start, line in zip(rows, starts, range(len(rows)), strict=True):
            for read in row:
                at = slice(start, start + len(read.encoded))
                tokens[line, at], labels[line, at] = read.encoded.tokens, read.encoded.labels
                owner[line, at], kinds[line, at] = number, read.encoded.kinds
                if len(read.encoded):
                    labels[line, start] = NOTHING  # Nothing before it is its own.
                start, number = at.stop, number + 1

        family = self.encoder.family
        pictures = [[pixels for read in row for one, pixels in read.shown if not isinstance(one, Clip)] for row in rows]
        media = family.tensors(pictures) if any(pictures) else {}
        videos = [(one, frames) for row in rows for read in row for one, frames in read.shown if isinstance(one, Clip)]
        if videos and isinstance(family, Qwen):
            media |= family.video_tensors(videos)
        inputs: dict[str, Any] = {"input_ids": torch.from_numpy(tokens), "labels": torch.from_numpy(labels)}
        if packed:
            inputs |= {"position_ids": self._places(rows, starts, width), "use_cache": False}
        else:
            seen = owner >= 0
            seen[:, 0 if self.padding_side == "right" else -1] = True  # A row that sees nothing has no softmax.
            inputs["attention_mask"] = torch.from_numpy(seen.astype(np.int64))
            if isinstance(family, Qwen):
                inputs["mm_token_type_ids"] = torch.from_numpy(kinds)
        flat = [
            (sample, read)
            for pack, row in zip(packs, rows, strict=True)
            for sample, read in zip(pack, row, strict=True)
        ]
        return Batch(
            inputs | media, [sample for sample, _ in flat], torch.from_numpy(owner), [read.cut for _, read in flat]
        )

    def _places(self, rows: list[list[_Read]], starts: list[int], width: int) -> Tensor:
        """`position_ids` of packs: (rows, tokens), or (4, rows, tokens) where places have three dimensions."""
        family = self.encoder.family
        spatial = isinstance(family, Qwen)
        places = np.empty((4 if spatial else 1, len(rows), width), np.int64)
        for line, (row, start) in enumerate(zip(rows, starts, strict=True)):
            places[:, line, :start] = in_line(start)
            for read in row:
                encoded, at = read.encoded, slice(start, start + len(read.encoded))
                if isinstance(family, Qwen):
                    blocks = family.blocks(encoded.images, [one for one, _ in read.shown], encoded.kinds)
                    places[:, line, at] = in_space(len(encoded), blocks)
                else:
                    places[:, line, at] = in_line(len(encoded))
                start = at.stop
            places[:, line, start:] = in_line(width - start)
        return torch.from_numpy(places if spatial else places[0])

    def _read(self, sample: Sample) -> _Read:
        if sample.tombstone is not None:
            return _Read(_NO_TOKENS, [], 0)
        groups = [self._shown(media, sample) for media in shown(sample)]
        whole = self.encoder.encode(sample, [[one for one, _ in group] for group in groups])
        every = [pair for group in groups for pair in group]
        if self.max_tokens is None or len(whole) <= self.max_tokens:
            return _Read(whole, every, 0)
        if not self.truncate:
            raise CollateError(
                f"{called(sample)} has {len(whole):,} tokens, and {self.max_tokens:,} are the most a sample may have; leave it "
                "out with a rule of the recipe, or ask for `truncate`"
            )
        kept = self.encoder.cut(whole, self.max_tokens)
        return _Read(kept, every[: len(kept.images)], len(whole) - len(kept))

    def _shown(self, media: Media, sample: Sample) -> list[tuple[Shown, Pixels]]:
        """An image, a video, or the frames of one as images, each with its pixels."""
        if media.kind == "image":
            pixels = media.pixels()
            return [((pixels.shape[0], pixels.shape[1]), pixels)]
        if self.video_frames is None:
            raise CollateError(
                f"{called(sample)} has a video; say with `video_frames` (`--video-frames` of a command) how many of its "
                "frames are shown, or leave such samples out with `filter: [videos == 0]`"
            )
        clip = media.clip(self.video_frames)
        frames = media.frames(clip)
        as_shown = self.encoder.family.as_shown(clip)
        return [(clip, frames)] if as_shown == [clip] else list(zip(as_shown, frames, strict=True))


def _up_to_multiple(length: int, multiple: int | None) -> int:
    return length if multiple is None else -(-length // multiple) * multiple
