"""Random and stratified: strata, caps and a walk along the keyed order.

Churn: with strata or without, what is taken of a stratum is a prefix of its keyed order, so that a changed budget,
weight or pool changes each stratum by exactly the change of its count: the least that the counts allow.
"""

from __future__ import annotations

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute import frames
from recipe_compiler.execute.ranks import Preference
from recipe_compiler.execute.task import Budget, Chosen, Strata, Task, order_key
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import cap_text


def walk(task: Task, operation: nodes.Select) -> Chosen:
    """Takes the budget. A use is one time that a sample could be taken; all first uses come before any second."""
    budget = task.budget(operation.budget)
    strata = None
    if operation.by:
        strata = task.strata(operation.by, operation.weights, budget, alive=task.alive, passes=operation.repeat)
        if strata is None:
            return task.nothing
    caps = [] if strata is None else [(strata.group, np.array(strata.limits, dtype=np.uint64))]
    caps += _caps(task, operation, budget.amount)
    if task.findings.errors:
        return task.nothing
    key = order_key(operation.seed, "select")
    taken = kernels.take(
        key,
        task.keys,
        alive=task.alive,
        passes=operation.repeat,
        costs=budget.costs,
        budget=budget.amount,
        caps=caps,
    )
    _tell_short(task, operation, budget, taken, strata)
    if task.watch is not None:
        stratum = None if strata is None else (strata.group, strata.names)
        preference = Preference(key=key, keys=task.keys, scores=None)
        task.watch.selected(task.node, operation, task.frame, preference, task.alive, taken, stratum)
    shares = () if strata is None else strata.shares(_spent(strata, budget, taken.times, operation.repeat).tolist())
    request = task.request(operation.budget, budget, taken.total, budget.sum(task.alive))
    return Chosen(times=taken.times, requests=(request,), strata=shares)


def _spent(strata: Strata, budget: Budget, times: kernels.U32, repeat: int) -> kernels.U64:
    """What was taken of each stratum."""
    if budget.costs is None and repeat == 1:
        return kernels.totals(strata.group, len(strata.names), alive=times > 0)
    spent = times.astype(np.uint64) if budget.costs is None else budget.costs * times
    return kernels.totals(strata.group, len(strata.names), weights=spent)


def _caps(task: Task, operation: nodes.Select, budget: int) -> list[tuple[kernels.U32, kernels.U64]]:
    caps: list[tuple[kernels.U32, kernels.U64]] = []
    in_tokens = operation.budget.tokens is not None
    for position, cap in enumerate(operation.caps):
        at = ("caps", position)
        if (cap.max.tokens is not None) != in_tokens and cap.max.share is None:
            headline = f"the budget is in {'tokens' if in_tokens else 'samples'}, and this cap is not"
            task.findings.error("model.conflict", headline, task.span(*at, "max"))
            continue
        share = None if cap.max.share is None else int(budget * cap.max.share)
        limit = share if share is not None else (cap.max.count if cap.max.count is not None else cap.max.tokens or 0)
        if cap.by is not None:
            if task.has_column(cap.by, *at, "by"):
                group, values = frames.numbered(task.frame[cap.by])
                caps.append((group, np.full(len(values), limit, dtype=np.uint64)))
        elif cap.where is not None:
            inside = task.holds(cap.where, *at, "where").astype(np.uint32)
            caps.append((inside, np.array([np.iinfo(np.uint64).max, limit], dtype=np.uint64)))
    return caps


def _tell_short(
    task: Task, operation: nodes.Select, budget: Budget, taken: kernels.Taken, strata: Strata | None
) -> None:
    """A budget that could not be filled is an error, unless only whole samples would not fit any more."""
    unused = budget.amount - taken.total
    largest = 1 if budget.costs is None else int(budget.costs[task.alive].max(initial=0))
    ends = 1 if strata is None else len(strata.names)
    if unused <= 0 or (budget.costs is not None and unused < largest * ends):
        return
    held = int((taken.refused_by > (0 if strata is None else 1)).sum())
    texts = "; ".join(cap_text(cap) for cap in operation.caps)
    if held and texts:
        task.short(
            budget,
            operation.budget,
            taken.total,
            notes=[f"caps held back {held:,} samples: {texts}"],
            ways_out=["loosen a cap"],
        )
        return
    wanted = (
        ((budget.available * operation.repeat, 1),)
        if strata is None
        else zip(strata.available, strata.requested, strict=True)
    )
    once = sum(available for available, requested in wanted if requested) // operation.repeat
    repeats = f"allow repeats with `repeat: {{max: {-(-budget.amount // max(once, 1))}}}`"
    task.short(budget, operation.budget, taken.total, notes=[], ways_out=[repeats])
