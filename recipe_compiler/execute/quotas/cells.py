"""Cells of samples, and what it is worth to take so many of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute.quotas.requests import Parts
from recipe_compiler.execute.quotas.system import F64, I64, Columns, Row, System
from recipe_compiler.execute.task import Budget, Task

#: Scores are told apart by so many thresholds among the samples, and fewer samples are told apart exactly.
_THRESHOLDS = 48
#: A random draw gives way in so many steps, each dearer than the one before, so that all cells give way alike.
_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The cell of each sample that can be taken, and the first sample of each cell."""

    cell: kernels.U32
    first: kernels.U32
    able: kernels.Bools

    def __len__(self) -> int:
        return len(self.first)


def cells_of(parts: Parts, able: kernels.Bools) -> Cells:
    """Samples that are the same to every quota."""
    cell, first = kernels.cells(parts.groups, able)
    return Cells(cell=cell, first=first, able=able)


def membership(cells: Cells, parts: Parts, rows: tuple[Row, ...]) -> tuple[I64, I64]:
    """The rows of each cell, as (starts, members): the budget, and every bound of every part that holds the cell."""
    pairs = [(np.arange(len(cells)), np.zeros(len(cells), dtype=np.int64))]
    numbers: dict[tuple[int, str], list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault((row.asked.quota, row.name), []).append(number)
    for part in parts.parts:
        inside = np.flatnonzero(parts.groups[part.quota][cells.first] == part.value)
        pairs += [(inside, np.full(len(inside), number)) for number in numbers[part.quota, part.name]]
    of = np.concatenate([cell for cell, _ in pairs])
    members = np.concatenate([row for _, row in pairs])
    order = np.lexsort((members, of))
    starts = np.searchsorted(of[order], np.arange(len(cells) + 1))
    return starts.astype(np.int64), members[order].astype(np.int64)


def scored_columns(
    task: Task, cells: Cells, scores: kernels.F64, budget: Budget, prices: Sequence[kernels.F64] = ()
) -> Columns:
    """Columns of the scores: samples of a cell between two thresholds are one column.

    `prices` are more thresholds, one for each cell: what a sample of it had to be worth.
    """
    able = np.flatnonzero(cells.able)
    values, cell = scores[able], cells.cell[able]
    levels = np.unique(values[:: max(len(values) // 100_000, 1)])
    if len(levels) > _THRESHOLDS:
        levels = np.unique(levels[np.linspace(0, len(levels) - 1, _THRESHOLDS).astype(np.int64)])
    level = np.searchsorted(levels, values, side="right").astype(np.uint32)
    for price in prices:
        level = level * np.uint32(2) + (values >= price[cell])
    column, first = kernels.cells([cell, level], np.ones(len(able), dtype=np.bool_))
    samples = np.bincount(column, minlength=len(first)).astype(np.float64)
    tokens = _summed(column, task.frame["tokens"].to_numpy()[able], len(first))
    worth = _summed(column, values, len(first))
    return _sorted(cell[first].astype(np.int64), samples, tokens, worth, budget)


def drawn_columns(task: Task, cells: Cells, drawn: kernels.Bools, budget: Budget) -> Columns:
    """Columns of nearness to a random draw: a sample of the draw is worth something, any other costs something."""
    size = np.bincount(cells.cell[cells.able], minlength=len(cells))
    taken = np.bincount(cells.cell[drawn], minlength=len(cells))
    tokens = task.frame["tokens"].to_numpy()
    spent = [_summed(cells.cell[rows], tokens[rows], len(cells)) for rows in (drawn, cells.able)]
    parts = []
    for inside in (True, False):
        num = taken if inside else size - taken
        each = (spent[0] if inside else spent[1] - spent[0]) / np.maximum(num, 1)
        # Inside the draw the last quarter is the cheapest to give up; outside, a quarter more is the cheapest to take.
        ends = [np.minimum(num, np.maximum(taken, 1) * step // _STEPS) for step in range(1, _STEPS + 1)]
        ends.append(num)
        for step, (start, end) in enumerate(pairwise([np.zeros_like(num), *ends])):
            width = (end - start).astype(np.float64)
            price = float(_STEPS + 1 - step if inside else -1 - step)
            parts.append((np.arange(len(cells)), width, width * each, width * price))
    cell, samples, summed, worth = (np.concatenate(column) for column in zip(*parts, strict=True))
    there = samples > 0
    return _sorted(cell[there], samples[there], summed[there], worth[there], budget)


def _summed(group: NDArray[np.integer], values: NDArray[Any], num: int) -> F64:
    return np.bincount(group, weights=values, minlength=num).astype(np.float64)


def _sorted(cell: I64, samples: kernels.F64, tokens: kernels.F64, worth: kernels.F64, budget: Budget) -> Columns:
    """Columns by cell, the best of each first."""
    width = samples if budget.costs is None else np.maximum(tokens, 1e-9)
    order = np.lexsort((-worth / samples, cell))
    columns = Columns(cell=cell, width=width, slope=worth / width, samples=samples / width, tokens=tokens / width)
    return columns[order]


def system_of(cells: Cells, parts: Parts, rows: tuple[Row, ...], columns: Columns, budget: Budget) -> System:
    """The system of quotas over these cells."""
    starts, members = membership(cells, parts, rows)
    return System(rows=rows, starts=starts, members=members, columns=columns, whole=budget.costs is None)
