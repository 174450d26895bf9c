"""Proofs that quotas exclude each other, over all samples: prices at which the samples together are worth less than the
rows ask for (Farkas' lemma). A random part of the samples finds the prices, and one pass over all proves them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.offer import Cells, Offer, cells_of, sides_of, sums, system_of
from recipe_compiler.execute.quotas.system import F64, INFINITY, Asked, Row

#: How many samples are a part, and how much of a sample must be lacking: roundings are far less.
_PART, _LACKING = 16_000, 1e-3
#: Systems of so many cells are solved as they are.
MOST_CELLS = 32_000


def plain(offer: Offer) -> Offer:
    """The samples where only meeting the rows matters."""
    none = np.zeros(len(offer.able))
    return dataclasses.replace(offer, value=none, worth=none)


def part_of(offer: Offer, key: int) -> tuple[Offer, float]:
    """(a random part of the samples that can be taken, how many each stands for)."""
    num = int(np.count_nonzero(offer.able))
    part = kernels.random_part(key, offer.keys, offer.able, part=num + 1, share=min(_PART / num, 0.999))
    return plain(offer.of(part)), num / len(part)


def asking(rows: Sequence[Row], asked: Sequence[Asked]) -> list[Row]:
    """The same rows where only these ask for anything."""
    kept = frozenset(asked)
    return [row if row.asked in kept else dataclasses.replace(row, lower=-INFINITY, upper=INFINITY) for row in rows]


def excluded(offer: Offer, rows: Sequence[Row], part: tuple[Offer, float]) -> F64 | None:
    """Prices that prove that nothing meets these rows; None where the part finds none."""
    some, scale = part
    rows = asking(rows, [row.asked for row in rows if row.asked.kind != "target"])
    fewer = [dataclasses.replace(row, lower=row.lower / scale, upper=row.upper / scale) for row in rows]
    relaxed = solver.relax(system_of(some, cells_of(some.parts, some.able), fewer), np.zeros(len(rows)))
    largest = float(np.abs(relaxed.prices).max(initial=0.0))
    if not relaxed.missed or not largest:
        return None
    prices = np.where(np.abs(relaxed.prices) > 1e-9 * largest, relaxed.prices / largest, 0.0)
    # Whatever meets the rows pays at least what these ask for, and all samples together pay at most `most`.
    bounds = np.array(
        [(row.upper if price > 0 else row.lower) if price else 0.0 for row, price in zip(rows, prices, strict=True)]
    )
    best = sums(offer.parts, rows, sides_of(plain(offer), rows, prices, 0.0).inside)
    return prices if float(prices @ (bounds - best)) < -_LACKING else None


def fewest(offer: Offer, rows: Sequence[Row], part: tuple[Offer, float], prices: F64) -> F64:
    """Prices of as few requests as a part can tell that exclude each other."""
    left = priced_of(rows, prices)
    for one in list(left):
        if one not in left:
            continue
        found = excluded(offer, asking(rows, [other for other in left if other != one]), part)
        if found is not None:
            prices = found
            left = [other for other in left if other in priced_of(rows, prices)]
    return prices


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
