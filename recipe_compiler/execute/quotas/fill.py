"""`fill`: quotas and a budget -> the samples that meet them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import polars as pl

from recipe_compiler import kernels, sift
from recipe_compiler.execute.quotas.offer import Cells, Offer, Tallies, cells_of, nearness, sums
from recipe_compiler.execute.quotas.refusal import refuse
from recipe_compiler.execute.quotas.repair import repair
from recipe_compiler.execute.quotas.requests import Parts, asked_for, bounds, parts_of, rows_of
from recipe_compiler.execute.quotas.settle import Settled, Unsettled, settle
from recipe_compiler.execute.quotas.system import F64, Row
from recipe_compiler.execute.ranks import Preference
from recipe_compiler.execute.task import Budget, Chosen, Task, order_key
from recipe_compiler.execute.watch import Filled
from recipe_compiler.manifest.schema import Optimum, Request
from recipe_compiler.plan import nodes

_WORDS = {"min": "at least", "max": "at most", "target": "about"}


def fill(task: Task, operation: nodes.Quotas) -> Chosen:
    """Takes the budget so that every quota is met: exactly in samples, within one sample in tokens."""
    scores, able = None, task.alive
    if operation.score is not None:
        scores, able = task.scores(operation.score, "score")
    budget = task.budget(operation.budget)
    parts = parts_of(task, operation.quotas, able)
    if parts is None:
        return task.nothing
    having = budget.sum(able)
    if having < budget.amount:
        task.short(budget, operation.budget, having, notes=[], ways_out=[])
        return task.nothing
    key = order_key(operation.seed, "select")
    value = scores
    if value is None:
        drawn = kernels.take(key, task.keys, alive=able, passes=1, costs=budget.costs, budget=budget.amount, caps=[])
        value = nearness(key, task.keys, able, drawn.times > 0)
    tokens = task.frame["tokens"].cast(pl.UInt64).to_numpy()
    worth = value if budget.costs is None else value * tokens
    in_tokens = budget.costs is not None
    offer = Offer(keys=task.keys, able=able, value=value, worth=worth, tokens=tokens, parts=parts, in_tokens=in_tokens)
    rows = rows_of(operation.quotas, parts, budget)
    settled = settle(offer, rows, key)
    if isinstance(settled, Unsettled):
        refuse(task, operation, budget, parts, rows, key, settled)
        return task.nothing
    taken = _taken(key, scores, settled)
    tallies = sift.tally(parts.codes, tokens, taken)
    _tell_missed(task, rows, sums(parts, rows, tallies), offer)
    if task.findings.errors:
        return task.nothing
    if task.watch is not None:
        preference = Preference(key=key, keys=task.keys, scores=scores)
        task.watch.quotas += _filled(task, operation, parts, preference, able, taken)
        cells = cells_of(parts, able)
        strata = ("quotas", cells.cell, _Names(cells, parts))
        task.watch.ranked(task.node, task.frame, preference, able, taken, strata)
    total = int(tallies[0][in_tokens].sum())
    return Chosen(
        times=taken.view(np.uint8),
        requests=(
            task.request(operation.budget, budget, total, budget.sum(able)),
            *_requests(operation, offer, budget, tallies),
        ),
        optima=(_optimum(operation, offer, settled, taken),),
    )


def _taken(key: int, scores: F64 | None, settled: Settled) -> kernels.Bools:
    """What was settled from the start, and the first of each cell as far as the program says."""
    near, amounts = settled.near, settled.amounts()
    limits = np.floor(amounts + 1e-6) if near.in_tokens else np.round(amounts)
    some = None if scores is None else scores[settled.rows]
    taken = kernels.best(
        key,
        near.keys,
        alive=near.able,
        scores=some,
        group=settled.cells.cell,
        limits=limits.astype(np.uint64),
        costs=near.tokens if near.in_tokens else None,
    )
    if any(row.tokens for row in settled.system.rows):
        taken = repair(near.keys, (key, some), settled.cells, settled.system, settled.optimum, taken, near.tokens)
    everything = settled.fixed.copy()
    everything[settled.rows[taken]] = True
    return everything


def _tell_missed(task: Task, rows: Sequence[Row], found: F64, offer: Offer) -> None:
    """Whole samples may not come as near as split ones do; what is missed is never passed over."""
    in_tokens = any(row.tokens for row in rows)
    largest = int(offer.tokens[offer.able].max(initial=1)) if in_tokens else 1
    for row, got in zip(rows, found.tolist(), strict=True):
        below = row.lower - got >= largest if row.tokens else got < row.lower
        if row.asked.kind == "target" or not (below or got > row.upper):
            continue
        at = ("budget",) if row.asked.kind == "budget" else ("quotas", row.asked.quota, row.asked.kind)
        unit = "tokens" if row.tokens else "samples"
        bound = f"at most {row.upper:,.0f}" if got > row.upper else f"at least {row.lower:,.0f}"
        task.findings.error(
            "execute.quotas",
            f"{row.name}: {bound} {unit} are asked for, and whole samples came to {got:,.0f}",
            task.span(*at),
            help="leave more room between its bounds and those of other quotas, or say all amounts in one unit",
        )


def _optimum(operation: nodes.Quotas, offer: Offer, settled: Settled, taken: kernels.Bools) -> Optimum:
    """What was to be had most of, beside the most that is proven to be possible."""
    had, most = sift.summed(offer.worth, taken, offer.able)
    bound = max(settled.bound, had)
    if operation.score is not None:
        over = " over tokens" if offer.in_tokens else ""
        return Optimum(
            what=f"sum of {nodes.document(operation.score)}{over}", realised=f"{had:.6g}", bound=f"{bound:.6g}"
        )
    return Optimum(
        what="cost of leaving the random draw", realised=f"{most - had:.6g}", bound=f"{max(most - bound, 0.0):.6g}"
    )


def _amounts(parts: Parts, tallies: Tallies) -> dict[tuple[int, int], tuple[int, int]]:
    """(samples, tokens) of each part, by quota and value."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for number, (samples, spent) in enumerate(tallies):
        for part in parts.parts:
            if part.quota == number:
                inside = part.value < len(samples)
                found[number, part.value] = (int(samples[part.value]), int(spent[part.value])) if inside else (0, 0)
    return found


