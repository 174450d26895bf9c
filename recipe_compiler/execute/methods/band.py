"""Bands: the samples between two ranks (perplexity in the middle, Marion et al. 2309.04564; longest, shortest).

Churn: a moved border adds or removes exactly the samples between the old border and the new one.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute import frames
from recipe_compiler.execute.ranks import Preference
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.manifest.schema import Request
from recipe_compiler.plan import nodes


def band(task: Task, operation: nodes.Band) -> Chosen:
    """Takes ranks `floor(low * n)` to `floor(high * n)` of the n samples of each stratum, smallest score first."""
    scores, scored = task.scores(operation.score, "score")
    group, names = np.zeros(task.frame.height, dtype=np.uint32), [""]
    for position, name in enumerate(operation.by):
        task.has_column(name, "by", position)
    if operation.by and not task.findings.errors:
        group, names = frames.combined(task.frame, operation.by, scored)
    if task.findings.errors:
        return task.nothing
    key = order_key(operation.seed, "select")
    sizes = kernels.totals(group, len(names), alive=scored).tolist()

    def below(share: Fraction) -> kernels.Bools:
        limits = np.array([int(size * share) for size in sizes], dtype=np.uint64)
        return kernels.best(key, task.keys, alive=scored, scores=-scores, group=group, limits=limits)

    taken = below(operation.high) & ~below(operation.low)
    if task.watch is not None:
        strata = (", ".join(operation.by), group, names) if operation.by else None
        task.watch.ranked(
            task.node, task.frame, Preference(key=key, keys=task.keys, scores=-scores), scored, taken, strata
        )
    width = nodes.Amount(share=operation.high - operation.low)
    request = Request(
        what="band", requested=str(width), available=sum(sizes), realised=int(taken.sum()), unit="samples"
    )
    return Chosen(times=taken.astype(np.uint32), requests=(request,))
