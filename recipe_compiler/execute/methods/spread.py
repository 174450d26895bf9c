"""What the methods share that keep what is taken apart by its vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.embeddings import Embedded
from recipe_compiler.execute.task import Budget, Chosen, Task
from recipe_compiler.plan import nodes

#: Products of numbers that one selection may take: some minutes on four cores.
MOST_PRODUCTS = 2 * 10**13


def affordable(task: Task, found: Embedded, pairs: int, *, ways_out: Sequence[str] = ()) -> bool:
    """Whether so many similarities can be reckoned; if not, it is told what they cost and what else can be done."""
    numbers = found.vectors.shape[1]
    if pairs * numbers <= MOST_PRODUCTS:
        return True
    task.findings.error(
        "execute.too-many",
        f"this compares {pairs:,} pairs of vectors of {numbers:,} numbers",
        task.span("embedding"),
        notes=[f"a selection takes at most {MOST_PRODUCTS:,} products, and this takes {pairs * numbers:,}"],
        help=" or ".join(["take fewer", "let a filter or a selection before this one leave fewer", *ways_out]),
    )
    return False


def limit(found: Embedded, budget: Budget) -> kernels.Limit:
    """The budget, with the costs of the rows in their order."""
    return budget.amount, None if budget.costs is None else budget.costs[found.rows]


def most_taken(found: Embedded, budget: Budget) -> int:
    """The most rows that a budget can take."""
    return min(len(found.rows), budget.amount) if budget.costs is None else len(found.rows)


def chosen(
    task: Task,
    amount: nodes.Amount,
    budget: Budget,
    found: Embedded,
    sequence: kernels.U32,
    *,
    blocked: kernels.U32 | None = None,
    scores: kernels.F64 | None = None,
) -> Chosen:
    """The rows that a kernel took, in its sequence. `blocked` says which one each row is too near to."""
    taken = np.zeros(task.frame.height, dtype=np.bool_)
    taken[found.rows[sequence]] = True
    total = len(sequence) if budget.costs is None else int(budget.costs[taken].sum())
    largest = 1 if budget.costs is None else int(budget.costs[found.rows].max(initial=0))
    if budget.amount - total >= largest:
        near = 0 if blocked is None else int((blocked != np.iinfo(np.uint32).max).sum())
        without = int(task.alive.sum()) - len(found.rows)
        notes = [f"{near:,} samples are too near to one that is taken"] * bool(near)
        notes += [f"{without:,} samples have no vector or no finite score"] * bool(without)
        task.short(budget, amount, total, notes=notes, ways_out=["raise the `threshold`"] * bool(near))
    able = np.zeros(task.frame.height, dtype=np.bool_)
    able[found.rows] = True
    if task.watch is not None:
        told = _reasons(task, found, sequence, blocked, scores)
        task.watch.judged(task.node, able, taken, told)
    return Chosen(times=taken.view(np.uint8), requests=(task.request(amount, budget, total, budget.sum(able)),))


def _reasons(
    task: Task,
    found: Embedded,
    sequence: kernels.U32,
    blocked: kernels.U32 | None,
    scores: kernels.F64 | None,
) -> Callable[[int], dict[str, Any]]:
    """For a row: when it was taken, and which one it is nearest to of those taken before it."""

    def told(row: int) -> dict[str, Any]:
        at = int(np.flatnonzero(found.rows == row)[0])
        when = np.flatnonzero(sequence == at)
        before = sequence[: int(when[0])] if len(when) else sequence
        values: dict[str, Any] = {} if scores is None else {"score": float(scores[row])}
        note = ""
        if len(before):
            near = found.vectors[before].astype(np.int64) @ found.vectors[at].astype(np.int64)
            nearest = int(np.argmax(near))
            values["similarity"] = round(min(int(near[nearest]), kernels.WHOLE) / kernels.WHOLE, 4)
            note = f"nearest to {_named(task, found, int(before[nearest]))}, which is taken"
        if blocked is not None:
            by = int(blocked[at])
            too_near = by != np.iinfo(np.uint32).max
            note = f"too near to {_named(task, found, by)}, which is taken" if too_near else ""
            note = note if too_near or len(when) else "the budget is used up"
        rank = int(when[0]) + 1 if len(when) else None
        return {
            "values": values,
            "rank": rank,
            "threshold": rank and len(sequence),
            "of": rank and len(found.rows),
            "note": note,
        }

    return told


def _named(task: Task, found: Embedded, at: int) -> str:
    pool, key = task.frame.select("pool", "key").row(int(found.rows[at]))
    return f"`{' '.join(filter(None, (pool, key)))}`"
