"""Facility location: samples that stand for all others (Nemhauser, Wolsey and Fisher 1978; lazily, Minoux 1978).

With `neighbours`, only similarities between near samples count (Wei, Iyer and Bilmes, ICML 2014, section 5): the sum is
then another one, and it is maximised as exactly. Neighbours are found exactly.

Churn: a changed budget adds or removes only the end of the sequence. Every sample counts in the sum, so that one that
comes or goes may change every choice.
"""

from __future__ import annotations

from recipe_compiler import kernels
from recipe_compiler.execute.embeddings import embedded
from recipe_compiler.execute.methods.spread import affordable, chosen, limit
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.plan import nodes


def facility_location(task: Task, operation: nodes.FacilityLocation) -> Chosen:
    """Takes always the sample that adds most to the sum over all of `max(0, largest cosine to a taken one)`.

    Of equals the first of the keyed order. Of a number of samples, what is taken has at least `1 - 1/e` of the largest sum there is.
    """
    found = embedded(task, operation.embedding, order_key(operation.seed, "select"), able=task.alive)
    if found is None:
        return task.nothing
    budget = task.budget(operation.budget)
    fewer = ["count `neighbours` only"] * (operation.neighbours is None)
    count = len(found.rows)
    # A search for neighbours compares each pair once; the sum over all is looked at from both sides.
    pairs = count**2 if operation.neighbours is None else count * (count - 1) // 2
    if not affordable(task, found, pairs, ways_out=fewer):
        return task.nothing
    sequence = kernels.facility(found.vectors, operation.neighbours, limit(found, budget))
    return chosen(task, operation.budget, budget, found, sequence)
