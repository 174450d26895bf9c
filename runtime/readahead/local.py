"""Local files, read by threads of the Rust core."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from recipe_compiler.errors import ManifestCorrupt, RecipeError
from recipe_compiler.kernels import KernelError
from recipe_compiler.threads import ReadBatch, ReadPool
from runtime.errors import StreamError
from runtime.readahead.fetch import Batches, Failed, Fetched
from runtime.readahead.sample import Shared, ahead
from runtime.reader import Reader, Rows
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
        asked: deque[tuple[Sequence[int], Rows] | RecipeError] = deque()
        try:
            depth = 1
            while True:
                if os.getpid() != process:
                    raise StreamError("this iterator was begun in another process; begin one in each")
                for positions in islice(coming, max(0, depth - len(asked))):
                    try:
                        asked.append((positions, self._ask(pool, positions)))
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

    def _ask(self, pool: ReadPool, positions: Sequence[int]) -> Rows:
        rows = self.reader.rows(positions)
        if not positions:
            nothing, few = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32)
            pool.submit(source=few, pool=few, offset=nothing, length=nothing, images=few, ids=None)
            return rows
        columns = {name: rows[name] for name in ("source", "pool", "offset", "length", "images")}
        ids = rows["sample_id"] if self.check else None
        while unknown := pool.submit(**columns, ids=ids):
            for of in unknown:
                self._add(pool, of)
        return rows

    def _add(self, pool: ReadPool, of: tuple[int, int]) -> None:
        """Makes a source known. Its file is looked at now, when it is first drawn from."""
        reader = self.reader
        ref, named = reader.place(*of)
        stream, size = reader.stream_of(ref)
        media = reader.root / (named.media or "")
        try:
            pool.add(of, ref.path, stream, size=size, media=media, layout=ref.layout, fields=named.fields)
        except KernelError as error:
            raise ManifestCorrupt(str(reader.folder), f"how `{ref.path}` is read makes no sense ({error})") from None

    def _samples(self, positions: Sequence[int], rows: Rows, batch: ReadBatch) -> Fetched:
        shared = Shared(self.reader, positions, rows, batch)
        samples = ahead(shared, len(positions))
        for place, path, reason, is_record in batch.faults():
            position = positions[place]
            where = of_record(position, int(rows["offset"][place]), reason) if is_record else of_media(position, reason)
            samples[place] = Failed(position, path, where)
        return samples
