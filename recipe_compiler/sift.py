"""Packed values of samples and their prices: what each pays, on which side of them it lies, what they add up to. Beside
`kernels`, another door to the Rust core."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import _core
from recipe_compiler.kernels import F64, I32, U8, U32, U64, Bools, Codes

_T = TypeVar("_T", np.uint64, np.float64)


class Paying(NamedTuple):
    """Rows that pay: for the value in each column (a price, and one for each token), and for all."""

    worth: F64
    tokens: U64
    codes: Codes
    prices: list[tuple[F64, F64]]
    of_all: tuple[float, float]


def priced(rows: Paying) -> F64:
    """What each row is worth beyond what it pays."""
    return _core.priced(rows)


#: Where a row lies by the prices of its values.
OUT, IN, NEAR = 0, 1, 2


class Sides(NamedTuple):
    """The side of each row, the rows that are near, and for each column (rows, tokens) of each value over those in."""

    sides: U8
    near: U32
    inside: list[tuple[U64, U64]]


def sides(rows: Paying, able: Bools, reach: float) -> Sides:
    """`OUT` where a row is worth less than it pays, `IN` where more, `NEAR` where what it is worth beyond is within
    `reach` of 0. Rows that are not able are out."""
    found, near, inside = _core.sides(rows, able, reach)
    return Sides(found, near, _by_column(rows.codes, *inside))


def wrong(rows: Paying, able: Bools, sides: U8, reach: float) -> U32:
    """The able rows that are out but belong in, or in but belong out."""
    return _core.wrong(rows, able, sides, reach)


def summed(values: F64, marks: Bools, able: Bools) -> tuple[float, float]:
    """(the sum of the values of rows that are marked, the sum of the values above 0 of rows that are able): floats, added
    in the same order on every machine."""
    return _core.summed(values, marks, able)


class Places(NamedTuple):
    """Where values stand in a bend: for each column the place of each value (what a row adds, and what each of its tokens
    does; -1 where nothing is asked), those of all, and how many places there are."""

    columns: list[tuple[I32, I32]]
    of_all: tuple[int, int]
    num: int


class Smooth(NamedTuple):
    """A smoothed sum over rows of what they are worth beyond what they pay: the sum, for each column the (units, tokens) of
    each value that it puts in, its bend, and how many rows are near 0."""

    value: float
    inside: list[tuple[F64, F64]]
    bend: F64
    near: int


def smooth(rows: Paying, units: F64, heat: float, places: Places, every: int) -> Smooth:
    """The sum over rows, each counted `units` times, of `(z + sqrt(z² + 4 heat²)) / 2`, in place of what is above 0 of `z`,
    what a row is worth beyond what it pays. Of the rows near 0 `every` so many-th is asked for its bend, for all."""
    value, inside, bend, near = _core.smooth(rows, units, heat, (*places, every))
    return Smooth(value, _by_column(rows.codes, *inside), bend.reshape(places.num, places.num), near)


def tally(codes: Codes, tokens: U64, marks: Bools) -> list[tuple[U64, U64]]:
    """For each column, (rows, tokens) of each of its values over the rows that are marked."""
    return _by_column(codes, *_core.tally(codes, tokens, marks))


def _by_column(codes: Codes, counts: NDArray[_T], spent: NDArray[_T]) -> list[tuple[NDArray[_T], NDArray[_T]]]:
    ends = np.cumsum([size for _, _, size in codes.fields])[:-1]
    return list(zip(np.split(counts, ends), np.split(spent, ends), strict=True)) if codes.fields else []
