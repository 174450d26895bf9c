"""Local files, read by threads of the Rust core."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler.errors import ManifestCorrupt, RecipeError
from recipe_compiler.kernels import KernelError
from recipe_compiler.threads import ReadBatch, ReadPool
from runtime.errors import StreamError
from runtime.readahead.fetch import Batches, Failed, Fetched
from runtime.readahead.sample import Shared, ahead
from runtime.reader import Reader
from runtime.sample import of_media, of_record

#: Samples that are asked for ahead, as far as the memory allows.
_AHEAD = 128
#: At least so many batches are asked for ahead.
_LEAST_BATCHES = 2


class LocalFetch:
    """Reads local files by a pool of threads in the Rust core; every iterator has a pool of its own, made when it begins.

    `memory` bounds the bytes that wait to be handed over, besides the batch that is next. With `check` each record is
    proved to be the one that was compiled, as `Reader` does.
    """

    def __init__(self, reader: Reader, *, threads: int, memory: int, check: bool) -> None:
        self.reader = reader
        self.threads = threads
        self.memory = memory
        self.check = check

    def read(self, batches: Iterable[Sequence[int]]) -> Batches:
        """The samples of each batch, in order. A draw that cannot be read is `Failed`; a changed file raises `DataError`."""
        process, coming = os.getpid(), iter(batches)
        pool = ReadPool(threads=self.threads, limit=self.memory, root=self.reader.root)
        sources = _Sources(self.reader, pool)
        asked: deque[tuple[Sequence[int], dict[str, NDArray[Any]]] | RecipeError] = deque()
        try:
            depth = 1
            while True:
                if os.getpid() != process:
                    raise StreamError("this iterator was begun in another process; begin one in each")
                for positions in islice(coming, depth - len(asked)):
                    try:
                        asked.append((positions, self._ask(pool, sources, positions)))
                    except RecipeError as error:
                        # The batches before it are whole: it is told when its turn comes.
                        asked.append(error)
                        coming = iter(())
                if not asked:
                    return
                head = asked.popleft()
                if isinstance(head, RecipeError):
                    raise head
                yield self._samples(*head, pool.next())
                # The first batch is not kept waiting for others.
                depth = max(_LEAST_BATCHES, min(2 * depth, _AHEAD // max(1, len(head[0]))))
        finally:
            pool.close()

    def _ask(self, pool: ReadPool, sources: _Sources, positions: Sequence[int]) -> dict[str, NDArray[Any]]:
        rows = self.reader.rows(positions)
        if positions:
            pool.submit(
                source=sources.numbers(rows["source"], rows["pool"]),
                offset=rows["offset"],
                length=rows["length"],
                images=rows["images"],
                ids=rows["sample_id"] if self.check else None,
            )
        else:
            nothing = np.empty(0, dtype=np.uint64)
            few = np.empty(0, dtype=np.uint32)
            pool.submit(source=few, offset=nothing, length=nothing, images=few, ids=None)
        return rows

    def _samples(self, positions: Sequence[int], rows: dict[str, NDArray[Any]], batch: ReadBatch) -> Fetched:
        shared = Shared(self.reader, positions, rows, batch)
        samples = ahead(shared, len(positions))
        for place, path, reason, is_record in batch.faults():
            position = positions[place]
            where = of_record(position, int(rows["offset"][place]), reason) if is_record else of_media(position, reason)
            samples[place] = Failed(position, path, where)
        return samples


class _Sources:
    """The numbers that a pool of threads knows sources by. A file is looked at when it is first drawn from."""

    def __init__(self, reader: Reader, pool: ReadPool) -> None:
        self._reader = reader
        self._pool = pool
        self._pools = len(reader.manifest.pools)
        self._known = np.full(len(reader.sources) * self._pools, -1, dtype=np.int64)

    def numbers(self, source: NDArray[np.uint32], pool: NDArray[np.uint32]) -> NDArray[np.uint32]:
        codes = source.astype(np.int64) * self._pools + pool
        found = self._known[codes]
        if (found < 0).any():
            for code in np.unique(codes[found < 0]).tolist():
                self._known[code] = self._add(*divmod(code, self._pools))
            found = self._known[codes]
        numbers: NDArray[np.uint32] = found.astype(np.uint32)
        return numbers

    def _add(self, source: int, pool: int) -> int:
        reader = self._reader
        ref, of = reader.place(source, pool)
        stream, size = reader.stream_of(ref)
        media = reader.root / (of.media or "")
        try:
            return self._pool.add(ref.path, stream, size=size, media=media, layout=ref.layout, fields=of.fields)
        except KernelError as error:
            raise ManifestCorrupt(str(reader.folder), f"how `{ref.path}` is read makes no sense ({error})") from None
