"""Votes: the samples that are in the top of most tasks (ICONS, Wu et al., arXiv 2501.00654, influence consensus).

Churn: a changed budget adds or removes exactly the change of its count, at the end of the order by (votes, keyed hash,
id). `k` samples more or fewer move the border of each of `t` tasks by at most `k` ranks, so at most `k * (t + 1)` samples
have other votes or are new, and each of these changes the selection by at most two.
"""

from __future__ import annotations

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.methods.top import largest
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.plan import nodes
from recipe_compiler.syntax.expression import canonical


def vote(task: Task, operation: nodes.Vote) -> Chosen:
    """Each task votes for its `floor(top * n)` largest of the n samples that it scores, by (score, keyed hash, id).

    The budget takes most votes first. A sample that some task scores can be taken, also without a vote.
    """
    key = order_key(operation.seed, "select")
    together = np.zeros(task.frame.height, dtype=np.uint32)
    votes = np.zeros(task.frame.height, dtype=np.int64)
    able = np.zeros(task.frame.height, dtype=np.bool_)
    told = {}
    for number, score in enumerate(operation.scores):
        scores, scored = task.scores(score, "scores", number, lost="cannot be voted for")
        limit = np.array([int(int(scored.sum()) * operation.top)], dtype=np.uint64)
        voted = kernels.best(key, task.keys, alive=scored, scores=scores, group=together, limits=limit)
        told[f"vote of {canonical(score)}"] = voted.astype(np.int64)
        votes += voted
        able |= scored
    return largest(task, operation.seed, operation.budget, votes.astype(np.float64), able, reckoned=told)
