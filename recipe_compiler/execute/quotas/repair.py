"""Tokens are met within one sample: what whole samples leave open or take too much is moved, a sample at a time.

No maximum and no budget of tokens is passed; a minimum may be missed by less than one sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute.quotas.offer import Cells
from recipe_compiler.execute.quotas.solver import Optimum
from recipe_compiler.execute.quotas.system import F64, System
from recipe_compiler.execute.task import Task

#: Cells whose next and last samples are tried, and how many samples are moved at most.
_MOST_CELLS = 400
_MOST_MOVES = 5_000


def repair(
    task: Task,
    preference: tuple[int, F64 | None],
    cells: Cells,
    system: System,
    optimum: Optimum,
    taken: kernels.Bools,
    tokens: kernels.U64,
) -> kernels.Bools:
    """Takes the next sample of a cell or gives its last one back, whichever brings all rows nearest to their bounds.

    Samples of a cell come and go in its order, so that what is taken of it stays a prefix.
    """
    key, scores = preference
    near = _doubtful(system, optimum)
    inside = cells.able & np.isin(cells.cell, near)
    order = kernels.best_first(key, task.keys, rows=np.flatnonzero(inside).astype(np.uint32), scores=scores)
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
    sums = np.bincount(
        system.members,
        weights=np.where(in_tokens[system.members], spent[cell_of], all_of[cell_of]),
        minlength=len(system.rows),
    )
    result = taken.copy()
    cost = tokens[order].astype(np.float64)
    scale = np.where(in_tokens, max(float(tokens[cells.able].mean()), 1.0), 0.05)

    # Where nothing brings all rows to their bounds, minima give way by less than the largest sample.
    largest = float(tokens[cells.able].max(initial=1)) - 1.0
    aims = [lower, np.where(in_tokens, lower - largest, lower)]

    def distance(sums: NDArray[Any]) -> F64:
        found: F64 = (np.maximum(aims[0] - sums, 0.0) + np.maximum(sums - upper, 0.0)) / scale
        return found

    for _ in range(_MOST_MOVES):
        now = float((distance(sums) ** 2).sum())
        if now == 0:
            break
        moves = []
        for sign, places, possible in ((1.0, at, at < starts[1:]), (-1.0, at - 1, at > starts[:-1])):
            where = np.flatnonzero(possible)
            step = np.where(in_tokens, cost[places[where]][:, None], 1.0) * members[where]
            after = (distance(sums + sign * step) ** 2).sum(axis=1)
            if len(where):
                best = int(np.argmin(after))
                moves.append((float(after[best]), sign, int(where[best]), step[best]))
        after_, sign, cell, step_ = min(moves, key=lambda move: move[:3])
        if after_ >= now:
            if len(aims) == 1:
                break
            del aims[0]
            continue
        place = at[cell] if sign > 0 else at[cell] - 1
        result[order[place]] = sign > 0
        at[cell] += int(sign)
        sums = sums + sign * step_
    return result


def _doubtful(system: System, optimum: Optimum) -> kernels.U32:
    """The cells that the optimum splits, and those nearest to being split."""
    columns = system.columns
    worth = np.abs(system.priced(optimum.prices))
    split = (optimum.amounts > 1e-6) & (optimum.amounts < columns.width - 1e-6)
    order = np.lexsort((np.arange(len(columns)), worth, ~split))
    _, first = np.unique(columns.cell[order], return_index=True)
    chosen = columns.cell[order][np.sort(first)][:_MOST_CELLS]
    return np.sort(chosen).astype(np.uint32)
