"""Pictures decoded ahead, by threads: decoders work with the interpreter's lock released."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recipe_compiler.errors import DataError
from recipe_compiler.threads import Spare
from runtime import decode
from runtime.errors import StreamError
from runtime.readahead.fetch import Batches, Failed, Fetched
from runtime.sample import Media, Sample, of_media

#: Pictures that one thread takes at once.
_AT_ONCE = 8
#: So often as many are on their way as all threads take at once, as far as the memory allows.
_ROUNDS = 2
#: At least and at most so many batches are on their way: the one that is next, and others whatever they show.
_LEAST_BATCHES, _MOST_BATCHES = 2, 64

#: Pictures, each with the place of its sample in the batch.
_Job: TypeAlias = list[tuple[int, Media]]


class _StoppedError(Exception):
    """Nobody wants the pixels any more."""


class _Room:
    """How many bytes of pixels may wait: `limit`, or what the next batch needs. Batches are numbered in order."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[int] = Counter()
        self._first = 0
        self._stopped = False
        self._changed = threading.Condition()

    def take(self, batch: int, size: int) -> None:
        """Waits for room for a picture."""
        with self._changed:
            while not self._stopped and batch != self._first and self._held.total() + size > self._limit:
                self._changed.wait()
            if self._stopped:
                raise _StoppedError
            self._held[batch] += size

    def hand_over(self, batch: int) -> None:
        """Notes that a batch waits no longer, so that the one behind it is next."""
        with self._changed:
            self._held.pop(batch, None)
            self._first = batch + 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Lets all who wait end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


class PixelsAhead:
    """Decodes the images of batches. `counts` tells how many each decoder did, of batches that were handed over."""

    def __init__(self, *, threads: int, memory: int) -> None:
        self.threads = threads
        self.memory = memory
        self.counts: Counter[str] = Counter()

    def read(self, batches: Batches) -> Batches:
        """The same batches with the pixels of their images. A sample with one that cannot be decoded is `Failed`."""
        process = os.getpid()
        room, spare = _Room(self.memory), Spare(self.memory)
        threads = ThreadPoolExecutor(self.threads, thread_name_prefix="recipe-decode")
        flying: deque[_Flying] = deque()
        number = 0
        try:
            with closing(batches):
                while True:
                    while self._wants_more(flying):
                        batch = next(batches, None)
                        if batch is None:
                            break
                        jobs = [*_jobs(batch)]
                        behind = number + len(flying)
                        done = [threads.submit(_decode, job, behind, room, spare) for job in jobs]
                        flying.append(_Flying(batch, done, sum(map(len, jobs))))
                        del batch, jobs
                    if not flying:
                        return
                    if os.getpid() != process:
                        raise StreamError("this iterator was begun in another process; begin one in each")
                    for job in flying[0].done:
                        self._note(flying[0].batch, job.result())
                    room.hand_over(number)
                    number += 1
                    # No name is left for it here: its pixels go when whoever takes it lets go.
                    yield flying.popleft().batch
        finally:
            # Where the interpreter ends, it has waited for the threads itself, and is taking modules apart.
            if os.getpid() == process and not sys.is_finalizing():
                room.stop()
                threads.shutdown(cancel_futures=True)

    def _wants_more(self, flying: Sequence[_Flying]) -> bool:
        """Whether another batch is to be begun: never while the next one is ready to be handed over."""
        if flying and all(job.done() for job in flying[0].done):
            return False
        pictures = sum(batch.pictures for batch in flying)
        enough = pictures >= _ROUNDS * self.threads * _AT_ONCE
        return len(flying) < (_LEAST_BATCHES if enough else _MOST_BATCHES)

    def _note(self, batch: Fetched, decoded: _Decoded) -> None:
        self.counts.update(decoded.by)
        for place, error in decoded.failed:
            sample = batch[place]
            if not isinstance(sample, Failed):
                batch[place] = Failed(sample.position, error.path, of_media(sample.position, error.reason))


@dataclass(frozen=True, slots=True)
class _Flying:
    """A batch on its way, with what becomes of its jobs, and how many pictures it shows."""

    batch: Fetched
    done: list[Future[_Decoded]]
    pictures: int


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What became of the pictures of a job: who decoded each, and the places of those that are none, with the reason."""

    by: list[str]
    failed: list[tuple[int, DataError]]


def _jobs(batch: Fetched) -> Iterator[_Job]:
    """The pictures of a batch, some for each job."""
    pictures = [
        (place, media)
        for place, sample in enumerate(batch)
        if isinstance(sample, Sample)
        for media in sample.media
        if media.kind == "image"
    ]
    return (pictures[start : start + _AT_ONCE] for start in range(0, len(pictures), _AT_ONCE))


def _decode(job: _Job, number: int, room: _Room, spare: Spare) -> _Decoded:
    """Decodes some pictures into their media, which nobody else has yet.

    All of them are made ready first: behind each picture the interpreter has left the caches of the processor.
    """

    def lend(size: int) -> NDArray[np.uint8]:
        room.take(number, size)
        return spare.lend(size)

    done = _Decoded([], [])
    ready: list[tuple[int, Media, bytes | memoryview, decode.Pixels | None]] = []
    for place, media in job:
        try:
            data = media.view()
        except DataError as error:
            done.failed.append((place, error))
            continue
        shape = decode.ordinary(data)
        ready.append((place, media, data, None if shape is None else lend(math.prod(shape)).reshape(shape)))
    quick = iter(decode.quick([(data, pixels) for *_, data, pixels in ready if pixels is not None]))
    for place, media, data, pixels in ready:
        by = None if pixels is None else next(quick)
        if pixels is None or by is None:
            by = decode.PILLOW
            try:
                pixels = decode.pillow(data, media.name, lend)
            except DataError as error:
                done.failed.append((place, error))
                continue
        media.give(pixels)
        done.by.append(by)
    return done
