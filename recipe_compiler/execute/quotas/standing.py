"""Which side each sample is on where quotas are tight: prices say it of most, and a program of the others says how far
prices are from the best. Samples whose side they then leave in doubt change places, some thousands at a time, until none is
wrong (column generation: Gilmore and Gomory, 1961; sifting: Bixby et al., 1992)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np

from recipe_compiler import kernels, sift
from recipe_compiler.execute.quotas.cooling import COLD, MOST_ROWS, Start, cooling, per_unit
from recipe_compiler.execute.quotas.offer import (
    TINY,
    Cells,
    Offer,
    cells_of,
    columns_of,
    paying,
    sums,
    system_of,
    wrong_side,
)
from recipe_compiler.execute.quotas.solver import Relaxed
from recipe_compiler.execute.quotas.system import F64, I64, Row, System
from recipe_compiler.sift import IN, NEAR, OUT

#: How many samples (or cells of these) are near at first, and how many change places at once.
MOST_NEAR, _EXCHANGED = 12_000, 8_000
#: Within so many times the heat a smoothed sum puts samples in by parts.
_WITHIN = 8.0

#: The best of a program where samples can be split.
Solve: TypeAlias = Callable[[System], Relaxed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The side of each sample, the samples that are `near`, their cells, the program over these with its best, and the
    samples that its prices put on another side."""

    sides: kernels.U8
    doubt: kernels.U32
    near: Offer
    cells: Cells
    system: System
    relaxed: Relaxed
    wrong: kernels.U32


def standings(
    offer: Offer,
    rows: Sequence[Row],
    key: int,
    limits: F64,
    scale: float,
    solve: Solve,
    *,
    begin: kernels.U8 | None = None,
    start: Start = COLD,
) -> Iterator[Standing]:
    """Ever better ones; the last has nobody on the wrong side. The first may `begin` with sides that are known."""
    if np.count_nonzero(offer.able) <= MOST_NEAR:
        yield _standing(offer, rows, np.where(offer.able, NEAR, OUT).astype(np.uint8), solve)
        return
    known = [] if begin is None else [begin]
    sides = np.zeros(0, dtype=np.uint8)
    for sides in chain(known, _cooled(offer, rows, key, limits, scale, start)):
        before = len(sides)
        while True:
            standing = _standing(offer, rows, sides, solve)
            yield standing
            if not len(standing.wrong):
                return
            # From prices that are near the best, few exchanges lead there; others want prices that are nearer.
            if len(standing.wrong) > before // 2:
                break
            before, sides = len(standing.wrong), _exchanged(standing, _EXCHANGED)
    most = _EXCHANGED
    while True:
        standing = _standing(offer, rows, sides, solve)
        yield standing
        if not len(standing.wrong):
            return
        # Whoever came stays, and more come each time, so that there is an end.
        most *= 2
        sides = standing.sides.copy()
        sides[_some(standing.wrong, most)] = NEAR


def _cooled(
    offer: Offer, rows: Sequence[Row], key: int, limits: F64, scale: float, start: Start
) -> Iterator[kernels.U8]:
    if np.count_nonzero(limits) > MOST_ROWS:
        yield _put(offer, rows, key, np.zeros(len(rows)), scale)
        return
    for prices, heat in cooling(offer, rows, key, limits, scale, start):
        yield _put(offer, rows, key, prices, heat)


def _put(offer: Offer, rows: Sequence[Row], key: int, prices: F64, heat: float) -> kernels.U8:
    """The sides on which a smoothed sum puts the samples: those that it puts in by parts, by chance, and the nearest near."""
    some, unit_rows, _ = per_unit(offer, rows)
    beyond = sift.priced(paying(some, unit_rows, prices))
    inside = (1 + beyond / np.sqrt(beyond * beyond + 4 * heat * heat)) / 2
    turn = offer.keys.occurrence.astype(np.uint64)
    chance = kernels.keyed_order(key, offer.keys, turn=turn) / 2.0**64
    put = np.where(np.abs(beyond) > _WITHIN * heat, beyond > 0, chance < inside)
    sides = np.where(put & offer.able, IN, OUT).astype(np.uint8)
    most = MOST_NEAR
    near = kernels.nearest_to_nothing(beyond, offer.able, most)
    # Samples of one column are as near: the nearest may be few columns.
    while 2 * _num_columns(offer, near) < MOST_NEAR and most < len(sides):
        most *= 8
        near = kernels.nearest_to_nothing(beyond, offer.able, most)
    sides[near] = NEAR
    return sides


def _num_columns(offer: Offer, which: kernels.Bools) -> int:
    some = offer.of(np.flatnonzero(which).astype(np.uint32))
    return len(columns_of(some, cells_of(some.parts, some.able))[0])


def _standing(offer: Offer, rows: Sequence[Row], sides: kernels.U8, solve: Solve) -> Standing:
    fixed, doubt = sides == IN, np.flatnonzero(sides == NEAR).astype(np.uint32)
    near = offer.of(doubt)
    cells = cells_of(near.parts, near.able)
    spent = sums(offer.parts, rows, sift.tally(offer.parts.codes, offer.tokens, fixed))
    system = system_of(near, cells, less(rows, spent))
    relaxed = solve(system)
    wrong = wrong_side(offer, rows, sides, relaxed.prices)
    return Standing(sides=sides, doubt=doubt, near=near, cells=cells, system=system, relaxed=relaxed, wrong=wrong)


def less(rows: Sequence[Row], have: F64) -> list[Row]:
    """What rows still ask for where they have so much."""
    return [
        dataclasses.replace(row, lower=row.lower - got, upper=row.upper - got)
        for row, got in zip(rows, have.tolist(), strict=True)
    ]


def _exchanged(standing: Standing, most: int) -> kernels.U8:
    """The sides where samples on the wrong side are near, and columns that the program fills or leaves empty no longer are,
    where there are many, but for some that are worth just what they pay."""
    system, relaxed = standing.system, standing.relaxed
    columns = system.columns
    full, empty = relaxed.amounts >= columns.width - TINY, relaxed.amounts <= TINY
    beyond = system.priced(relaxed.prices)
    tied = np.flatnonzero((full | empty) & (np.abs(beyond) <= TINY))
    settled = (full | empty) & (len(columns) > MOST_NEAR // 2)
    settled[_some(tied, MOST_NEAR // 3)] = False
    _, column = columns_of(standing.near, standing.cells)
    sides = standing.sides.copy()
    sides[standing.doubt] = np.where(settled, np.where(full, IN, OUT), NEAR)[column]
    sides[_some(standing.wrong, most)] = NEAR
    return sides


def _some(which: I64 | kernels.U32, most: int) -> I64 | kernels.U32:
    """So many of them, from all over."""
    return which[:: max(-(-len(which) // most), 1)]
