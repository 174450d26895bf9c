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
from recipe_compiler.execute.quotas.offer import Cells, Offer, cells_of, priced, sums, system_of
from recipe_compiler.execute.quotas.system import F64, Row, System
from recipe_compiler.execute.task import order_key

#: So many samples go into one program; of more, those about which there is doubt.
MOST = 12_000
_PART, _NEAR = 6_000, (1 / 8, 1 / 2)
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
    sides, guess = np.where(offer.able, NEAR, OUT).astype(np.uint8), None
    if int(offer.able.sum()) > MOST:
        turn = keys.occurrence.astype(np.uint64)
        hashes = kernels.keyed_order(order_key(key, "part"), high=keys.high, low=keys.low, turn=turn)
        sifted = _sifted(offer.of(offer.able), rows, hashes[offer.able])
        guess = sifted.prices
        sides[offer.able] = sifted.sides
    most = MOST
    while True:
        found = _settled(offer, rows, sides, guess)
        decided = offer.able & (sides != NEAR)
        if isinstance(found, Settled):
            beyond = priced(offer, rows, found.optimum.prices)
            wrong = offer.able & _wrong(sides, beyond)
            if not wrong.any():
                return found
            guess = found.optimum.prices
            sides[wrong] = NEAR
            continue
        if not decided.any() or _excluded(offer, rows, found.prices):
            return found
        # Those in doubt alone cannot make up for the others.
        most *= 4
        sides[kernels.nearest_to_nothing(priced(offer, rows, guess), decided, most)] = NEAR


def _wrong(sides: kernels.U8, beyond: F64) -> NDArray[np.bool_]:
    """The samples whose side is not the one on which prices put them."""
    return np.where(sides == IN, beyond < -_TINY, (sides == OUT) & (beyond > _TINY))


def _settled(offer: Offer, rows: Sequence[Row], sides: kernels.U8, guess: F64 | None) -> Settled | Unsettled:
    """The best where all samples that are not in doubt lie where they are put."""
    fixed = sides == IN
    cells = cells_of(offer.parts, sides == NEAR)
    system = system_of(offer, cells, _less(rows, sums(offer, rows, fixed)))
    relaxed = solver.relax(system, guess)
    had = float(offer.worth.sum(where=fixed))
    most = float(offer.worth.sum(where=offer.able & (offer.worth > 0)))
    optimum = solver.whole(system, relaxed, None if guess is None else (had, most))
    if optimum is None:
        return Unsettled(prices=relaxed.prices)
    bound = optimum.bound + had
    return Settled(fixed=fixed, cells=cells, system=system, optimum=optimum, bound=bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sifted:
    """Prices of the rows, on which side of them each sample lies or that it is near, and whether rows are missed."""

    prices: F64
    sides: kernels.U8
    missed: bool


def _sifted(offer: Offer, rows: Sequence[Row], hashes: kernels.U64) -> _Sifted:
    """The prices at which the samples near them meet the rows, and none of the others lies on the wrong side.

    The prices of a random part leave in doubt only the samples that are near to them, whose own prices are found in the
    same way, of ever fewer samples and ever more exactly.
    """
    num = len(hashes)
    sides = np.full(num, NEAR, dtype=np.uint8)
    if num <= MOST:
        relaxed = _relaxed(offer, rows)
        return _Sifted(prices=relaxed.prices, sides=sides, missed=relaxed.missed)
    part = hashes < np.uint64(_PART / num * 2**64)
    scale = num / int(part.sum())
    fewer = [dataclasses.replace(row, lower=row.lower / scale, upper=row.upper / scale) for row in rows]
    prices = _relaxed(offer.of(part), fewer).prices
    worth = priced(offer, rows, prices)
    distance = np.abs(worth)
    for share in _NEAR:
        doubt = distance <= np.quantile(distance[part], max(share, MOST / num / 2))
        sides = np.where(doubt, NEAR, np.where(worth > 0, IN, OUT)).astype(np.uint8)
        rest = _less(rows, sums(offer, rows, sides == IN))
        inner = _sifted(offer.of(doubt), rest, _again(hashes[doubt]))
        sides[doubt] = inner.sides
        wrong = _wrong(sides, priced(offer, rows, inner.prices))
        if not inner.missed and wrong.sum() <= MOST:
            break
    prices, missed = inner.prices, inner.missed
    while not missed and wrong.any():
        sides[wrong] = NEAR
        near = sides == NEAR
        relaxed = _relaxed(offer.of(near), _less(rows, sums(offer, rows, sides == IN)), prices)
        prices, missed = relaxed.prices, relaxed.missed
        wrong = _wrong(sides, priced(offer, rows, prices))
    return _Sifted(prices=prices, sides=sides, missed=missed)


def _again(hashes: kernels.U64) -> kernels.U64:
    """Other hashes of the same samples."""
    return hashes * np.uint64(0x9E3779B97F4A7C15)


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
