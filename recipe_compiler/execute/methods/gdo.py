"""Goal-driven data optimisation (Wu et al., arXiv 2603.12478; papers, section b).

Samples are parted into strata, and the budget among these in proportion. One score is shared by all goals. Floors are
met first, best scores first: temporal videos, videos, the largest groups of sources. Then strata get their quotas, then
the best candidates of all what is left, and last chance fills what no candidate could. No text is taken twice, and no
video more than `per_video` times.

It differs from the release where that does so by accident: strata stand in the order of their keys, equal scores in the
keyed order, a conversation is one sample whose lengths are the mean of its exchanges, and what was not measured is
missing, not 0.

Churn: whatever a stage but the last goes through is a whole set of strata, so that what is taken of a stratum is a
prefix of its order by (score, keyed hash, id), but for samples refused for their text or video. Where there are none of
these and chance takes nothing, selections of one pool with different budgets, goals or parameters differ in each
stratum by exactly the difference of its counts: the least that the counts allow. Scores compare a sample with its pool,
so a changed pool may change the order of a stratum, and no bound is promised for that. The baseline goes by chance
alone: a larger one only adds.
"""

from __future__ import annotations

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.goals import told
from recipe_compiler.execute.goals.budget import Counts, adjusted, automatic, counts
from recipe_compiler.execute.goals.scores import Scores, scores
from recipe_compiler.execute.goals.told import Taken
from recipe_compiler.execute.goals.traits import Traits, traits
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.manifest.schema import Request
from recipe_compiler.plan import nodes


def gdo(task: Task, operation: nodes.GoalDriven) -> Chosen:
    """Takes the budget, or as many samples as the constraints allow; what is not met is told."""
    before = len(task.findings.errors)
    pool = traits(task, operation)
    scored = None if pool is None else scores(task, operation, pool)
    if pool is None or scored is None or len(task.findings.errors) > before:
        return task.nothing
    sizes = kernels.totals(pool.stratum, len(pool.names), alive=pool.able).tolist()
    if not sum(sizes):
        return task.nothing
    total = _total(task, operation, sizes, pool, scored)
    asked = _asked(operation, pool, sizes, total)
    kinds = np.array([_kind(name, operation) for name in pool.names], dtype=np.uint8)
    marks = np.where(pool.able, kinds[np.minimum(pool.stratum, len(kinds) - 1)], 0).astype(np.uint8)
    key, chance = (order_key(operation.seed, *rule) for rule in (("select",), ("select", "chance")))
    stages = kernels.goal_choose(
        (key, chance),
        task.keys,
        scores=scored.rho,
        pool=(pool.able, marks, pool.stratum, pool.group, pool.text, pool.video),
        counts=(asked.total, asked.temporal, asked.video, asked.most_video),
        floors=asked.floors,
        limits=(np.array(asked.quotas, dtype=np.uint64), np.array(asked.caps, dtype=np.uint64)),
        per_video=operation.per_video,
    )
    taken = Taken(traits=pool, marks=marks, counts=asked, stages=stages)
    realised = int(taken.rows.sum())
    if operation.budget is not None and operation.baseline is None and realised < total:
        notes = ["no text is taken twice, and no video more often than `per_video`"]
        task.short(task.budget(operation.budget, pool.able), operation.budget, realised, notes=notes, ways_out=[])
        return task.nothing
    _tell_unmet(task, operation, taken)
    preference = (key, scored.rho) if operation.baseline is None else (chance, None)
    told.explain(task, preference, scored, taken, operation.per_video)
    written = "the automatic budget" if operation.budget is None else str(operation.budget)
    if operation.baseline is not None:
        written = f"{operation.baseline} times {written}"
    request = Request(
        what="select", requested=written, available=int(pool.able.sum()), realised=realised, unit="samples"
    )
    return Chosen(
        times=taken.rows.view(np.uint8),
        requests=(request, *(told.requests(taken) if operation.baseline is None else ())),
        strata=told.shares(taken),
    )


def _total(task: Task, operation: nodes.GoalDriven, sizes: list[int], pool: Traits, scored: Scores) -> int:
    """How many samples to take. An explicit budget is not adjusted for visual dependence, as in the release."""
    if operation.budget is not None:
        total = task.budget(operation.budget, pool.able).amount
    else:
        positive = int((pool.able & scored.measured & (scored.vds3 > 0)).sum())
        measured = int((pool.able & scored.measured).sum())
        total = automatic(sizes, operation.parameters)
        total = adjusted(total, sum(sizes), positive, measured, operation.parameters)
    return total * (operation.baseline or 1)


def _asked(operation: nodes.GoalDriven, pool: Traits, sizes: list[int], total: int) -> Counts:
    """What is asked for; of a baseline nothing but its size."""
    if operation.baseline is not None:
        nothing = (0,) * len(sizes)
        return Counts(total=total, temporal=0, video=0, most_video=total, floors=(), quotas=nothing, caps=nothing)
    groups = kernels.totals(pool.group, len(pool.groups), alive=pool.able).tolist()
    kinds = [(bool(kind & 1), bool(kind & 2)) for kind in (_kind(name, operation) for name in pool.names)]
    return counts(total, sizes, kinds, groups, operation.parameters)


def _kind(stratum: tuple[str, ...], operation: nodes.GoalDriven) -> int:
    """1 for a stratum of videos, and 2 more where these are temporal."""
    bucket, _, temporal, *_ = stratum
    return (bucket == "video") * (1 + 2 * (temporal in operation.parameters.temporal_categories))


def _tell_unmet(task: Task, operation: nodes.GoalDriven, taken: Taken) -> None:
    unmet = told.unmet(taken)
    if not unmet:
        return
    noun = "request" if len(unmet) == 1 else "requests"
    headline = f"{len(unmet)} {noun} of {operation.goal} cannot be met"
    ways_out = "bring more such samples, or ask for less with `parameters` or `budget`"
    if operation.strict:
        task.findings.error("execute.unmet", headline, task.span("goal"), notes=unmet, help=ways_out)
    else:
        task.findings.warn("note.unmet", headline, task.span("goal"), notes=unmet, help=ways_out)
