"""Threads of the Rust core, which read ahead of who asks. Beside `kernels`, the other door to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import _core
from recipe_compiler.kernels import U8, U32, U64
from recipe_compiler.scanning import Json, json_text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """A batch that was read. Bytes of media are views of its memory, which lives until the last of them is gone."""

    batch: _core.Batch

    def faults(self) -> list[tuple[int, str, str, bool]]:
        """Samples that cannot be read: (place in the batch, path, reason, whether it is the record that is wrong)."""
        return self.batch.faults()

    def content(self, place: int) -> dict[str, Any]:
        """The canonical form of a sample, as `SampleParts.content`."""
        content: dict[str, Any] = json.loads(self.batch.content(place))
        return content

    def media(self) -> tuple[list[str], list[str | None], list[memoryview | None], list[int]]:
        """The media of all samples in order, as columns: kinds, paths of files that are named, bytes that were read.

        The last list has how many belong to each sample and those before it.
        """
        return self.batch.media()


class ReadPool:
    """Threads that read the records of coming batches, and the pictures beside them, in the order they are asked for.

    One of the `threads` is the one that takes batches: where it would wait it reads. There is another one in any case. Of
    what nobody took yet at most `limit` bytes are held, besides the batch that comes next. The threads are of the
    process that made the pool; in one that was forked off every call but `close` raises `KernelError`.
    """

    def __init__(self, *, threads: int, limit: int, root: Path) -> None:
        self._pool = _core.Pool(threads, limit, root)

    def add(
        self, of: tuple[int, int], name: str, stream: Path, *, size: int, media: Path, layout: Json, fields: Json
    ) -> None:
        """Makes a record stream of `size` bytes known, by its source and pool. Messages call it `name`; media lie below a folder."""
        self._pool.add(of, (name, stream, size, media), json_text(layout), json_text(fields))

    def submit(
        self, *, source: U32, pool: U32, offset: U64, length: U64, images: U32, ids: NDArray[Any] | None
    ) -> list[tuple[int, int]]:
        """Asks for a batch: a row for each record. Ids (16-byte items) are proved where they are given.

        Gives the (source, pool) that are not known, in order; where there are any, nothing was asked for.
        """
        proved = None if ids is None else np.ascontiguousarray(ids).view(np.uint8)
        whole = np.ascontiguousarray
        rows = (whole(source), whole(pool), whole(offset), whole(length), whole(images), proved)
        return sorted(self._pool.submit(rows))

    def next(self) -> ReadBatch:
        """The next batch, however long it takes; a signal that came meanwhile is handled."""
        return ReadBatch(self._pool.next())

    def close(self) -> None:
        """Ends the threads, and waits for what they are doing just now."""
        self._pool.close()


class Spare:
    """Memory that is used again, of which at most `limit` bytes are kept: touching fresh memory is slow."""

    def __init__(self, limit: int) -> None:
        self._spare = _core.Spare(limit)

    def lend(self, size: int) -> U8:
        """`size` bytes of any content, which go back when the array and all views of it are gone."""
        return self._spare.lend(size)


def filled(of: type[T], **slots: list[Any]) -> list[T]:
    """New objects of a class, one for each row of columns of the same length, with slots filled from them.

    It calls no `__init__` and minds no frozenness: it is for values of our own of which there are very many.
    """
    return _core.filled(of, list(slots.items()))


def parted(values: list[T], ends: list[int]) -> list[list[T]]:
    """A list for each end: what lies between it and the one before it."""
    return _core.parted(values, ends)
