"""What reads samples ahead, whatever it reads them from."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from runtime.sample import Sample


@dataclass(frozen=True, slots=True)
class Failed:
    """A draw that cannot be read or decoded: the file that is to blame, and why."""

    position: int
    path: str
    reason: str


#: A batch on its way, in the order of its positions.
Fetched: TypeAlias = list[Sample | Failed]
#: Batches on their way. Closing it ends the threads that make them.
Batches: TypeAlias = Generator[Fetched, None, None]


class Fetch(Protocol):
    """Reads batches of positions in order, and as far ahead as it likes.

    A draw that cannot be read is `Failed`. A file that is not the one that was compiled raises when the turn of its batch
    comes, and not before.
    """

    def read(self, batches: Iterable[Sequence[int]]) -> Batches:
        """The samples of each batch."""
        ...


def threads_here() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
