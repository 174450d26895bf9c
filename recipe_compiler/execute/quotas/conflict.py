"""Why quotas cannot be met together: a smallest set of requests that exclude each other, and what to ask for instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.system import Asked, Columns, System

#: How far from the bound of the relaxed program whole numbers are looked for.
_STEPS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """Requests that ask for these amounts instead: with all of them, everything can be met."""

    amounts: tuple[tuple[Asked, int], ...]


def bare(system: System) -> System:
    """The same system where only meeting it matters: a column for each cell."""
    columns = system.columns
    cells = np.unique(columns.cell)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(columns.cell, weights=values, minlength=system.num_cells)[cells]

    width = summed(columns.width)
    safe = np.where(width > 0, width, 1.0)
    merged = Columns(
        cell=cells,
        width=width,
        slope=np.zeros(len(cells)),
        samples=summed(columns.samples * columns.width) / safe,
        tokens=summed(columns.tokens * columns.width) / safe,
    )
    return System(rows=system.rows, starts=system.starts, members=system.members, columns=merged, whole=system.whole)


def conflict(system: System, asked: Sequence[Asked]) -> list[Asked]:
    """A set of requests that cannot be met together, and can be without any one of them.

    Deletion filter (Chinneck and Dravnieks, 1991): each is left out for good where the rest stay infeasible.
    """
    left = list(asked)
    # Many at a time first: a half that is infeasible by itself needs no look at the other.
    size = len(left) // 2
    while size > 1:
        for start in range(0, len(left), size):
            rest = left[:start] + left[start + size :]
            if rest and not solver.feasible(system.asking(rest)):
                left = rest
                break
        else:
            size //= 2
    for one in list(left):
        rest = [other for other in left if other != one]
        if not solver.feasible(system.asking(rest)):
            left = rest
    return left


def relaxations(
    at_budget: Callable[[int], System], system: System, asked: Sequence[Asked], members: Sequence[Asked]
) -> list[Relaxation]:
    """The smallest change of each member alone that lets everything be met; together, where none does alone.

    Each is verified by solving the whole system again; `at_budget` gives it for another budget.
    """
    everything = system.asking(asked)
    found: list[Relaxation] = []
    for member in members:
        if member.kind == "budget":
            amounts = _budget(everything, lambda amount: at_budget(amount).asking(asked))
        else:
            amounts = [amount] if (amount := _bound(everything, member)) is not None else []
        found += [Relaxation(amounts=((member, amount),)) for amount in amounts]
    return found or _together(everything, asked, members)


def _bound(system: System, member: Asked) -> int | None:
    """The nearest bound that a quota can have."""
    best = solver.farthest(system, member)
    if best is None:
        return None
    # Whole numbers may be a little further away than split samples are.
    step = -1 if member.kind == "min" else 1
    start = int(np.floor(best + 1e-6)) if step < 0 else int(np.ceil(best - 1e-6))
    amounts = (start + step * away for away in range(_STEPS))
    return next((one for one in amounts if one >= 0 and solver.feasible(system.bounded(member, float(one)))), None)


def _budget(system: System, at_budget: Callable[[int], System]) -> list[int]:
    """The largest smaller budget that can be had, and the smallest larger one."""
    wanted = next(row.lower for row in system.rows if row.asked.kind == "budget")
    found: list[int] = []
    for step, above in ((-1, 0.0), (1, wanted)):
        best = solver.farthest(system, Asked("budget"), above=above)
        if best is None:
            continue
        start = int(np.floor(best + 1e-6)) if step < 0 else int(np.ceil(best - 1e-6))
        amounts = (start + step * away for away in range(_STEPS))
        found += [next((one for one in amounts if one > 0 and solver.feasible(at_budget(one))), 0)]
    return [amount for amount in found if amount]


def _together(system: System, asked: Sequence[Asked], members: Sequence[Asked]) -> list[Relaxation]:
    """Quotas relaxed one after another: each as far as those before, as they then are, leave it."""
    changed: list[tuple[Asked, int]] = []
    # A conflict can hide behind another: every quota may have to give way.
    left = [*(one for one in members if one.kind != "budget")]
    left += [one for one in asked if one.kind in ("min", "max") and one not in left]
    held = [one for one in asked if one not in left]
    for member in reversed(left):
        held.append(member)
        trial = system.asking(held)
        if solver.feasible(trial):
            continue
        amount = _bound(trial, member)
        if amount is None:
            return []
        system = system.bounded(member, float(amount))
        changed.append((member, amount))
    return [Relaxation(amounts=tuple(changed))] if solver.feasible(system.asking(held)) else []
