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
        doubtful, prices = offer.able, None
    else:
        prices = _first_prices(offer, rows, key, keys)
        doubtful = _doubtful(offer, priced(offer, rows, prices), MOST)
    none = np.zeros(len(offer.able), dtype=np.bool_)
    while True:
        fixed = none
        if prices is not None:
            fixed = offer.able & ~doubtful & (priced(offer, rows, prices) > 0)
        cells = cells_of(offer.parts, doubtful)
        system = system_of(offer, cells, _less(rows, sums(offer, rows, fixed)))
        relaxed = solver.relax(system)
        side, worth = offer.able & ~doubtful, offer.worth
        wrong = side
        if side.any():
            worth = priced(offer, rows, relaxed.prices)
            wrong = side & np.where(fixed, worth < -_TINY, worth > _TINY)
        if not wrong.any():
            optimum = solver.whole(system, relaxed)
            if optimum is not None:
                bound = optimum.bound + float(offer.worth[fixed].sum())
                return Settled(fixed=fixed, cells=cells, system=system, optimum=optimum, bound=bound)
            if relaxed.short > 0 or not side.any():
                return Unsettled(prices=relaxed.prices)
            # Whole samples need more room than split ones.
            wrong = side
        # Sides are taken anew at the better prices; who was in doubt stays in doubt, so that this ends.
        prices = relaxed.prices
        doubtful = doubtful | _doubtful(dataclasses.replace(offer, able=wrong), worth, MOST // 2)
        doubtful |= _doubtful(offer, worth, MOST // 2)


def _first_prices(offer: Offer, rows: Sequence[Row], key: int, keys: kernels.Keys) -> F64:
    """The prices of a random part of the samples."""
    part, scale = sample_of(key, keys, offer.able, MOST)
    smaller = [dataclasses.replace(row, lower=row.lower / scale, upper=row.upper / scale) for row in rows]
    return solver.relax(system_of(offer, cells_of(offer.parts, part), smaller)).prices


def _doubtful(offer: Offer, worth: F64, most: int) -> kernels.Bools:
    """The samples nearest to the border."""
    marks = np.zeros(len(offer.able), dtype=np.bool_)
    able = np.flatnonzero(offer.able)
    if len(able) <= most:
        marks[able] = True
        return marks
    distance = np.abs(worth[able])
    marks[able[distance <= np.partition(distance, most - 1)[most - 1]]] = True
    return marks


def _less(rows: Sequence[Row], have: F64) -> list[Row]:
    return [
        dataclasses.replace(row, lower=row.lower - got, upper=row.upper - got)
        for row, got in zip(rows, have.tolist(), strict=True)
    ]
