"""DEITA: the largest scores of which no two are too near (Liu et al., arXiv 2312.15685, section 2.4).

The filter is the paper's: a sample is compared with those that are taken, never with those that were refused. (The
released code also refuses what is near to one that was refused in the same batch.)

Churn: a changed budget adds or removes only the end of what is taken. A sample that is refused can come or go and nothing
changes. One that is taken may make room for others or take it away, and these for others again: nothing less than all
samples after it bounds that.
"""

from __future__ import annotations

from recipe_compiler import kernels
from recipe_compiler.execute.embeddings import embedded
from recipe_compiler.execute.methods.spread import affordable, chosen, limit, most_taken
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.plan import nodes


def deita(task: Task, operation: nodes.Deita) -> Chosen:
    """Takes samples by (score, keyed hash, id) whose cosine to each one taken before is at most the threshold.

    In tokens, the first sample that is not too near and does not fit is the end.
    """
    scores, scored = task.scores(operation.score, "score")
    found = embedded(task, operation.embedding, order_key(operation.seed, "select"), able=scored, scores=scores)
    if found is None or task.findings.errors:
        return task.nothing
    budget = task.budget(operation.budget)
    if not affordable(task, found, len(found.rows) * most_taken(found, budget)):
        return task.nothing
    most = int(operation.threshold * kernels.WHOLE)
    sequence, blocked = kernels.distinct(found.vectors, most, limit(found, budget))
    return chosen(task, operation.budget, budget, found, sequence, blocked=blocked, scores=scores)
