"""How samples are read, as one value, and what becomes of those that cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal

from recipe_compiler.errors import DataError
from runtime.errors import StreamError
from runtime.readahead.fetch import Failed, threads_here
from runtime.readahead.local import LocalFetch
from runtime.readahead.pixels import PixelsAhead
from runtime.readahead.stores import RemoteFetch
from runtime.reader import Reader
from runtime.sample import Sample, of_media

OnError = Literal["raise", "tombstone"]
#: What may wait to be handed over, unless another bound is given.
MEMORY = 128 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How samples are read.

    `decode` decodes images ahead (`Media.pixels`); `check` proves that each record is the one that was compiled;
    `on_error` says whether a sample that cannot be read or decoded raises `DataError` or becomes a tombstone. `threads`
    (0: as many as there are processors) read, the one that waits for samples among them, and as many decode; `memory`
    bounds the bytes of records, and of pixels, that wait to be handed over. A file of a pool that is not the one that was
    compiled raises in any case.
    """

    decode: bool = False
    check: bool = True
    on_error: OnError = "raise"
    threads: int = 0
    memory: int = MEMORY

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "tombstone"):
            raise StreamError(f"on_error is `raise` or `tombstone`, not `{self.on_error}`")
        if self.threads < 0 or self.memory < 0:
            raise StreamError("threads and memory are not less than nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was handed over: tombstones as (position, reason), and how many pictures each decoder decoded ahead."""

    tombstones: list[tuple[int, str]] = field(default_factory=list)
    decoders: Counter[str] = field(default_factory=Counter)


def read(
    reader: Reader, batches: Iterable[Sequence[int]], how: Reading, told: Told
) -> Generator[list[Sample], None, None]:
    """The samples of batches of positions, in order, read ahead; what is handed over is told.

    A sample that cannot be read raises `DataError` when its batch would be handed over, with the file and the position.
    """
    threads = how.threads or threads_here()
    if reader.is_remote:
        fetched = RemoteFetch(reader, memory=how.memory).read(batches)
    else:
        fetched = LocalFetch(reader, threads=threads, memory=how.memory, check=how.check).read(batches)
    if how.decode:
        pixels = PixelsAhead(threads=threads, memory=how.memory)
        pixels.counts = told.decoders
        fetched = pixels.read(fetched)
    with closing(fetched):
        for batch in fetched:
            samples = [sample if isinstance(sample, Sample) else _failed(reader, sample, how) for sample in batch]
            del batch
            told.tombstones.extend(buried(samples))
            yield samples
            # What was handed over is not kept while the next batch is waited for.
            del samples


def read_some(reader: Reader, positions: Sequence[int], how: Reading) -> list[Sample]:
    """Some samples, at once and in this thread, as `read` gives them: for loaders with workers of their own."""
    fetched = RemoteFetch(reader).batch(positions) if reader.is_remote else [_tried(reader, it) for it in positions]
    tried = [_decoded(sample) for sample in fetched] if how.decode else fetched
    return [sample if isinstance(sample, Sample) else _failed(reader, sample, how) for sample in tried]


def _tried(reader: Reader, position: int) -> Sample | Failed:
    try:
        return reader.sample(position)
    except DataError as error:
        return Failed(position, error.path, error.reason)


def _decoded(sample: Sample | Failed) -> Sample | Failed:
    if isinstance(sample, Failed):
        return sample
    try:
        media = [replace(it, decoded=it.pixels()) if it.kind == "image" else it for it in sample.media]
    except DataError as error:
        return Failed(sample.position, error.path, of_media(sample.position, error.reason))
    return replace(sample, media=media)


def buried(samples: Iterable[Sample]) -> list[tuple[int, str]]:
    """The tombstones among samples: (position, reason)."""
    return [(sample.position, sample.tombstone) for sample in samples if sample.tombstone is not None]


def _failed(reader: Reader, sample: Failed, how: Reading) -> Sample:
    if how.on_error == "raise":
        raise DataError(sample.path, sample.reason)
    return reader.tombstone(sample.position, f"{sample.path}: {sample.reason}")
