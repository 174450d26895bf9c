"""Why quotas cannot be met together: a smallest set of requests that exclude each other, and what to ask for instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.system import Asked, Row, System


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """Requests that ask for these amounts instead: with all of them, everything can be met."""

    amounts: tuple[tuple[Asked, int], ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A system that cannot be met. `at_budget` gives its rows for another budget; `works` tries changed rows, beside all that
    is asked for; and whole numbers are looked for so many `steps` from the bound of split samples."""

    system: System
    asked: Sequence[Asked]
    at_budget: Callable[[int], Sequence[Row]]
    works: Callable[[System], bool]
    steps: int


def relaxations(case: Case, members: Sequence[Asked]) -> list[Relaxation]:
    """The smallest change of each member alone that lets everything be met; together, where none does alone.

    Each is verified by solving again, with all that is asked for.
    """
    everything = case.system.asking(case.asked)
    found: list[Relaxation] = []
    for member in members:
        amounts = _budgets(everything, case) if member.kind == "budget" else _bounds(everything, member, case)
        found += [Relaxation(amounts=((member, amount),)) for amount in amounts]
    return found or _together(everything, case, members)


def _bounds(system: System, member: Asked, case: Case) -> list[int]:
    """The nearest bound that a quota can have, if any."""
    best = solver.farthest(system, member)
    if best is None:
        return []
    # Whole numbers may be a little further away than split samples are.
    step = -1 if member.kind == "min" else 1
    start = int(np.floor(best + 1e-6)) if step < 0 else int(np.ceil(best - 1e-6))
    for amount in (start + step * away for away in range(case.steps)):
        bounded = system.bounded(member, float(amount))
        if amount >= 0 and case.works(bounded):
            return [amount]
    return []


def _budgets(system: System, case: Case) -> list[int]:
    """The largest smaller budget that can be had, and the smallest larger one."""
    wanted = next(row.lower for row in system.rows if row.asked.kind == "budget")
    found: list[int] = []
    for step, above in ((-1, 0.0), (1, wanted)):
        best = solver.farthest(system, Asked("budget"), above=above)
        if best is None:
            continue
        start = int(np.floor(best + 1e-6)) if step < 0 else int(np.ceil(best - 1e-6))
        for amount in (start + step * away for away in range(case.steps)):
            rows = dataclasses.replace(system, rows=tuple(case.at_budget(amount))).asking(case.asked)
            if amount > 0 and case.works(rows):
                found.append(amount)
                break
    return found


def _together(system: System, case: Case, members: Sequence[Asked]) -> list[Relaxation]:
    """Quotas relaxed one after another: each as far as those before, as they then are, leave it."""
    changed: list[tuple[Asked, int]] = []
    # A conflict can hide behind another: every quota may have to give way.
    left = [*(one for one in members if one.kind != "budget")]
    left += [one for one in case.asked if one.kind in ("min", "max") and one not in left]
    held = [one for one in case.asked if one not in left]
    for member in reversed(left):
        held.append(member)
        trial = system.asking(held)
        if solver.feasible(trial):
            continue
        amounts = _bounds(trial, member, dataclasses.replace(case, works=solver.feasible))
        if not amounts:
            return []
        system = system.bounded(member, float(amounts[0]))
        changed.append((member, amounts[0]))
    return [Relaxation(amounts=tuple(changed))] if case.works(system.asking(held)) else []
