"""mmSSR: capabilities take turns, and each takes the best of every bin (Lyu et al., arXiv 2503.13383, released code).

A bin is a style of interaction in a source. A sample lies in the bin of each of its styles, in the order in which they are
listed; its `k`th style is the style at place `k`. A capability can take the samples that score more than `threshold`;
a missing score is not more than anything.

1. While the budget `B` is not filled and a capability is live, there is a round. In it every live capability takes one
   turn, in the order of the recipe, of `k = max((B - taken) div live, 1)` samples, never more than are lacking. Who
   finds nothing to take is not live any more.
2. A turn looks at the bins in which the capability has samples that nobody took, fewest first, ties by name. Each bin is
   to give an equal part of `k`, the first `k mod bins` one more, and what a bin lacks, the next one gives as well.
3. A bin gives its first by (score, largest first; place of the style; keyed hash; id). A sample that a bin before it gave
   in this turn is passed over.
4. Where no capability is live and the budget is not filled, all that can be taken is taken. That is an error, or, with
   `fill: random`, the rest is taken along the keyed order of all other samples, and told.

With `compat`, as the released code does: in 3 the place of the style goes before the score; in 2 each bin is to give
`max(k div bins, 1)`, so that when there are fewer bins than `k` a remainder waits for the next round. Unlike that code, no
turn takes more than `k`, an empty turn is no crash, and ties and the order of capabilities never depend on the machine.

Churn: a turn takes of each bin the first of a fixed order among what is left. So, for the same samples, two selections in
whose turns the bins stand in the same order, or any two where each sample has one style, differ by at most the sum over
turns and bins of the differences of what they took, and each sample that comes or goes beside that moves at most one other
(a further pick in a sequence of picks adds one sample to what is taken in the end, whatever the picks after it). Less is
not promised: a larger budget changes what each capability takes in its turn, and may let go of samples that a later one
had. What is always taken is all that scores for some capability, or the budget.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import cast

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.execute import frames
from recipe_compiler.execute.expressions import usable_columns
from recipe_compiler.execute.methods.mmssr_bins import Bins, bins_of
from recipe_compiler.execute.methods.mmssr_ranks import Ranks, scores_of
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.manifest.schema import Share
from recipe_compiler.plan import nodes

#: The most levels of scores there can be, and the most counts of rows by cell and level: of one capability, of all.
_LEVELS, _COUNTS, _ALL_COUNTS = 254, 1 << 22, 1 << 26
#: Capabilities that are looked at at once.
_THREADS = 4
_MOST_BYTE = 127


def mmssr(task: Task, operation: nodes.Mmssr) -> Chosen:
    """Takes the budget. Strata are the capabilities: an equal part each, how many samples score, how many it took."""
    budget = task.budget(operation.budget)
    bins = bins_of(task, operation)
    kinds = usable_columns(task.frame)
    for position, name in enumerate(operation.capabilities):
        if kinds.get(name) != "number":
            _tell_no_number(task, name, position)
    if bins is None or task.findings.errors:
        return task.nothing
    capabilities = _capabilities(task, operation, bins)
    key = order_key(operation.seed, "select")
    charged = kernels.mmssr(
        key, task.keys, able=bins.able, bins=bins.arrays, capabilities=capabilities,
        budget=budget.amount, compat=operation.compat,
    )  # fmt: skip
    by_turn = charged.taken.astype(np.uint64)
    realised = kernels.totals(charged.capabilities, len(operation.capabilities), weights=by_turn).tolist()
    taken, total = charged.chosen, sum(realised)
    lacking = budget.amount - total
    if operation.fill == "random" and lacking:
        filled = _filled(task, key, ~taken, lacking)
        taken |= filled
        total += int(np.count_nonzero(filled))
    if total < budget.amount:
        ways_out = ["lower the `threshold`"] * bool(operation.threshold) + ["write `fill: random`"]
        notes = ["all samples that score more than the threshold for a capability are taken"]
        everything = operation.fill == "random"
        task.short(
            budget, operation.budget, total, notes=[] if everything else notes, ways_out=[] if everything else ways_out
        )
    if task.watch is not None:
        ranks = Ranks(
            task=task, operation=operation, key=key, bins=bins, cells=bins.cells, charged=charged, taken=taken
        )
        task.watch.accounts.append(ranks.met)
    able = budget.available if operation.fill == "random" else charged.able
    part = str(Fraction(budget.amount, len(operation.capabilities)))
    shares = [
        Share(name=name, requested=part, available=available, realised=number)
        for name, available, number in zip(operation.capabilities, charged.available, realised, strict=True)
    ]
    if operation.fill == "random":
        left = budget.available - sum(realised)
        shares.append(Share(name="(random)", requested="0", available=left, realised=total - sum(realised)))
    return Chosen(
        times=taken.view(np.uint8),
        requests=(task.request(operation.budget, budget, total, able),),
        strata=tuple(shares),
    )


def _tell_no_number(task: Task, name: str, position: int) -> None:
    if task.has_column(name, "capabilities", position):
        task.findings.error(
            "execute.column-type", f"`{name}` is no number, and a capability is", task.span("capabilities", position)
        )


def _capabilities(task: Task, operation: nodes.Mmssr, bins: Bins) -> list[kernels.Capability]:
    """The levels of each capability, and its scores where levels are not exact. Missing scores are told."""
    cells, num = len(bins.arrays.starts) - 1, len(operation.capabilities)
    most = max(2, min(_LEVELS, _COUNTS // cells, _ALL_COUNTS // (cells * num)))

    def small(name: str) -> kernels.Capability | None:
        """Small whole numbers, which are levels as they lie."""
        column = task.frame[name]
        if column.dtype != pl.Int8 or column.null_count() or operation.threshold < 0:
            return None
        if most <= _MOST_BYTE and cast(int, column.max() or 0) >= most:
            return None
        pieces = [piece.view(np.uint8) for piece in frames.pieces(column)]
        return kernels.Capability(pieces, min(int(operation.threshold), _MOST_BYTE), None)

    def level(name: str) -> tuple[kernels.Capability, int]:
        column = task.frame[name]
        whole = column.dtype.is_integer() and not column.null_count()
        scores = np.ascontiguousarray(column.to_numpy()) if whole else scores_of(task.frame, name)
        found = kernels.levels(scores, bins.able, over=float(operation.threshold), most=most)
        without = 0 if whole else int(np.count_nonzero(np.isnan(scores) & task.alive))
        kept = None if found.exact else scores.astype(np.float64, copy=False)
        return kernels.Capability([found.codes], None, kept), without

    found = {name: capability for name in operation.capabilities if (capability := small(name)) is not None}
    others, lacking = [name for name in operation.capabilities if name not in found], {}
    with ThreadPoolExecutor(_THREADS) as threads:
        for name, (capability, without) in zip(others, threads.map(level, others), strict=True):
            found[name] = capability
            if without:
                lacking[name] = without
    if lacking:
        listed = ", ".join(f"{name} {number:,}" for name, number in list(lacking.items())[:8])
        more = f" and {len(lacking) - 8} more" * (len(lacking) > 8)
        task.findings.warn(
            "note.unscored",
            "some samples have no finite score for a capability, which cannot take them",
            task.span("capabilities"),
            notes=[f"samples without one: {listed}{more}"],
        )
    return [found[name] for name in operation.capabilities]


def _filled(task: Task, key: int, left: kernels.Bools, lacking: int) -> kernels.Bools:
    """What is taken at random of what is left."""
    filled = kernels.best(
        key,
        task.keys,
        alive=task.alive & left,
        scores=None,
        group=np.zeros(len(left), dtype=np.uint32),
        limits=np.array([lacking], dtype=np.uint64),
    )
    headline = f"no capability has {int(filled.sum()):,} of the samples, which are taken at random"
    task.findings.warn("note.filled", headline, task.span("fill"))
    return filled
