"""Top: the largest scores, of all or of each stratum.

Churn: what is taken of a stratum is a prefix of its order by (score, keyed hash, id), so that a changed budget, weight or
pool changes each stratum by exactly the change of its count: the least that the counts allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute.ranks import Preference
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.plan import nodes

PROPORTIONAL = nodes.Weights(kind="proportional")


def top(task: Task, operation: nodes.Top) -> Chosen:
    """Takes the budget. In tokens, a stratum ends with the first sample that does not fit."""
    scores, scored = task.scores(operation.score, "score")
    return largest(task, operation.seed, operation.budget, scores, scored, by=operation.by, weights=operation.weights)


def largest(
    task: Task,
    seed: int,
    amount: nodes.Amount,
    scores: kernels.F64,
    scored: kernels.Bools,
    *,
    by: tuple[str, ...] = (),
    weights: nodes.Weights = PROPORTIONAL,
    reckoned: Mapping[str, NDArray[Any]] | None = None,
) -> Chosen:
    """The largest scores of each stratum; `reckoned` are numbers of each row that its score comes from."""
    budget = task.budget(amount)
    group, limits, strata = np.zeros(task.frame.height, dtype=np.uint32), [budget.amount], None
    if by:
        strata = task.strata(by, weights, budget, alive=scored)
        if strata is None:
            return task.nothing
        group, limits = strata.group, strata.limits
    if task.findings.errors:
        return task.nothing
    key = order_key(seed, "select")
    taken = kernels.best(
        key,
        task.keys,
        alive=scored,
        scores=scores,
        group=group,
        limits=np.array(limits, dtype=np.uint64),
        costs=budget.costs,
    )
    spent = kernels.totals(group, len(limits), weights=budget.costs, alive=taken).tolist()
    total = sum(spent)
    largest_cost = 1 if budget.costs is None else int(budget.costs[scored].max(initial=0)) * len(limits)
    if budget.amount - total >= largest_cost:
        without = int(task.alive.sum() - scored.sum())
        notes = [f"{without:,} samples have no finite score"] * bool(without)
        task.short(budget, amount, total, notes=notes, ways_out=[])
    if task.watch is not None:
        names = None if strata is None else (", ".join(by), group, strata.names)
        preference = Preference(key=key, keys=task.keys, scores=scores)
        task.watch.ranked(task.node, task.frame, preference, scored, taken, names, reckoned)
    return Chosen(
        times=taken.view(np.uint8),
        requests=(task.request(amount, budget, total, budget.sum(scored)),),
        strata=() if strata is None else strata.shares(spent),
    )
