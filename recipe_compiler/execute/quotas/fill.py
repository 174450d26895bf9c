"""`fill`: quotas and a budget -> the samples that meet them all."""

from __future__ import annotations

import dataclasses

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.cells import Cells, cells_of, drawn_columns, scored_columns, system_of
from recipe_compiler.execute.quotas.refusal import refuse
from recipe_compiler.execute.quotas.repair import repair
from recipe_compiler.execute.quotas.requests import Parts, asked_for, bounds, parts_of, rows_of
from recipe_compiler.execute.quotas.system import F64, System
from recipe_compiler.execute.task import Budget, Chosen, Task, order_key
from recipe_compiler.execute.watch import Filled, Preference
from recipe_compiler.manifest.schema import Optimum, Request
from recipe_compiler.plan import nodes

#: How near to the proven bound the sum of scores has to be, and how often prices make columns finer on the way.
_GAP = 1e-4
_ROUNDS = 4
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
    having = int(able.sum()) if budget.costs is None else int(budget.costs[able].sum())
    if having < budget.amount:
        task.short(budget, operation.budget, having, notes=[], ways_out=[])
        return task.nothing
    key = order_key(operation.seed, "select")
    cells = cells_of(parts, able)
    solved = _scored(task, operation, cells, parts, budget, scores) if scores is not None else None
    if scores is None:
        one = np.zeros(task.frame.height, dtype=np.uint32)
        whole = np.array([budget.amount], dtype=np.uint64)
        drawn = kernels.best(key, task.keys, alive=able, scores=None, group=one, limits=whole, costs=budget.costs)
        columns = drawn_columns(task, cells, drawn, budget)
        system = system_of(cells, parts, rows_of(operation.quotas, parts, budget), columns, budget)
        solved = _Solved.of(system)
    assert solved is not None
    if solved.optimum is None:
        refuse(task, operation, parts, budget, solved.system)
        return task.nothing
    amounts = np.bincount(solved.system.columns.cell, weights=solved.optimum.amounts, minlength=len(cells))
    limits = np.round(amounts) if budget.costs is None else np.floor(amounts + 1e-6)
    taken = kernels.best(
        key,
        task.keys,
        alive=able,
        scores=scores,
        group=cells.cell,
        limits=limits.astype(np.uint64),
        costs=budget.costs,
    )
    tokens = task.frame["tokens"].to_numpy().astype(np.uint64)
    if any(row.tokens for row in solved.system.rows):
        taken = repair(task, (key, scores), cells, solved.system, solved.optimum, taken, tokens)
    realised = _realised(parts, operation, budget, taken, tokens)
    if task.watch is not None:
        names = _names(task, cells, parts)
        preference = Preference(key=key, keys=task.keys, scores=scores)
        task.watch.quotas += _filled(task, operation, parts, preference, able, taken)
        task.watch.ranked(task.node, task.frame, preference, able, taken, ("quotas", cells.cell, names))
    return Chosen(
        times=taken.astype(np.uint32),
        requests=(
            task.request(operation.budget, budget, int(taken.sum() if budget.costs is None else tokens[taken].sum())),
            *_requests(operation, parts, budget, able, tokens, realised),
        ),
        optima=(_optimum(task, operation, cells, solved, scores, taken, tokens),),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Solved:
    system: System
    optimum: solver.Optimum | None

    @staticmethod
    def of(system: System) -> _Solved:
        return _Solved(system=system, optimum=solver.maximise(system))


def _scored(task: Task, operation: nodes.Quotas, cells: Cells, parts: Parts, budget: Budget, scores: F64) -> _Solved:
    """The system of scores, its columns cut finer where the optimum falls until what is had is near the bound."""
    rows = rows_of(operation.quotas, parts, budget)
    prices: list[F64] = []
    while True:
        columns = scored_columns(task, cells, scores, budget, prices)
        solved = _Solved.of(system_of(cells, parts, rows, columns, budget))
        if solved.optimum is None or len(prices) == _ROUNDS:
            return solved
        had = float(columns.slope @ solved.optimum.amounts)
        tokens = task.frame["tokens"].to_numpy()
        bound = _lagrange(solved.system, solved.optimum.prices, cells, scores, tokens)
        if bound - had <= _GAP * max(abs(bound), 1e-9):
            return solved
        per_sample, per_token = _cell_prices(solved.system, solved.optimum.prices)
        inside = cells.cell[cells.able]
        size = np.maximum(np.bincount(inside, minlength=len(cells)), 1)
        mean = np.bincount(inside, weights=tokens[cells.able], minlength=len(cells)) / size
        prices.append(per_sample + per_token * mean)


def _cell_prices(system: System, prices: F64) -> tuple[F64, F64]:
    """What a sample and what a token of each cell has to pay, by the prices of the rows."""
    in_tokens = np.array([row.tokens for row in system.rows])
    of = np.repeat(np.arange(system.num_cells), np.diff(system.starts))
    paid = prices[system.members]
    tokens = in_tokens[system.members]
    return tuple(  # type: ignore[return-value]
        np.bincount(of, weights=np.where(tokens == wanted, paid, 0.0), minlength=system.num_cells)
        for wanted in (False, True)
    )


def _lagrange(system: System, prices: F64, cells: Cells, scores: F64, tokens: kernels.U64) -> float:
    """A bound on the sum of scores that holds for any prices: what samples are worth beyond them, and what rows give."""
    per_sample, per_token = _cell_prices(system, prices)
    able = np.flatnonzero(cells.able)
    cell = cells.cell[able]
    beyond = scores[able] - per_sample[cell] - per_token[cell] * tokens[able]
    given = sum(
        price * (row.upper if price > 0 else row.lower)
        for row, price in zip(system.rows, prices.tolist(), strict=True)
        if np.isfinite(row.upper if price > 0 else row.lower)
    )
    return float(np.maximum(beyond, 0.0).sum()) + float(given)


def _optimum(
    task: Task,
    operation: nodes.Quotas,
    cells: Cells,
    solved: _Solved,
    scores: F64 | None,
    taken: kernels.Bools,
    tokens: kernels.U64,
) -> Optimum:
    """What was to be had most of, beside the most that is proven to be possible."""
    assert solved.optimum is not None
    if scores is not None and operation.score is not None:
        had = float(scores[taken].sum())
        bound = max(_lagrange(solved.system, solved.optimum.prices, cells, scores, tokens), had)
        return Optimum(what=f"sum of {nodes.document(operation.score)}", realised=f"{had:.6g}", bound=f"{bound:.6g}")
    columns = solved.system.columns
    most = float(columns.slope[columns.slope > 0] @ columns.width[columns.slope > 0])
    had, bound = float(columns.slope @ solved.optimum.amounts), solved.optimum.bound
    return Optimum(
        what="cost of leaving the random draw",
        realised=f"{max(most - had, 0):.6g}",
        bound=f"{max(most - bound, 0):.6g}",
    )


def _realised(
    parts: Parts, operation: nodes.Quotas, budget: Budget, taken: kernels.Bools, tokens: kernels.U64
) -> dict[tuple[int, int], tuple[int, int]]:
    """(samples, tokens) that are taken of each part, by quota and value."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for number, group in enumerate(parts.groups):
        size = int(group.max(initial=0)) + 1
        samples = kernels.totals(group, size, alive=taken)
        spent = kernels.totals(group, size, weights=tokens, alive=taken)
        for part in parts.parts:
            if part.quota == number:
                inside = part.value < size
                found[number, part.value] = (int(samples[part.value]), int(spent[part.value])) if inside else (0, 0)
    return found


def _requests(
    operation: nodes.Quotas,
    parts: Parts,
    budget: Budget,
    able: kernels.Bools,
    tokens: kernels.U64,
    realised: dict[tuple[int, int], tuple[int, int]],
) -> list[Request]:
    there = _realised(parts, operation, budget, able, tokens)
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
    return [
        Filled(
            node=task.node,
            at=(*task.node.at, "quotas", part.quota, kind),
            name=part.name,
            asked=f"{_WORDS[kind]} {amount}",
            group=parts.groups[part.quota],
            value=part.value,
            preference=preference,
            able=able,
            taken=taken,
        )
        for part in parts.parts
        for kind, amount in bounds(operation.quotas[part.quota])
    ]


def _names(task: Task, cells: Cells, parts: Parts) -> list[str]:
    """The quotas that each cell counts for."""
    names: list[list[str]] = [[] for _ in range(len(cells))]
    for part in parts.parts:
        for cell in np.flatnonzero(parts.groups[part.quota][cells.first] == part.value).tolist():
            names[cell].append(part.name)
    return [", ".join(dict.fromkeys(listed)) or "none" for listed in names]
