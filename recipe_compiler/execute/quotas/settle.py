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

from recipe_compiler import kernels, sift
from recipe_compiler.execute.quotas import solver
from recipe_compiler.execute.quotas.cooling import WARM
from recipe_compiler.execute.quotas.offer import (
    TINY,
    Cells,
    Offer,
    cells_of,
    priced,
    sides_of,
    sums,
    system_of,
    wrong_side,
)
from recipe_compiler.execute.quotas.proof import Excluded, decided, gathered
from recipe_compiler.execute.quotas.standing import less, standings
from recipe_compiler.execute.quotas.system import F64, Row, System
from recipe_compiler.sift import IN, NEAR, OUT

#: So many samples go into one program; of more, those about which there is doubt.
MOST = 8_000
#: How many samples are a random part, and which share of all is in doubt by its prices.
_PART, _NEAR = 4_000, 1 / 4
#: Of no more than so many, twice the share is tried where those in doubt cannot make up for the others.
_MANY = 64_000
#: What may be lost of what is had, or of what the rows cost, where bounds are tight.
_LOST = 1e-4
#: Prices that are sought are not above so many times what there is between samples.
_DEAR = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Samples that are taken whatever the program says; those that are `near`, whose `rows` these are, their cells, the
    program over these and what it takes; and, for all samples, a bound on the worth of anything that meets the rows."""

    fixed: kernels.Bools
    rows: kernels.U32
    near: Offer
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
    """Nothing meets all rows: why not, on these samples (or cells of them) and rows; None where whole samples alone tell."""

    offer: Offer
    rows: Sequence[Row]
    why: Excluded | None


def settle(offer: Offer, rows: Sequence[Row], key: int) -> Settled | Unsettled:
    """The best that meets all rows."""
    if np.count_nonzero(offer.able) <= MOST:
        found = _settled(offer, rows, np.where(offer.able, NEAR, OUT).astype(np.uint8), None)
        if found is not None:
            return found
        some, asked = gathered(offer, rows)
        return Unsettled(offer=some, rows=asked, why=None)
    none = np.zeros(len(rows))
    sifted = _sifted(offer, rows, key, none)
    if not sifted.missed:
        found = _settled(offer, rows, sifted.sides, sifted.prices)
        if found is not None:
            return found
    # Bounds are tight, or too tight.
    some, asked = gathered(offer, rows)
    why = decided(some, asked, key)
    if isinstance(why, Excluded):
        return Unsettled(offer=some, rows=asked, why=why)
    return _climbed(offer, rows, key) or Unsettled(offer=some, rows=asked, why=None)


def _climbed(offer: Offer, rows: Sequence[Row], key: int) -> Settled | None:
    """The best where it is known that split samples can meet the rows; None where whole ones cannot."""
    scale = max(float(np.ptp(offer.value[offer.able])), 1e-9)
    limits = np.array([scale * (1e1 if row.asked.kind == "target" else _DEAR) for row in rows])
    for standing in standings(offer, rows, key, limits, scale, solver.relax, start=WARM):
        prices = standing.relaxed.prices
        if standing.relaxed.missed:
            continue
        beyond = np.abs(priced(offer, rows, prices))
        lost = float(beyond[standing.wrong].sum())
        had, most = sift.summed(offer.worth, standing.sides == IN, offer.able)
        had += standing.relaxed.value
        if lost > _LOST * min(abs(had), abs(most - had)):
            continue
        sides = np.where(offer.able & (beyond <= TINY), NEAR, standing.sides).astype(np.uint8)
        found = _settled(offer, rows, sides, prices)
        if found is not None:
            return dataclasses.replace(found, bound=found.bound + lost)
    return None


def _settled(offer: Offer, rows: Sequence[Row], sides: kernels.U8, guess: F64 | None) -> Settled | None:
    """The best where all samples that are not in doubt lie where they are put."""
    fixed, doubt = sides == IN, np.flatnonzero(sides == NEAR).astype(np.uint32)
    near = offer.of(doubt)
    cells = cells_of(near.parts, near.able)
    system = system_of(near, cells, less(rows, _spent(offer, rows, fixed)))
    relaxed = solver.relax(system, guess)
    had, most = sift.summed(offer.worth, fixed, offer.able)
    optimum = solver.whole(system, relaxed, None if guess is None else (had, most))
    if optimum is None:
        return None
    bound = optimum.bound + had
    return Settled(fixed=fixed, rows=doubt, near=near, cells=cells, system=system, optimum=optimum, bound=bound)


def _spent(offer: Offer, rows: Sequence[Row], taken: kernels.Bools) -> F64:
    return sums(offer.parts, rows, sift.tally(offer.parts.codes, offer.tokens, taken))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sifted:
    """Prices of the rows, on which side of them each sample lies or that it is near, and whether rows are missed."""

    prices: F64
    sides: kernels.U8
    missed: bool


def _sifted(offer: Offer, rows: Sequence[Row], key: int, guess: F64) -> _Sifted:
    """The prices at which the samples near them meet the rows, and none of the others lies on the wrong side.

    The prices of a random part leave in doubt only the samples that are near to them, whose own prices are found in the
    same way, of ever fewer samples and ever more exactly. It is given up where a part of many misses the rows, or leaves
    many on the wrong side.
    """
    num = int(np.count_nonzero(offer.able))
    if num <= MOST:
        relaxed = _relaxed(offer, rows, guess)
        return _Sifted(prices=relaxed.prices, sides=np.full(num, NEAR, dtype=np.uint8), missed=relaxed.missed)
    part = kernels.random_part(key, offer.keys, offer.able, part=num, share=_PART / num)
    scale = num / len(part)
    fewer = [dataclasses.replace(row, lower=row.lower / scale, upper=row.upper / scale) for row in rows]
    some = offer.of(part)
    relaxed = _relaxed(some, fewer, guess)
    prices = relaxed.prices
    if relaxed.missed and num > _MANY:
        return _Sifted(prices=prices, sides=np.full(num, NEAR, dtype=np.uint8), missed=True)
    distance = np.sort(np.abs(priced(some, rows, prices)))
    # Few are soon solved all together, where those nearest cannot make up for the others.
    for share in (_NEAR, 2 * _NEAR if num > 2 * MOST else 1.0):
        # What is equal differs by roundings.
        reach = max(_reach(distance, max(share, MOST / num)), TINY)
        there = sides_of(offer, rows, prices, reach)
        sides, doubt = there.sides, there.near
        nearer = offer.of(doubt)
        rest = less(rows, sums(offer.parts, rows, there.inside))
        tied = reach <= TINY and (share == _NEAR or len(doubt) == num)
        if tied:
            inner = dataclasses.replace(_tied(nearer, _tight(rest, prices), key), prices=prices)
        elif len(doubt) < num:
            inner = _sifted(nearer, rest, key, prices)
            if inner.missed and num > _MANY:
                return _Sifted(prices=prices, sides=sides, missed=True)
        else:
            relaxed = _relaxed(nearer, rest, prices)
            inner = _Sifted(prices=relaxed.prices, sides=sides[doubt], missed=relaxed.missed)
        sides[doubt] = inner.sides
        wrong = wrong_side(offer, rows, sides, inner.prices)
        if (num > _MANY and not tied) or (not inner.missed and len(wrong) <= MOST // 4):
            break
    prices, missed = inner.prices, inner.missed
    while not missed and len(wrong):
        if len(wrong) > MOST:
            return _Sifted(prices=prices, sides=sides, missed=True)
        sides[wrong] = NEAR
        near = np.flatnonzero(sides == NEAR).astype(np.uint32)
        relaxed = _relaxed(offer.of(near), less(rows, _spent(offer, rows, sides == IN)), prices)
        prices, missed = relaxed.prices, relaxed.missed
        wrong = wrong_side(offer, rows, sides, prices)
    return _Sifted(prices=prices, sides=sides, missed=missed)


def _reach(distance: F64, share: float) -> float:
    """How far from nothing such a share is; less, where so many are as far that this leaves nobody out."""
    if share >= 1:
        return np.inf
    reach = float(distance[int(share * len(distance))])
    inside = int(np.searchsorted(distance, reach))
    return float(distance[inside - 1]) if reach == distance[-1] and inside > len(distance) // 16 else reach


def _tied(offer: Offer, rows: Sequence[Row], key: int) -> _Sifted:
    """Samples that are worth what they pay, all of them: the first in the keyed order are worth most."""
    return _sifted(in_order(offer, key), rows, key, np.zeros(len(rows)))


def in_order(offer: Offer, key: int) -> Offer:
    """The samples, worth the more the earlier they stand in the keyed order."""
    turn = offer.keys.occurrence.astype(np.uint64)
    first = 1.0 - kernels.keyed_order(key, offer.keys, turn=turn) / 2.0**64
    return dataclasses.replace(offer, value=first, worth=first * offer.tokens if offer.in_tokens else first)


def _tight(rows: Sequence[Row], prices: F64) -> list[Row]:
    """The rows where those that have a price are at their bounds, without which the prices would prove nothing."""

    def held(row: Row, price: float) -> Row:
        at = row.upper if price > 0 else row.lower
        return dataclasses.replace(row, lower=at, upper=at) if abs(price) > TINY and np.isfinite(at) else row

    return [held(row, price) for row, price in zip(rows, prices.tolist(), strict=True)]


def _relaxed(offer: Offer, rows: Sequence[Row], guess: F64) -> solver.Relaxed:
    return solver.relax(system_of(offer, cells_of(offer.parts, offer.able), rows), guess)