def _requests(operation: nodes.Quotas, offer: Offer, budget: Budget, taken: Tallies) -> list[Request]:
    parts = offer.parts
    realised = _amounts(parts, taken)
    there = _amounts(parts, sift.tally(parts.codes, offer.tokens, offer.able))
    found = []
    for part in parts.parts:
        for kind, amount in bounds(operation.quotas[part.quota]):
            in_tokens = asked_for(kind, amount, budget)[1]
            found.append(
                Request(
                    what=part.name,
                    requested=f"{_WORDS[kind]} {amount}",
                    available=there[part.quota, part.value][in_tokens],
                    realised=realised[part.quota, part.value][in_tokens],
                    unit="tokens" if in_tokens else "samples",
                )
            )
    return found


def _filled(
    task: Task,
    operation: nodes.Quotas,
    parts: Parts,
    preference: Preference,
    able: kernels.Bools,
    taken: kernels.Bools,
) -> list[Filled]:
    groups = [parts.values(quota) for quota in range(len(parts.sizes))]
    return [
        Filled(
            node=task.node,
            at=(*task.node.at, "quotas", part.quota, kind),
            name=part.name,
            asked=f"{_WORDS[kind]} {amount}",
            group=groups[part.quota],
            value=part.value,
            preference=preference,
            able=able,
            taken=taken,
        )
        for part in parts.parts
        for kind, amount in bounds(operation.quotas[part.quota])
    ]


class _Names(Sequence[str]):
    """The quotas that each cell counts for; there may be very many cells, and few are asked for."""

    def __init__(self, cells: Cells, parts: Parts) -> None:
        self.cells, self.parts = cells, parts

    def __len__(self) -> int:
        return len(self.cells)

    @overload
    def __getitem__(self, cell: int) -> str: ...
    @overload
    def __getitem__(self, cell: slice) -> list[str]: ...
    def __getitem__(self, cell: int | slice) -> str | list[str]:
        if isinstance(cell, slice):
            return [self[number] for number in range(*cell.indices(len(self)))]
        first = self.cells.first[cell : cell + 1]
        names = [part.name for part in self.parts.parts if self.parts.values(part.quota, first)[0] == part.value]
        return ", ".join(dict.fromkeys(names)) or "none"
