"""Prices of rows over all samples, however many: where a smoothed sum is least, from hot to cold.

What samples are worth beyond what they pay, and what the rows allow at these prices, add up to a bound on what can be had
(the dual program). It is convex, and least at the best prices; but it has edges. Smoothed by a heat it has none, and
Newton's method finds its least in a few passes, whatever is missed by how little (path following; Chen and Harker, 1993).
At the next, lower heat it begins where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recipe_compiler import kernels, sift
from recipe_compiler.execute.quotas.offer import Offer, paying, sums
from recipe_compiler.execute.quotas.system import F64, I64, Row

#: The first heat as a share of the largest slope, how it falls, and where samples begin that are too many for all of it.
_FIRST, _FALL, _PART, _LAST = 0.3, 0.2, 50_000, 1e-7
#: Prices keep as far from their bounds as so small a share of what is smoothed.
_BARRIER = 0.01
#: How near to the least a heat is left, as a share of that, and after how many steps at most.
_CLOSE, _STEPS = 0.1, 15
#: So many samples are enough to tell how the sum bends.
_BENDING = 250_000
#: Rows beyond which a step costs more than what it saves.
MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Start:
    """From which heat on prices are wanted, as a share of the slopes, and how much slack bounds have in a random part."""

    heat: float
    slack: float


#: Where only meeting the rows matters, and where they can be met but it matters how.
COLD, WARM = Start(heat=3e-3, slack=0.0), Start(heat=2e-3, slack=0.02)


def cooling(
    offer: Offer, rows: Sequence[Row], key: int, limits: F64, scale: float, start: Start
) -> Iterator[tuple[F64, float]]:
    """Prices of the rows and the heat that they belong to, once it is low, and ever lower. No price is farther from 0 than
    its limit; slopes are of about this scale. A random part of very many samples does the first, hot steps."""
    everything = _Slope.of(offer, rows, limits)
    prices = everything.begin(scale)
    num = int(np.count_nonzero(offer.able))
    heat = _FIRST * scale
    if num > 2 * _PART:
        some = offer.of(kernels.random_part(key, offer.keys, offer.able, part=num + 2, share=_PART / num))
        part = _Slope.of(some, [_loose(row, start.slack) for row in rows], limits)
        part = dataclasses.replace(part, units=part.units * (everything.units.sum() / part.units.sum()))
        while heat > start.heat * scale:
            prices = part.least(prices, heat)
            heat *= _FALL
        heat = start.heat * scale
    while heat > _LAST * scale:
        prices = everything.least(prices, heat)
        if heat <= start.heat * scale:
            yield prices, heat
        heat *= _FALL


def _loose(row: Row, slack: float) -> Row:
    if row.lower == row.upper:
        return row
    return dataclasses.replace(row, lower=row.lower * (1 - slack), upper=row.upper * (1 + slack))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slope:
    """The smoothed sum as a function of the prices that rows have (`which`): above 0 where a row is bounded from above
    (`sign` 1), below where from below (-1), of any sign where both are one (0)."""

    offer: Offer
    rows: Sequence[Row]
    units: F64
    which: I64
    sign: F64
    bounds: F64
    limits: F64
    places: sift.Places
    place: I64

    @classmethod
    def of(cls, offer: Offer, rows: Sequence[Row], limits: F64) -> _Slope:
        offer, rows, units = per_unit(offer, rows)
        asking = [np.isfinite(row.lower) or np.isfinite(row.upper) for row in rows]
        which = np.flatnonzero((limits > 0) & asking)
        some = [rows[number] for number in which.tolist()]
        places, place = _places(offer, some)
        return cls(
            offer=offer,
            rows=rows,
            units=units,
            which=which,
            sign=np.array([0.0 if row.lower == row.upper else 1.0 if np.isfinite(row.upper) else -1.0 for row in some]),
            bounds=np.array([row.upper if np.isfinite(row.upper) else row.lower for row in some]),
            limits=limits[which],
            places=places,
            place=place,
        )

    def begin(self, scale: float) -> F64:
        prices = np.zeros(len(self.rows))
        prices[self.which] = self.sign * np.minimum(0.01 * self.limits, _FIRST * scale)
        return prices

    def least(self, prices: F64, heat: float) -> F64:
        """The prices at which the sum is least (Newton's method, damped)."""
        barrier, every = _BARRIER * heat * float(self.units.sum()), max(1, len(self.units) // _BENDING)
        at = prices[self.which]
        value, slope, bend, near = self._at(at, heat, barrier, every)
        for _ in range(_STEPS):
            size = 1 / np.sqrt(np.diag(bend))
            scaled = bend * size * size[:, None] + 1e-12 * np.eye(len(at))
            step = -size * np.linalg.solve(scaled, size * slope)
            falls = -float(slope @ step)
            if falls < _CLOSE * barrier:
                break
            length, every = min(1.0, 0.95 * self._room(at, step)), max(1, near // _BENDING)
            while True:
                then = self._at(at + length * step, heat, barrier, every)
                if then[0] <= value - 0.1 * length * falls + 1e-12 * abs(value):
                    break
                length *= 0.3
                if length < 1e-6:
                    return self._all(at)
            at, (value, slope, bend, near) = at + length * step, then
        return self._all(at)

    def _all(self, at: F64) -> F64:
        prices = np.zeros(len(self.rows))
        prices[self.which] = at
        return prices

    def _room(self, at: F64, step: F64) -> float:
        """How many such steps there are before a price is at its bound."""
        low, high = self._bounds()
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(step > 0, (high - at) / step, np.where(step < 0, (low - at) / step, np.inf))
        return float(room.min(initial=np.inf))

    def _bounds(self) -> tuple[F64, F64]:
        return np.where(self.sign > 0, 0.0, -self.limits), np.where(self.sign < 0, 0.0, self.limits)

    def _at(self, at: F64, heat: float, barrier: float, every: int) -> tuple[float, F64, F64, int]:
        """(value, slope, bend, how many samples bend it)."""
        found = sift.smooth(paying(self.offer, self.rows, self._all(at)), self.units, heat, self.places, every)
        low, high = self._bounds()
        above, below = high - at, at - low
        value = found.value + float(self.bounds @ at) - barrier * float(np.log(above).sum() + np.log(below).sum())
        inside = sums(self.offer.parts, self.rows, found.inside)[self.which]
        slope = self.bounds - inside + barrier * (1 / above - 1 / below)
        bend = found.bend[self.place[:, None], self.place] + np.diag(barrier * (above**-2.0 + below**-2.0))
        return value, slope, bend, found.near


def per_unit(offer: Offer, rows: Sequence[Row]) -> tuple[Offer, Sequence[Row], F64]:
    """The samples as so many units each, where all rows count the same; otherwise each sample is one."""
    if all(row.tokens for row in rows):
        rows = [dataclasses.replace(row, tokens=False) for row in rows]
        return dataclasses.replace(offer, worth=offer.value), rows, np.where(offer.able, offer.tokens, 0.0)
    return offer, rows, offer.able.astype(np.float64)


def _places(offer: Offer, rows: Sequence[Row]) -> tuple[sift.Places, I64]:
    """Where values stand in the bend, and where each row does."""
    numbers: dict[tuple[int, int, bool], int] = {}
    columns = [(np.full(size, -1, dtype=np.int32), np.full(size, -1, dtype=np.int32)) for size in offer.parts.sizes]
    values = {(part.quota, part.name): part.value for part in offer.parts.parts}
    of_all = [-1, -1]
    place = []
    for row in rows:
        value = values.get((row.asked.quota, row.name), 0)
        number = numbers.setdefault((row.asked.quota, value, row.tokens), len(numbers))
        place.append(number)
        if row.asked.kind == "budget":
            of_all[row.tokens] = number
        elif value < len(columns[row.asked.quota][0]):
            columns[row.asked.quota][row.tokens][value] = number
    return sift.Places(columns, (of_all[0], of_all[1]), len(numbers)), np.array(place, dtype=np.int64)
