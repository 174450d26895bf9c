"""Maximal marginal relevance: score less similarity to what is taken (Carbonell and Goldstein 1998, SIGIR, equation 1).

Churn: a changed budget adds or removes only the end of the sequence. A sample that is not taken can go and nothing
changes. One that comes and is taken, or is taken and goes, may change every choice after it.
"""

from __future__ import annotations

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.embeddings import embedded
from recipe_compiler.execute.methods.spread import affordable, chosen, limit, most_taken
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.plan import nodes

_LARGEST = 10**6


def mmr(task: Task, operation: nodes.Mmr) -> Chosen:
    """Takes always the largest `relevance * score - (1 - relevance) * similarity`, of equals the first of the keyed order.

    Similarity is 0 before one is taken. Scores are rounded to the unit of similarities, about 1e-9.
    """
    scores, scored = task.scores(operation.score, "score")
    largest = float(np.abs(scores[scored]).max(initial=0))
    if largest > _LARGEST:
        headline = f"a score of {largest:g} is set against cosines, which are at most 1"
        task.findings.error("execute.column-type", headline, task.span("score"), help="divide it by its largest value")
    found = embedded(task, operation.embedding, order_key(operation.seed, "select"), able=scored)
    if found is None or task.findings.errors:
        return task.nothing
    budget = task.budget(operation.budget)
    if not affordable(task, found, len(found.rows) * most_taken(found, budget)):
        return task.nothing
    worth = np.rint(scores[found.rows] * kernels.WHOLE).astype(np.int64)
    balance = operation.relevance.numerator, operation.relevance.denominator
    sequence = kernels.relevance(found.vectors, worth, balance, limit(found, budget))
    return chosen(task, operation.budget, budget, found, sequence, scores=scores)
