"""Positions -> encoded records, in processes beside the one that writes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.schema import Manifest
from runtime.materialize import parquet
from runtime.materialize.containers import Container, JsonLines, Mds, WebDataset
from runtime.materialize.records import Record
from runtime.reader import Reader

#: Draws that are encoded together; a video is encoded by itself. Row groups of Parquet are no larger.
_TOGETHER = 64
#: Draws that are worth a process of their own.
_A_PROCESS = 1024


@dataclass(frozen=True, slots=True)
class Task:
    """What each process must know: the manifest, its data, the kind of files and where they are written."""

    folder: Path
    root: Path | None
    cache: Path | None
    kind: str
    out: Path

    def container(self) -> Container | None:
        """How records are laid out; None for Parquet, which is no row of records."""
        containers: dict[str, Container] = {"webdataset": WebDataset(), "mds": Mds(), "jsonl": JsonLines(self.out)}
        return containers.get(self.kind)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive draws, encoded: the bytes of all, and the size of each."""

    start: int
    data: bytes
    sizes: list[int]


class Encoder:
    """Reads draws and encodes them. One for each process."""

    def __init__(self, task: Task) -> None:
        self._reader = Reader(task.folder, root=task.root, cache=task.cache)
        self._container = task.container()

    def encode(self, start: int, stop: int) -> Chunk:
        """The draws from `start` to `stop`."""
        records = [Record.of(self._reader.sample(position)) for position in range(start, stop)]
        if self._container is None:
            data, sizes = parquet.encode(records)
            return Chunk(start, data, sizes)
        encoded = [self._container.encode(record) for record in records]
        data = b"".join(part for parts in encoded for part in parts)
        return Chunk(start, data, [sum(map(len, parts)) for parts in encoded])


def chunks(folder: Path, manifest: Manifest, start: int) -> Iterator[tuple[int, int]]:
    """The ranges of positions to encode together, from `start` on. Where one ends does not depend on where it starts."""
    for shard in manifest.shards:
        stop = shard.start + shard.rows
        if stop <= start:
            continue
        alone = rows.cells(store.read_shard(folder, shard), "videos") > 0
        cuts = (np.arange(shard.start, stop) % _TOGETHER == 0) | alone
        cuts[1:] |= alone[:-1]
        marks, begin = shard.start + np.flatnonzero(cuts), max(start, shard.start)
        bounds = [begin, *marks[marks > begin].tolist(), stop]
        yield from pairwise(bounds)


def encoded(task: Task, manifest: Manifest, start: int, num_processes: int) -> Iterator[Chunk]:
    """All draws from `start` on, in order. What is read ahead is bounded by two chunks for each process."""
    ranges = chunks(task.folder, manifest, start)
    num_processes = min(num_processes, (manifest.draws - start) // _A_PROCESS)
    if num_processes < 2:
        encoder = Encoder(task)
        for first, stop in ranges:
            yield encoder.encode(first, stop)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, mp_context=context, initializer=_begin, initargs=(task,))
    waiting: deque[Future[Chunk]] = deque()
    try:
        for first, stop in ranges:
            waiting.append(pool.submit(_encode, first, stop))
            if len(waiting) >= 2 * num_processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


_of_this_process: list[Encoder] = []


def _begin(task: Task) -> None:
    # Whoever interrupts means the process that writes, which ends these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _of_this_process.append(Encoder(task))


def _end_with_parent() -> None:
    """A parent that was killed cannot say so, and its queues stay open in its children."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode(start: int, stop: int) -> Chunk:
    return _of_this_process[0].encode(start, stop)
