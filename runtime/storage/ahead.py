"""Coming batches, read by a few threads while earlier ones are trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

_Positions = TypeVar("_Positions")
_Batch = TypeVar("_Batch")

#: Batches that are read at once, and those that are read or wait.
_THREADS: Final = 4
_BATCHES: Final = 8


def read_ahead(
    read: Callable[[_Positions], _Batch], batches: Iterable[_Positions], weigh: Callable[[_Batch], int], limit: int
) -> Iterator[_Batch]:
    """What `read` gives for each batch, in order. What goes wrong in one is raised when its turn comes, not before.

    `weigh` says how many bytes a batch holds; while those that wait hold `limit`, no further one is begun.
    """
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="recipe-ahead")
    coming = iter(batches)
    waiting: deque[Future[_Batch]] = deque()

    def weight(batch: Future[_Batch]) -> int:
        return weigh(batch.result()) if batch.done() and batch.exception() is None else 0

    def fill() -> None:
        while len(waiting) < _BATCHES and (not waiting or sum(map(weight, waiting)) < limit):
            for batch in coming:
                waiting.append(threads.submit(read, batch))
                break
            else:
                return

    try:
        fill()
        while waiting:
            found = waiting[0].result()
            waiting.popleft()
            fill()
            yield found
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
