"""The ranks of samples in the order in which a method takes them, as a watch tells them: of all samples, or of a stratum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.manifest.rows import between


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """The order in which a method takes samples: larger scores first, then the keyed order of `key`."""

    key: int
    keys: kernels.Keys
    scores: kernels.F64 | None


@dataclass(frozen=True, slots=True)
class Walk:
    """The rows that a method walks along together, each once in a pass: a stratum, or all.

    `rows` are their numbers in ascending order, and the order is of these alone; without them it is of the whole table.
    """

    order: Preference
    marks: kernels.Bools
    rows: NDArray[np.intp] | None
    num: int

    @classmethod
    def of(cls, order: Preference, marks: kernels.Bools, stratum: tuple[kernels.U32, int] | None) -> Walk:
        """The walk along the rows that are marked, and in the stratum of this number."""
        if stratum is None:
            return cls(order, marks, None, int(marks.sum()))
        rows = between(stratum[0], stratum[1], stratum[1])
        rows = rows[marks[rows]]
        # A stratum is a small part of the table: to look at it alone takes less than to look past all others.
        keys = table.keys_of(order.keys, rows.astype(np.uint32))
        scores = None if order.scores is None else order.scores[rows]
        own = Preference(key=order.key, keys=keys, scores=scores)
        return cls(own, np.ones(len(rows), dtype=np.bool_), rows, len(rows))

    def values(self, column: NDArray[Any]) -> NDArray[Any]:
        """A column of the table, for the rows of `marks`."""
        return column if self.rows is None else column[self.rows]

    def rank(self, row: int, turn: int = 0) -> int:
        """How many rows come before this one, which is marked."""
        place = row if self.rows is None else int(np.searchsorted(self.rows, row))
        return kernels.rank_of(*self._order, marks=self.marks, row=place, turn=turn)

    def last(self, marks: kernels.Bools, turn: int = 0) -> int:
        """The row that comes last of those among them that are marked here. There is one."""
        place = kernels.last_of(*self._order, marks=marks, turn=turn)
        return place if self.rows is None else int(self.rows[place])

    @property
    def _order(self) -> tuple[int, kernels.Keys, kernels.F64 | None]:
        return self.order.key, self.order.keys, self.order.scores
