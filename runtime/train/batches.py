"""A rank's part of a global batch, cut into micro-batches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.collate import Batch, Collator


@dataclass(frozen=True)
class MicroBatches:
    """Collates a rank's samples, or packs, at most `size` at a time. Without samples there is nothing to learn from.

    With `count`, there are always as many micro-batches, as equal as can be, and some may be empty.
    """

    collator: Collator
    size: int
    count: int | None = None

    def __call__(self, part: Sequence[Any]) -> list[Batch]:
        """The micro-batches, in order."""
        if self.count is None:
            starts = range(0, len(part), self.size)
            return [self.collator(part[start : start + self.size]) for start in starts]
        borders = [len(part) * number // self.count for number in range(self.count + 1)]
        return [self.collator(part[start:stop]) for start, stop in itertools.pairwise(borders)]
