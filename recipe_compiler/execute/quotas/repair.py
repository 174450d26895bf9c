"""Tokens are met within one sample: what whole samples leave open or take too much is moved, a sample at a time.

No maximum and no budget of tokens is passed; a minimum may be missed by less than one sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute.quotas.offer import Cells
from recipe_compiler.execute.quotas.solver import Optimum
from recipe_compiler.execute.quotas.system import F64, System

#: Cells whose next and last samples are tried, and how many samples are moved at most.
_MOST_CELLS = 400
_MOST_MOVES = 5_000
#: How often two samples are exchanged at most, and how many of each side are tried.
_MOST_EXCHANGES = 400
_MOST_PAIRED = 64

#: Cells that give (+1) or give back (-1) a sample.
Changes: TypeAlias = tuple[tuple[int, int], ...]


def repair(
    keys: kernels.Keys,
    preference: tuple[int, F64 | None],
    cells: Cells,
    system: System,
    optimum: Optimum,
    taken: kernels.Bools,
    tokens: kernels.U64,
) -> kernels.Bools:
    """Takes the next sample of a cell or gives its last one back, whichever brings all rows nearest to their bounds;
    where neither does, one for the other.

    Samples of a cell come and go in its order, so that what is taken of it stays a prefix.
    """
    key, scores = preference
    near = _doubtful(system, optimum)
    inside = cells.able & np.isin(cells.cell, near)
    order = kernels.best_first(key, keys, rows=np.flatnonzero(inside).astype(np.uint32), scores=scores)
    by_cell = np.argsort(cells.cell[order], kind="stable")
    order = order[by_cell]
    of = np.searchsorted(near, cells.cell[order])
    starts = np.searchsorted(of, np.arange(len(near) + 1))
    at = starts[:-1] + np.bincount(of[taken[order]], minlength=len(near))
    in_tokens = np.array([row.tokens for row in system.rows])
    # A target is near by the optimum; what must hold goes first.
    bounds = [(-np.inf, np.inf) if row.asked.kind == "target" else (row.lower, row.upper) for row in system.rows]
    lower, upper = np.array(bounds).T
    members = np.zeros((len(near), len(system.rows)))
    for number, cell in enumerate(near.tolist()):
        members[number, system.members[system.starts[cell] : system.starts[cell + 1]]] = 1.0
    all_of = np.bincount(cells.cell[taken], minlength=len(cells)).astype(np.float64)
    spent = np.bincount(cells.cell[taken], weights=tokens[taken], minlength=len(cells))
    cell_of = np.repeat(np.arange(system.num_cells), np.diff(system.starts))
    sums: F64 = np.bincount(
        system.members,
        weights=np.where(in_tokens[system.members], spent[cell_of], all_of[cell_of]),
        minlength=len(system.rows),
    ).astype(np.float64)
    result = taken.copy()
    cost = tokens[order].astype(np.float64)
    scale = np.where(in_tokens, max(float(tokens[cells.able].mean()), 1.0), 0.05)

    # Where nothing brings all rows to their bounds, minima give way by less than the largest sample.
    largest = float(tokens[cells.able].max(initial=1)) - 1.0
    aims = [lower, np.where(in_tokens, lower - largest, lower)]

    def distance(sums: NDArray[Any]) -> F64:
        found: F64 = (np.maximum(aims[0] - sums, 0.0) + np.maximum(sums - upper, 0.0)) / scale
        return found

    exchanges = _MOST_EXCHANGES
    for _ in range(_MOST_MOVES):
        now = float((distance(sums) ** 2).sum())
        if now == 0:
            break
        moves: list[tuple[float, Changes, F64]] = []
        steps: dict[int, tuple[NDArray[Any], F64]] = {}
        for sign, places, possible in ((1, at, at < starts[1:]), (-1, at - 1, at > starts[:-1])):
            where = np.flatnonzero(possible)
            step = sign * np.where(in_tokens, cost[places[where]][:, None], 1.0) * members[where]
            steps[sign] = where, step
            after = (distance(sums + step) ** 2).sum(axis=1)
            if len(where):
                best = int(np.argmin(after))
                moves.append((float(after[best]), ((sign, int(where[best])),), step[best]))
        reached, changes, change = min(moves, key=lambda move: move[:2])
        if reached >= now and exchanges:
            # What one sample more or less would spoil elsewhere, one for another may not.
            exchanges -= 1
            reached, changes, change = _exchanged(steps, sums, in_tokens, distance)
        if reached >= now:
            if len(aims) == 1:
                break
            del aims[0]
            continue
        for sign, cell in changes:
            result[order[at[cell] if sign > 0 else at[cell] - 1]] = sign > 0
            at[cell] += sign
        sums = sums + change
    return result


def _exchanged(
    steps: dict[int, tuple[NDArray[Any], F64]],
    sums: F64,
    in_tokens: kernels.Bools,
    distance: Callable[[NDArray[Any]], F64],
) -> tuple[float, Changes, F64]:
    """The next sample of one cell for the last of another: the pair that brings rows nearest to their bounds, among those
    that do most for the rows in tokens. Gives how near, what changes as (sign, cell), and by how much rows do."""
    sides = []
    for sign in (1, -1):
        where, step = steps[sign]
        alone = (distance(sums + step)[:, in_tokens] ** 2).sum(axis=1)
        best = np.argsort(alone, kind="stable")[:_MOST_PAIRED]
        sides.append((where[best], step[best]))
    (more, plus), (less, minus) = sides
    if not len(more) or not len(less):
        return np.inf, (), np.zeros_like(sums)
    change = plus[:, None, :] + minus[None, :, :]
    after = (distance(sums + change) ** 2).sum(axis=2)
    after[more[:, None] == less[None, :]] = np.inf
    a, b = np.unravel_index(int(np.argmin(after)), after.shape)
    return float(after[a, b]), ((1, int(more[a])), (-1, int(less[b]))), change[a, b]


def _doubtful(system: System, optimum: Optimum) -> kernels.U32:
    """The cells that the optimum splits, and those nearest to being split."""
    columns = system.columns
    worth = np.abs(system.priced(optimum.prices))
    split = (optimum.amounts > 1e-6) & (optimum.amounts < columns.width - 1e-6)
    order = np.lexsort((np.arange(len(columns)), worth, ~split))
    _, first = np.unique(columns.cell[order], return_index=True)
    chosen = columns.cell[order][np.sort(first)][:_MOST_CELLS]
    return np.sort(chosen).astype(np.uint32)
