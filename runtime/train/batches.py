"""A rank's part of a global batch, cut into micro-batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

Batch = TypeVar("Batch")


def worker_options(workers: int) -> dict[str, Any]:
    """Options of a loader: seeds of workers come from a generator of their own, and do not move that of the model."""
    return {"generator": torch.Generator()} if workers else {}


@dataclass(frozen=True)
class MicroBatches(Generic[Batch]):
    """Collates a rank's samples, or packs, at most `size` at a time. Where it has none, there is no micro-batch."""

    collate: Callable[[Sequence[Any]], Batch]
    size: int

    def __call__(self, part: Sequence[Any]) -> list[Batch]:
        """The micro-batches, in order."""
        return [self.collate(part[start : start + self.size]) for start in range(0, len(part), self.size)]


@dataclass(frozen=True)
class Chunks(Generic[Batch]):
    """Collates a rank's samples as `count` micro-batches, as equal as can be; of a short part some are empty."""

    collate: Callable[[Sequence[Any]], Batch]
    count: int

    def __call__(self, part: Sequence[Any]) -> list[Batch]:
        """The micro-batches, in order."""
        borders = [len(part) * number // self.count for number in range(self.count + 1)]
        return [self.collate(part[start:stop]) for start, stop in itertools.pairwise(borders)]
