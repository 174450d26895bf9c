"""`settle`: which samples to take so that all rows hold and the worth is the largest.

Few samples are near the border. What a sample is worth beyond the prices of its rows says on which side it lies, and only
those about which there is doubt go into a program of cells; prices that come out of it and leave no sample on the wrong
side prove that nothing better can be had (sifting, over samples).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.offer import Cells, Offer, cells_of, priced, sample_of, sums, system_of
from recipe_compiler.execute.quotas.system import F64, Row, System
from recipe_compiler.execute.task import order_key

#: So many samples go into one program; of more, those about which there is doubt.
MOST = 60_000
_TINY = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Samples that are taken whatever the program says, the program of the others and what it takes; and, for all
    samples, a bound on the worth of anything that meets the rows."""

    fixed: kernels.Bools
    cells: Cells
    system: System
    optimum: solver.Optimum
    bound: float

    def amounts(self) -> F64:
        """How much is taken of each cell."""
        columns = self.system.columns
        return np.bincount(columns.cell, weights=self.optimum.amounts, minlength=len(self.cells)).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """Nothing meets all rows; those that exclude each other have prices."""

    prices: F64


def settle(offer: Offer, rows: Sequence[Row], key: int, keys: kernels.Keys) -> Settled | Unsettled:
    """The best that meets all rows."""
    if int(offer.able.sum()) <= MOST:
        return _settled(offer, rows, offer.able, None)
    guess = _prices(offer, rows, key, keys)
    worth = priced(offer, rows, guess)
    most = 2 * MOST
    doubtful = _nearest(offer.able, worth, most)
    while True:
        found = _settled(offer, rows, doubtful, guess)
        side = offer.able & ~doubtful
        if isinstance(found, Settled):
            beyond = priced(offer, rows, found.optimum.prices)
            wrong = side & np.where(found.fixed, beyond < -_TINY, beyond > _TINY)
            if not wrong.any():
                return found
            doubtful = doubtful | _farthest(wrong, beyond, most)
            continue
        if not side.any() or _excluded(offer, rows, found.prices):
            return found
        # Those in doubt alone cannot make up for the others.
        most *= 4
        doubtful = doubtful | _nearest(offer.able, worth, most)


def _settled(offer: Offer, rows: Sequence[Row], doubtful: kernels.Bools, guess: F64 | None) -> Settled | Unsettled:
    """The best where all samples that are not in doubt lie where the guess puts them."""
    fixed = np.zeros(len(offer.able), dtype=np.bool_)
    if guess is not None:
        fixed = offer.able & ~doubtful & (priced(offer, rows, guess) > 0)
    cells = cells_of(offer.parts, doubtful)
    system = system_of(offer, cells, _less(rows, sums(offer, rows, fixed)))
    relaxed = solver.relax(system, guess)
    optimum = solver.whole(system, relaxed)
    if optimum is None:
        return Unsettled(prices=relaxed.prices)
    bound = optimum.bound + float(offer.worth[fixed].sum())
    return Settled(fixed=fixed, cells=cells, system=system, optimum=optimum, bound=bound)


def _prices(offer: Offer, rows: Sequence[Row], key: int, keys: kernels.Keys) -> F64:
    """The prices of a random part of the samples: of a tenth, which the prices of a tenth of that make small as well."""
    part, scale = sample_of(order_key(key, "part"), keys, offer.able, max(int(offer.able.sum()) // 10, MOST))
    smaller = [dataclasses.replace(row, lower=row.lower / scale, upper=row.upper / scale) for row in rows]
    fewer = offer.of(part)
    if len(fewer.able) <= 2 * MOST:
        return solver.relax(system_of(fewer, cells_of(fewer.parts, fewer.able), smaller)).prices
    theirs = kernels.Keys(
        high=keys.high[part], low=keys.low[part], occurrence=keys.occurrence[part], pool=keys.pool[part]
    )
    guess = _prices(fewer, smaller, order_key(key, "part"), theirs)
    worth = priced(fewer, smaller, guess)
    doubtful = _nearest(fewer.able, worth, 2 * MOST)
    fixed = ~doubtful & (worth > 0)
    system = system_of(fewer, cells_of(fewer.parts, doubtful), _less(smaller, sums(fewer, smaller, fixed)))
    relaxed = solver.relax(system, guess)
    return guess if relaxed.missed else relaxed.prices


def _excluded(offer: Offer, rows: Sequence[Row], prices: F64) -> bool:
    """Whether the rows that have prices exclude each other, whatever all others ask for."""
    system = contested(offer, rows, prices)
    return len(system.columns) <= 4 * MOST and solver.relax(system).missed


def contested(offer: Offer, rows: Sequence[Row], prices: F64) -> System:
    """The system of the budget and of those quotas alone that have prices, where only meeting them matters."""
    quotas = {row.asked.quota for row, price in zip(rows, prices.tolist(), strict=True) if abs(price) > 1e-6}
    parts = offer.parts.only(quotas)
    none = np.zeros(len(offer.able))
    plain = dataclasses.replace(offer, parts=parts, value=none, worth=none)
    kept = [row for row in rows if row.asked.quota in quotas or row.asked.kind == "budget"]
    return system_of(plain, cells_of(parts, offer.able), kept)


def _farthest(among: kernels.Bools, worth: F64, most: int) -> kernels.Bools:
    """The samples whose worth is farthest from nothing."""
    return _nearest(among, 1.0 / np.maximum(np.abs(worth), _TINY), most)


def _nearest(among: kernels.Bools, worth: F64, most: int) -> kernels.Bools:
    """The samples whose worth is nearest to nothing."""
    return kernels.nearest_to_nothing(worth, among, most)


def _less(rows: Sequence[Row], have: F64) -> list[Row]:
    return [
        dataclasses.replace(row, lower=row.lower - got, upper=row.upper - got)
        for row, got in zip(rows, have.tolist(), strict=True)
    ]
