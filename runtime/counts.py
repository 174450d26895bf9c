"""Exact tokens of samples for one processor, from their texts, the sizes of their images and the frames of their videos.

They are counted by the very code that makes batches, so that they are what a batch has; no picture is decoded, and of videos
the frames are counted.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.errors import RecipeError
from runtime.collate.encode import Encoder, called, shown
from runtime.collate.families import Shown
from runtime.collate.processors import load_processor
from runtime.reader import Reader
from runtime.sample import Media, Sample

#: Files of a processor that say how many tokens a sample has.
_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
)
#: Samples that a process counts at a time.
_AT_A_TIME = 256
#: A process takes seconds to begin: it is to have something to do.
_WORTH_A_PROCESS = 10_000

_counter: Any = None


@dataclass(frozen=True, slots=True)
class Counts:
    """`tokens` and `image_tokens` (samples) of the draws of a manifest, under their `ids` (samples, 16) and `pools`."""

    ids: NDArray[np.uint8]
    pools: NDArray[np.uint32]
    tokens: NDArray[np.uint32]
    image_tokens: NDArray[np.uint32]

    def of_samples(self, names: list[str]) -> Counts:
        """Each sample once. Raises `RecipeError` where one comes to several numbers in different pools (`names`)."""
        _, first, which = np.unique(self.ids.view("V16").ravel(), return_index=True, return_inverse=True)
        for counts in (self.tokens, self.image_tokens):
            other = np.flatnonzero(counts != counts[first][which])
            if len(other):
                pair = names[self.pools[other[0]]], names[self.pools[first[which[other[0]]]]]
                raise RecipeError(
                    f"sample {self.ids[other[0]].tobytes().hex()[:12]} has other tokens in pool `{pair[0]}` than in pool "
                    f"`{pair[1]}`: its images have the same names and other sizes; count the pools in recipes of their own"
                )
        kept = np.sort(first)
        return Counts(self.ids[kept], self.pools[kept], self.tokens[kept], self.image_tokens[kept])


def processor_digest(folder: Path) -> str:
    """The digest of all files of a processor that say how many tokens a sample has."""
    parts = []
    for name in _FILES:
        path = folder / name
        if path.is_file():
            parts += [name.encode(), path.read_bytes()]
    return kernels.digest_parts("processor", parts)


def count(
    reader: Reader,
    processor: Path,
    *,
    workers: int | None,
    told: Callable[[int, int], None],
    video_frames: int | None = None,
) -> Counts:
    """The tokens of every draw of a manifest, in `workers` processes (0: in this one; None: as many as are worth it).

    At most `video_frames` frames are shown of a video, as by a `Collator`; without, a sample with a video raises. `told` is called with (draws counted, draws). A sample that cannot be read or encoded raises `RecipeError`.
    """
    total = len(reader)
    if workers is None:
        workers = min(multiprocessing.cpu_count(), total // _WORTH_A_PROCESS)
    found = Counts(np.empty((total, 16), np.uint8), *(np.empty(total, np.uint32) for _ in range(3)))
    done = 0
    for part in _parts(partial(_Counter, reader, processor, video_frames), workers, range(0, total, _AT_A_TIME)):
        at = slice(done, done + len(part.ids))
        found.ids[at], found.pools[at], found.tokens[at], found.image_tokens[at] = (
            part.ids,
            part.pools,
            part.tokens,
            part.image_tokens,
        )
        done = at.stop
        told(done, total)
    return found


def _parts(counter: Callable[[], _Counter], workers: int, starts: range) -> Iterator[Counts]:
    if not workers:
        yield from map(partial(_count_part, counter()), starts)
        return
    # A child that is forked would share locks of threads that it does not have.
    with multiprocessing.get_context("spawn").Pool(workers, _begin, (counter,)) as pool:
        yield from pool.imap(_count_in_process, starts)


class _Counter:
    """What counts in one process."""

    def __init__(self, reader: Reader, processor: Path, video_frames: int | None) -> None:
        self.reader = reader
        self.video_frames = video_frames
        self.encoder = Encoder(load_processor(processor))

    def counted(self, position: int) -> tuple[int, int, int]:
        """(number of the pool, tokens, image tokens) of a draw."""
        sample = self.reader.sample(position)
        encoded = self.encoder.encode(sample, [self._as_shown(media, sample) for media in shown(sample)])
        return int(self.reader.row(position)["pool"]), len(encoded), encoded.image_tokens

    def _as_shown(self, media: Media, sample: Sample) -> list[Shown]:
        if media.kind == "image":
            return [media.size()]
        if self.video_frames is None:
            raise RecipeError(
                f"{called(sample)} has a video; say with `--video-frames` how many of its frames are shown, or leave its "
                "pool out of the recipe"
            )
        return self.encoder.family.as_shown(media.clip(self.video_frames))


def _begin(counter: Callable[[], _Counter]) -> None:
    global _counter
    _counter = counter()


def _count_in_process(start: int) -> Counts:
    return _count_part(_counter, start)


def _count_part(counter: _Counter, start: int) -> Counts:
    positions = range(start, min(start + _AT_A_TIME, len(counter.reader)))
    ids = np.frombuffer(b"".join(bytes(counter.reader.row(at)["sample_id"]) for at in positions), np.uint8)
    rows = np.array([counter.counted(position) for position in positions], np.uint32)
    return Counts(ids.reshape(-1, 16), rows[:, 0], rows[:, 1], rows[:, 2])
