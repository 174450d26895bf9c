"""k-center: always the sample farthest from all taken (Sener and Savarese, arXiv 1708.00489, algorithm 1).

On vectors of one length the farthest is the one with the smallest cosine to its nearest centre, so that no distance is
reckoned.

Churn: a changed budget adds or removes only the end of the sequence. A sample that is not taken can go and nothing
changes. One that comes and is taken, or is taken and goes, may change every choice after it.
"""

from __future__ import annotations

from recipe_compiler import kernels
from recipe_compiler.execute.embeddings import embedded
from recipe_compiler.execute.methods.spread import affordable, chosen, limit, most_taken
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.plan import nodes


def k_center(task: Task, operation: nodes.KCenter) -> Chosen:
    """Takes the first of the keyed order, then the farthest, and of equals the first of the keyed order."""
    found = embedded(task, operation.embedding, order_key(operation.seed, "select"), able=task.alive)
    if found is None:
        return task.nothing
    budget = task.budget(operation.budget)
    if not affordable(task, found, len(found.rows) * most_taken(found, budget)):
        return task.nothing
    sequence = kernels.k_center(found.vectors, limit(found, budget))
    return chosen(task, operation.budget, budget, found, sequence)
