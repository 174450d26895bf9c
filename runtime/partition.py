"""Who reads what: arithmetic on positions. Nothing here knows data, and no process needs to ask another.

A global batch is `global_batch` consecutive positions. Rank `r` of `n` reads the `r`-th of `n` consecutive parts of it,
as equal as can be. So the global batches are the same for any number of ranks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import StreamError


@dataclass(frozen=True, slots=True)
class World:
    """This process's place among all that train together."""

    rank: int = 0
    num_ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.num_ranks:
            raise StreamError(f"rank {self.rank} is not one of {self.num_ranks}")

    @classmethod
    def from_environment(cls) -> World:
        """The place that `torchrun` and others give in `RANK` and `WORLD_SIZE`; alone where they give none."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def global_batches(num_draws: int, consumed: int, global_batch: int, *, drop_last: bool) -> Iterator[range]:
    """The positions of each global batch from `consumed` on. The last may be short, or be dropped."""
    if global_batch < 1:
        raise StreamError(f"a global batch of {global_batch} is not at least one draw")
    for start in range(consumed, num_draws, global_batch):
        stop = min(start + global_batch, num_draws)
        if stop - start < global_batch and drop_last:
            return
        yield range(start, stop)


def part(batch: range, world: World) -> range:
    """The positions of a global batch that one rank reads; parts differ by at most one, and together are the batch."""
    size = len(batch)
    start = batch.start + size * world.rank // world.num_ranks
    stop = batch.start + size * (world.rank + 1) // world.num_ranks
    return range(start, stop)
