"""A joint system of quotas as a linear program over cells: samples that are the same to every quota.

What is taken of a cell has a concave utility (its best samples first), so that a cell is a few columns of falling slope:
the first so many samples are worth so much each, the next so many less. A row is a quota on one value, or the budget.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["budget", "min", "max", "target"]
F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Asked:
    """Something a recipe asks for: the budget, or one bound of the quota with this number."""

    kind: Kind
    quota: int = -1


@dataclass(frozen=True, slots=True)
class Row:
    """What the members of some cells add up to, between bounds. `tokens` says what is counted; `share` is of the budget,
    and 0 where the bounds do not depend on it."""

    asked: Asked
    name: str
    tokens: bool
    lower: float
    upper: float
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Pieces of cells, the best of each cell first: its cell, how many units it has, what a unit is worth, and how many
    samples and tokens a unit is."""

    cell: I64
    width: F64
    slope: F64
    samples: F64
    tokens: F64

    def __len__(self) -> int:
        return len(self.cell)

    def __getitem__(self, which: NDArray[np.bool_] | I64) -> Columns:
        return Columns(**{field.name: getattr(self, field.name)[which] for field in dataclasses.fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Rows over cells. The rows of cell `c` are `members[starts[c]:starts[c + 1]]`."""

    rows: tuple[Row, ...]
    starts: I64
    members: I64
    columns: Columns
    whole: bool
    """Units are whole samples; otherwise tokens, which are met within a sample."""

    @property
    def num_cells(self) -> int:
        """How many cells there are."""
        return len(self.starts) - 1

    def entries(self, columns: Columns) -> tuple[I64, I64, F64]:
        """(start of each column, row of each entry, its coefficient), column by column."""
        degree = (self.starts[1:] - self.starts[:-1])[columns.cell]
        starts = np.concatenate([[0], np.cumsum(degree)])
        offsets = np.arange(starts[-1]) - np.repeat(starts[:-1], degree)
        rows = self.members[np.repeat(self.starts[columns.cell], degree) + offsets]
        in_tokens = self._in_tokens[rows]
        values = np.where(in_tokens, np.repeat(columns.tokens, degree), np.repeat(columns.samples, degree))
        return starts, rows, values

    def sums(self, columns: Columns, amounts: F64) -> F64:
        """What each row adds up to, for so much of each column."""
        samples, tokens = (
            np.bincount(columns.cell, weights=each * amounts, minlength=self.num_cells)
            for each in (columns.samples, columns.tokens)
        )
        of = np.repeat(np.arange(self.num_cells), np.diff(self.starts))
        spent = np.where(self._in_tokens[self.members], tokens[of], samples[of])
        return np.bincount(self.members, weights=spent, minlength=len(self.rows)).astype(np.float64)

    def priced(self, prices: F64) -> F64:
        """What a unit of each column is worth where each row has a price."""
        of = np.repeat(np.arange(self.num_cells), np.diff(self.starts))
        paid, in_tokens = prices[self.members], self._in_tokens[self.members]
        per_sample, per_token = (
            np.bincount(of, weights=np.where(in_tokens == tokens, paid, 0.0), minlength=self.num_cells)
            for tokens in (False, True)
        )
        columns = self.columns
        paying: F64 = columns.samples * per_sample[columns.cell] + columns.tokens * per_token[columns.cell]
        return columns.slope - paying

    @property
    def _in_tokens(self) -> NDArray[np.bool_]:
        return np.array([row.tokens for row in self.rows], dtype=np.bool_)

    def asking(self, asked: Sequence[Asked]) -> System:
        """The same system where only these ask for anything."""
        kept = frozenset(asked)
        rows = tuple(
            row if row.asked in kept else dataclasses.replace(row, lower=-INFINITY, upper=INFINITY) for row in self.rows
        )
        return dataclasses.replace(self, rows=rows)

    def bounded(self, asked: Asked, amount: float) -> System:
        """The same system where one that asks is bounded by another amount."""

        def changed(row: Row) -> Row:
            if row.asked != asked:
                return row
            if asked.kind == "min":
                return dataclasses.replace(row, lower=amount)
            return dataclasses.replace(row, upper=amount, lower=amount if asked.kind == "budget" else row.lower)

        return dataclasses.replace(self, rows=tuple(map(changed, self.rows)))
