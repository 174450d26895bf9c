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
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.offer import Cells, Offer, cells_of, priced, sides_of, sums, system_of
from recipe_compiler.execute.quotas.system import F64, Row, System

#: So many samples go into one program; of more, those about which there is doubt.
MOST = 8_000
#: How many samples are a random part, and which share of all is in doubt by its prices.
_PART, _NEAR = 4_000, 1 / 4
#: Where a sample lies (see `kernels.sides`).
OUT, IN, NEAR = 0, 1, 2
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
        return _settled(offer, rows, np.where(offer.able, NEAR, OUT).astype(np.uint8), None)
    turn = keys.occurrence.astype(np.uint64)
    sifted = _sifted(offer, rows, kernels.keyed_order(key, high=keys.high, low=keys.low, turn=turn), offer.able)
    sides, guess, most = sifted.sides, sifted.prices, MOST
    while True:
        found = _settled(offer, rows, sides, guess)
        decided = offer.able & (sides != NEAR)
        if isinstance(found, Settled):
            guess = found.optimum.prices
            # What was sifted is proved.
            if not sifted.missed or not (wrong := _wrong(offer, rows, sides, guess)).any():
                return found
            sides[wrong] = NEAR
            continue
        if not decided.any() or _excluded(offer, rows, found.prices):
            return found
        # Those in doubt alone cannot make up for the others.
        sifted, most = dataclasses.replace(sifted, missed=True), most * 4
        sides[kernels.nearest_to_nothing(priced(offer, rows, guess), decided, most)] = NEAR


def _wrong(offer: Offer, rows: Sequence[Row], sides: kernels.U8, prices: F64) -> NDArray[np.bool_]:
    """The samples whose side is not the one on which prices put them."""
    there = sides_of(offer, rows, prices, _TINY)
    found: NDArray[np.bool_] = (sides != there) & (sides != NEAR) & (there != NEAR) & offer.able
    return found


def _settled(offer: Offer, rows: Sequence[Row], sides: kernels.U8, guess: F64 | None) -> Settled | Unsettled:
    """The best where all samples that are not in doubt lie where they are put."""
    fixed = sides == IN
    cells = cells_of(offer.parts, sides == NEAR)
    system = system_of(offer, cells, _less(rows, sums(offer, rows, fixed)))
    relaxed = solver.relax(system, guess)
    had = float(offer.worth[fixed].sum())
    beside = None if guess is None else (had, float(offer.worth[offer.able & (offer.worth > 0)].sum()))
    optimum = solver.whole(system, relaxed, beside)
    if optimum is None:
        return Unsettled(prices=relaxed.prices)
    return Settled(fixed=fixed, cells=cells, system=system, optimum=optimum, bound=optimum.bound + had)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sifted:
    """Prices of the rows, on which side of them each sample lies or that it is near, and whether rows are missed."""

    prices: F64
    sides: kernels.U8
    missed: bool


def _sifted(offer: Offer, rows: Sequence[Row], hashes: kernels.U64, able: kernels.Bools | None = None) -> _Sifted:
    """The prices at which the samples near them meet the rows, and none of the others lies on the wrong side.

    The prices of a random part leave in doubt only the samples that are near to them, whose own prices are found in the
    same way, of ever fewer samples and ever more exactly. `hashes` are the keyed order of the samples.
    """
    num = len(hashes) if able is None else int(able.sum())
    if num <= MOST:
        relaxed = _relaxed(offer, rows)
        return _Sifted(prices=relaxed.prices, sides=np.full(num, NEAR, dtype=np.uint8), missed=relaxed.missed)
    part = np.flatnonzero(_chance(hashes, num) < np.uint64(_PART / num * 2**64))
    part = part if able is None else part[able[part]]
    scale = num / len(part)
    fewer = [dataclasses.replace(row, lower=row.lower / scale, upper=row.upper / scale) for row in rows]
    some = offer.of(part)
    prices = _relaxed(some, fewer).prices
    distance = np.sort(np.abs(priced(some, rows, prices)))
    # Few are soon solved all together, where those nearest cannot make up for the others.
    for share in (_NEAR, 2 * _NEAR if num > 2 * MOST else 1.0):
        reach = _reach(distance, max(share, MOST / num / 2))
        sides = sides_of(offer, rows, prices, reach)
        if able is not None:
            sides[~able] = OUT
        doubt = np.flatnonzero(sides == NEAR)
        nearer = offer.of(doubt)
        rest = _less(rows, sums(offer, rows, sides == IN))
        if len(doubt) < num:
            inner = _sifted(nearer, rest, hashes[doubt])
        elif reach <= _TINY:
            inner = dataclasses.replace(_tied(nearer, _tight(rest, prices), hashes[doubt]), prices=prices)
        else:
            relaxed = _relaxed(nearer, rest, prices)
            inner = _Sifted(prices=relaxed.prices, sides=sides[doubt], missed=relaxed.missed)
        sides[doubt] = inner.sides
        wrong = _wrong(offer, rows, sides, inner.prices)
        if not inner.missed and int(wrong.sum()) <= MOST // 4:
            break
    prices, missed = inner.prices, inner.missed
    while not missed and wrong.any():
        sides[wrong] = NEAR
        near = np.flatnonzero(sides == NEAR)
        relaxed = _relaxed(offer.of(near), _less(rows, sums(offer, rows, sides == IN)), prices)
        prices, missed = relaxed.prices, relaxed.missed
        wrong = _wrong(offer, rows, sides, prices)
    return _Sifted(prices=prices, sides=sides, missed=missed)


def _reach(distance: F64, share: float) -> float:
    """How far from nothing such a share is; less, where so many are as far that this leaves nobody out."""
    if share >= 1:
        return np.inf
    reach = float(distance[int(share * len(distance))])
    inside = int(np.searchsorted(distance, reach))
    return float(distance[inside - 1]) if reach == distance[-1] and inside > len(distance) // 16 else reach


def _tied(offer: Offer, rows: Sequence[Row], hashes: kernels.U64) -> _Sifted:
    """Samples that are worth what they pay, all of them: the first in the keyed order are worth most."""
    first = 1.0 - hashes / 2.0**64
    worth = first * offer.tokens if offer.in_tokens else first
    return _sifted(dataclasses.replace(offer, value=first, worth=worth), rows, hashes)


def _tight(rows: Sequence[Row], prices: F64) -> list[Row]:
    """The rows where those that have a price are at their bounds, without which the prices would prove nothing."""

    def held(row: Row, price: float) -> Row:
        at = row.upper if price > 0 else row.lower
        return dataclasses.replace(row, lower=at, upper=at) if abs(price) > _TINY and np.isfinite(at) else row

    return [held(row, price) for row, price in zip(rows, prices.tolist(), strict=True)]


def _chance(hashes: kernels.U64, num: int) -> kernels.U64:
    """Other numbers of the same samples, which say nothing of the keyed order."""
    return kernels.keyed_order(num, high=hashes, low=hashes, turn=hashes)


def _relaxed(offer: Offer, rows: Sequence[Row], guess: F64 | None = None) -> solver.Relaxed:
    return solver.relax(system_of(offer, cells_of(offer.parts, offer.able), rows), guess)


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


def _less(rows: Sequence[Row], have: F64) -> list[Row]:
    return [
        dataclasses.replace(row, lower=row.lower - got, upper=row.upper - got)
        for row, got in zip(rows, have.tolist(), strict=True)
    ]
