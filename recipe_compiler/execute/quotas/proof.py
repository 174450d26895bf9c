"""Whether anything meets all rows, over all samples: a part of them that does, or prices at which the samples together are
worth less than the rows ask for (Farkas' lemma), which is added up in whole numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.cooling import per_unit
from recipe_compiler.execute.quotas.offer import Cells, Offer, cells_of, sides_of, sums
from recipe_compiler.execute.quotas.standing import Standing, standings
from recipe_compiler.execute.quotas.system import F64, INFINITY, Asked, Row, System

#: Proofs are of prices that are whole numbers of so small a part: sums of them have no rounding.
_PART = 2.0**-30
#: Systems of so many cells are solved as they are.
MOST_CELLS = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """Nothing meets all rows; those that exclude each other have prices. `sides` is where the samples were when that was
    proved: for other rows, others begin there."""

    prices: F64
    sides: kernels.U8


def plain(offer: Offer) -> Offer:
    """The samples where only meeting the rows matters."""
    none = np.zeros(len(offer.able))
    return dataclasses.replace(offer, value=none, worth=none)


def asking(rows: Sequence[Row], asked: Sequence[Asked]) -> list[Row]:
    """The same rows where only these ask for anything."""
    kept = frozenset(asked)
    return [row if row.asked in kept else dataclasses.replace(row, lower=-INFINITY, upper=INFINITY) for row in rows]


def decided(offer: Offer, rows: Sequence[Row], key: int, sides: kernels.U8 | None = None) -> Excluded | Standing:
    """Whether split samples can meet these rows, targets apart: how they stand, or why not. It may begin with `sides`."""
    rows = asking(rows, [row.asked for row in rows if row.asked.kind != "target"])
    limits = weights(offer, rows)
    standing = None

    def solve(system: System) -> solver.Relaxed:
        return solver.least(system, limits)

    for standing in standings(offer, rows, key, limits, 1.0, solve, begin=sides):
        if not standing.relaxed.missed:
            return standing
        if (prices := proved(offer, rows, standing.relaxed.prices)) is not None:
            return Excluded(prices=prices, sides=standing.sides)
    # What is missed by less than can be proved is the rounding of the solver.
    assert standing is not None
    return standing


def gathered(offer: Offer, rows: Sequence[Row]) -> tuple[Offer, list[Row]]:
    """The samples where only meeting the rows matters: where all rows count the same, each cell as one sample of so many
    tokens, one for each sample or token in it."""
    in_tokens = {row.tokens for row in rows}
    if len(in_tokens) != 1:
        return plain(offer), list(rows)
    cells = cells_of(offer.parts, offer.able)
    able = np.flatnonzero(offer.able)
    units = offer.tokens[able].astype(np.float64) if in_tokens == {True} else None
    size = np.bincount(cells.cell[able], weights=units, minlength=len(cells))
    some = dataclasses.replace(plain(offer.of(cells.first)), tokens=size.astype(np.uint64), in_tokens=True)
    return some, [dataclasses.replace(row, tokens=True) for row in rows]


def weights(offer: Offer, rows: Sequence[Row]) -> F64:
    """What is the same in samples and in tokens."""
    if len({row.tokens for row in rows}) == 1:
        return np.ones(len(rows))
    mean = float(offer.tokens[offer.able].mean())
    return np.array([1 / mean if row.tokens else 1.0 for row in rows])


def proved(offer: Offer, rows: Sequence[Row], prices: F64) -> F64 | None:
    """The prices, rounded, where they prove that nothing meets the rows.

    Whatever meets the rows pays at most what these allow, and all samples together pay at least `best`.
    """
    parts = np.round(prices / (_PART * max(float(np.abs(prices).max(initial=0.0)), 1e-300)))
    held = [(row.upper if part > 0 else row.lower) if part else 0.0 for row, part in zip(rows, parts, strict=True)]
    if not parts.any() or not np.isfinite(held).all():
        return None
    some, unit_rows, _ = per_unit(offer, rows)
    best = sums(offer.parts, rows, sides_of(some, unit_rows, parts, 0.0).inside)
    lacking = sum(int(part) * (int(bound) - int(had)) for part, bound, had in zip(parts, held, best, strict=True))
    return parts * _PART if lacking < 0 else None


def fewest(offer: Offer, rows: Sequence[Row], key: int, why: Excluded) -> Excluded:
    """Why rows exclude each other of which none can be left out."""
    left = priced_of(rows, why.prices)
    for one in list(left):
        if one not in left:
            continue
        found = decided(offer, asking(rows, [other for other in left if other != one]), key, why.sides)
        if isinstance(found, Excluded):
            why, left = found, [other for other in left if other in priced_of(rows, found.prices)]
    return why


def priced_of(rows: Sequence[Row], prices: F64) -> list[Asked]:
    """The requests that have a price."""
    least = 1e-9 * float(np.abs(prices).max(initial=0.0))
    return list(
        dict.fromkeys(row.asked for row, price in zip(rows, prices.tolist(), strict=True) if abs(price) > least)
    )


def contested(offer: Offer, rows: Sequence[Row], prices: F64) -> tuple[Offer, Cells, list[Row]]:
    """What the system is of where only meeting the budget and those quotas matters that have prices."""
    quotas = {asked.quota for asked in priced_of(rows, prices) if asked.kind != "budget"}
    parts = offer.parts.only(quotas)
    kept = [row for row in rows if row.asked.quota in quotas or row.asked.kind == "budget"]
    return plain(dataclasses.replace(offer, parts=parts)), cells_of(parts, offer.able), kept
