"""Samples of two sides under shared numbers: equal numbers are equal samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.report.side import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """The number of each row of a side, below `total`; without `numbers`, a row is its own number."""

    numbers: kernels.U32 | None
    total: int

    def of(self, rows: kernels.U32) -> kernels.U32:
        """The numbers of rows."""
        return rows if self.numbers is None else self.numbers[rows]

    def spread(self, values: NDArray[Any], missing: int = 0) -> NDArray[Any]:
        """What a side says of its rows, by their numbers."""
        if self.numbers is None:
            return values
        spread = np.full(self.total, missing, dtype=values.dtype)
        spread[self.numbers] = values
        return spread

    def rows_of(self, numbers: NDArray[np.integer]) -> NDArray[np.integer]:
        """The rows of numbers; -1 where a side does not know a sample."""
        if self.numbers is None:
            return numbers
        rows: NDArray[np.integer] = self.spread(np.arange(len(self.numbers), dtype=np.int64), missing=-1)[numbers]
        return rows


def numbered(before: Side, after: Side) -> tuple[Numbering, Numbering]:
    """The numbers of both sides.

    Most often the two have the same samples in the same order, and then there is nothing to look up.
    """
    # A side that knows draws alone has a row for each draw, and several rows for a sample.
    if before.fates is not None and after.fates is not None and _same(before.keys, after.keys):
        own = Numbering(numbers=None, total=len(before.keys.pool))
        return own, own
    old, new, total = kernels.shared_numbers(before.keys, after.keys)
    return Numbering(numbers=old, total=total), Numbering(numbers=new, total=total)


def _same(before: kernels.Keys, after: kernels.Keys) -> bool:
    """Whether keys are the same, and in the same pieces."""
    pairs: list[tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]]] = [
        (before.high, after.high),
        (before.low, after.low),
        ([before.occurrence], [after.occurrence]),
        ([before.pool], [after.pool]),
    ]
    return all(
        len(old) == len(new) and all(np.array_equal(one, other) for one, other in zip(old, new, strict=True))
        for old, new in pairs
    )
