"""What is told where quotas cannot be met together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recipe_compiler.diagnostics import Edit, Place, Span
from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.conflict import Case, Relaxation, conflict, relaxations
from recipe_compiler.execute.quotas.offer import cells_of, system_of
from recipe_compiler.execute.quotas.proof import MOST_CELLS, Excluded, contested, decided, fewest
from recipe_compiler.execute.quotas.requests import Parts, asked_for, rows_of, written
from recipe_compiler.execute.quotas.settle import MOST, Unsettled
from recipe_compiler.execute.quotas.system import Asked, Row, System
from recipe_compiler.execute.task import Budget, Task
from recipe_compiler.plan import nodes

_WORDS = {"min": "at least", "max": "at most"}
#: How far from the bound of a program of split samples whole numbers are looked for: of few cells, and of very many.
_STEPS, _FEW_STEPS = 64, 3


def refuse(
    task: Task, operation: nodes.Quotas, budget: Budget, parts: Parts, rows: Sequence[Row], key: int, found: Unsettled
) -> None:
    """Tells a smallest set of requests that exclude each other, each at its line, and what could be asked for instead."""
    asked = list(dict.fromkeys(row.asked for row in rows if row.asked.kind != "target"))
    in_tokens = {row.tokens for row in found.rows}

    def counted(some: Sequence[Row]) -> list[Row]:
        return [replace(row, tokens=True) for row in some] if in_tokens == {True} else list(some)

    def at_budget(amount: int) -> Sequence[Row]:
        other = Budget(amount=amount, costs=budget.costs, available=budget.available)
        return [row for row in counted(rows_of(operation.quotas, parts, other)) if row.asked in kept]

    def works(changed: System) -> bool:
        if complete:
            return solver.feasible(changed)
        new = {(row.asked, row.name): row for row in changed.rows}
        everything = [new.get((row.asked, row.name), row) for row in found.rows if row.asked.kind != "target"]
        sides = None if found.why is None else found.why.sides
        standing = decided(found.offer, everything, key, sides)
        if isinstance(standing, Excluded):
            return False
        return solver.whole(replace(standing.system, whole=changed.whole), standing.relaxed) is not None

    system = replace(_system(found, key), whole=not any(row.tokens for row in rows))
    kept = {row.asked for row in system.rows}
    complete = len(kept) == len({row.asked for row in rows})
    some = [one for one in asked if one in kept]
    case = Case(system=system, asked=some, at_budget=at_budget, works=works, steps=_STEPS if complete else _FEW_STEPS)
    members = conflict(system.asking(case.asked), case.asked)
    ways_out = relaxations(case, members)
    first, *others = [(_span(task, member), _label(operation, member, budget)) for member in members]
    options = [_option(task, operation, budget, relaxation) for relaxation in ways_out]
    edits = [edit for relaxation in ways_out if (edit := _edit(task, operation, budget, relaxation)) is not None]
    task.findings.error(
        "execute.quotas",
        "these requests cannot be met together" if others else "this request cannot be met",
        first[0],
        label=first[1],
        places=[Place(span, label) for span, label in others],
        notes=list(dict.fromkeys(_having(system, member) for member in members if member.kind != "budget")),
        help="ask for " + ", or for ".join(options) if options else "leave one of them out",
        mended=edits[0] if edits else None,
    )


def _system(found: Unsettled, key: int) -> System:
    """All that is asked for, over all samples; where these are very many cells, only what excludes each other."""
    offer, rows, why = found.offer, found.rows, found.why
    cells = cells_of(offer.parts, offer.able)
    if why is None or len(cells) <= MOST:
        return system_of(offer, cells, rows)
    only, cells, kept = contested(offer, rows, why.prices)
    if len(cells) > MOST_CELLS:
        only, cells, kept = contested(offer, rows, fewest(offer, rows, key, why).prices)
    return system_of(only, cells, kept)


def _span(task: Task, asked: Asked) -> Span:
    return task.span("budget") if asked.kind == "budget" else task.span("quotas", asked.quota, asked.kind)


def _amount(operation: nodes.Quotas, asked: Asked) -> nodes.Amount:
    if asked.kind == "budget":
        return operation.budget
    amount: nodes.Amount = getattr(operation.quotas[asked.quota], asked.kind)
    return amount


def _label(operation: nodes.Quotas, asked: Asked, budget: Budget) -> str:
    if asked.kind == "budget":
        return f"{budget.amount:,} {budget.unit} in all"
    amount = _amount(operation, asked)
    number, tokens = asked_for(asked.kind, amount, budget)
    each = " each" if operation.quotas[asked.quota].by is not None else ""
    return f"{_WORDS[asked.kind]} {number:,} {'tokens' if tokens else 'samples'}{each}"


def _having(system: System, asked: Asked) -> str:
    """How much there is of what is asked for."""
    rows = [number for number, row in enumerate(system.rows) if row.asked == asked]
    everything = system.sums(system.columns, system.columns.width)
    listed = [f"{system.rows[row].name} has {round(everything[row]):,}" for row in rows[:6]]
    more = f" and {len(rows) - 6} more" if len(rows) > 6 else ""
    return ", ".join(listed) + more


def _changed(operation: nodes.Quotas, asked: Asked, number: int, budget: Budget) -> nodes.Amount:
    amount = _amount(operation, asked)
    if asked.kind == "budget":
        return nodes.Amount(count=number) if budget.costs is None else nodes.Amount(tokens=number)
    return written(amount, asked.kind, number, budget)


def _option(task: Task, operation: nodes.Quotas, budget: Budget, relaxation: Relaxation) -> str:
    parts = []
    for asked, number in relaxation.amounts:
        changed = _changed(operation, asked, number, budget)
        span = _span(task, asked)
        name = "budget" if asked.kind == "budget" else asked.kind
        parts.append(f"`{name}: {_written(changed)}` in line {span.line}")
    return " and ".join(parts)


def _written(amount: nodes.Amount) -> str:
    """An amount as a recipe writes it."""
    if amount.share is not None:
        return str(amount)
    return f"{{count: {amount.count}}}" if amount.count is not None else f"{{tokens: {amount.tokens}}}"


def _edit(task: Task, operation: nodes.Quotas, budget: Budget, relaxation: Relaxation) -> Edit | None:
    """The mended line, where one setting written as a share is enough."""
    if len(relaxation.amounts) != 1:
        return None
    ((asked, number),) = relaxation.amounts
    changed = _changed(operation, asked, number, budget)
    if asked.kind == "budget" or changed.share is None:
        return None
    at = ("quotas", asked.quota, asked.kind)
    node_text = task.checked.scalar_text(*task.node.at, *at)
    return Edit(task.span(*at), str(changed)) if node_text is not None else None
