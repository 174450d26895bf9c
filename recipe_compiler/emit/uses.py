"""Uses of samples: what a source of a stage can draw, and which of it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels

_Item = TypeVar("_Item", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """Rows of the selection, each as often as it was selected; `use` counts a row's uses."""

    rows: kernels.U32
    use: kernels.U32

    @staticmethod
    def of(rows: kernels.U32, times: kernels.Times) -> Uses:
        """Each of these rows that are taken as often as `times` says, which has a number for every row of the selection."""
        # A byte of what is taken says once.
        own = None if times.dtype == np.uint8 else times[rows]
        if own is None or own.max(initial=1) == 1:
            return Uses(rows=rows, use=np.zeros(len(rows), dtype=np.uint32))
        row, use = _repeated(own)
        return Uses(rows=rows[row], use=use)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: NDArray[np.integer] | kernels.Bools) -> Uses:
        return Uses(rows=self.rows[which], use=self.use[which])

    def rounds(self, num: int) -> tuple[kernels.U32, kernels.U32]:
        """(row, pass) of every use in so many rounds; all of one round come before any of the next."""
        if num == 1:
            return self.rows, self.use
        per_round = int(self.use.max()) + 1 if len(self) else 1
        round_ = np.repeat(np.arange(num, dtype=np.uint32), len(self))
        return np.tile(self.rows, num), round_ * np.uint32(per_round) + np.tile(self.use, num)


def _repeated(times: NDArray[np.integer]) -> tuple[kernels.U32, kernels.U32]:
    """(item, turn) of each of `times[item]` copies of each item."""
    items = np.repeat(np.arange(len(times), dtype=np.uint32), times)
    return items, kernels.earlier_equals(items, len(times))


def end_to_end(parts: Sequence[NDArray[_Item]]) -> NDArray[_Item]:
    """One array behind another; a single one is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def places_of(numbers: kernels.U32, num: int) -> list[kernels.U32]:
    """The places of each number below `num`, in order."""
    if num == 1:
        return [np.arange(len(numbers), dtype=np.uint32)]
    # Sixteen bits are sorted by counting.
    small = numbers.astype(np.uint16) if num <= 1 << 16 else numbers
    places = np.argsort(small, kind="stable").astype(np.uint32)
    return np.split(places, np.cumsum(np.bincount(numbers, minlength=num))[:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The uses of samples that a source of a stage can draw, and how many draws it gets in an epoch."""

    name: str
    rule: str
    uses: Uses
    requested: Fraction
    draws: int
    choice: tuple[str, ...]
    """The name of the order in which samples are chosen where not all of them are drawn."""


class Exposure:
    """How often each sample was drawn so far, and the most that it may be: None is any number."""

    def __init__(self, height: int, most: int | None) -> None:
        self.most = most
        self._drawn = np.zeros(height, dtype=np.uint32)
        self._uncounted: list[kernels.U32] = []

    @property
    def drawn(self) -> kernels.U32:
        """How often each sample was drawn. Counted when somebody asks; most recipes never do."""
        for rows in self._uncounted:
            self._drawn += np.bincount(rows, minlength=len(self._drawn)).astype(np.uint32)
        self._uncounted.clear()
        return self._drawn

    @drawn.setter
    def drawn(self, drawn: kernels.U32) -> None:
        self._uncounted.clear()
        self._drawn = drawn

    def draw(self, rows: kernels.U32) -> None:
        """Notes draws."""
        self._uncounted.append(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Uses in the order in which they are drawn: (row, pass) of each, and how many draws they are short of."""

    rows: kernels.U32
    passes: kernels.U32
    short: int


def candidates(
    source: Source, key: int, keys: kernels.Keys, exposure: Exposure | None, *, repeat: int | None, times: int = 1
) -> Candidates:
    """What a source draws, as often as each sample may be, first to last: by pass, then by keyed hash.

    With an exposure, samples that were drawn less often come first, and those that have had the most draws, or would
    with `times` times what they get here, do not come at all. Where a row's capacity is what is left of it, taking those
    with the most left keeps as many draws possible later as there can be.

    Churn: what is drawn is a prefix of this order. Without an exposure it depends on the sample alone; with one, a draw
    that an earlier stage or epoch no longer makes changes the place of that one sample.
    """
    uses, draws = source.uses, source.draws
    rounds = max(-(-draws // max(len(uses), 1)), 1)
    if exposure is None:
        rows, passes = uses.rounds(rounds)
        chosen = kernels.ranking(key, keys, rows=rows, passes=passes)
        return Candidates(rows=rows[chosen], passes=passes[chosen], short=0)
    height = len(exposure.drawn)
    if exposure.most is not None:
        left = (exposure.most - np.minimum(exposure.drawn, exposure.most)) // times
        uses = uses[left[uses.rows] > 0]
        rounds = _enough_rounds(uses, left, draws, rounds, repeat)
    rows, passes = uses.rounds(rounds)
    turn = kernels.earlier_equals(rows, height)
    if exposure.most is not None:
        allowed = turn < left[rows]
        rows, passes, turn = rows[allowed], passes[allowed], turn[allowed]
    chosen = kernels.ranking(key, keys, rows=rows, passes=exposure.drawn[rows] + turn)
    return Candidates(rows=rows[chosen], passes=passes[chosen], short=max(draws - len(rows), 0))


_Left: TypeAlias = NDArray[np.integer]


def _enough_rounds(uses: Uses, left: _Left, draws: int, least: int, repeat: int | None) -> int:
    """The fewest rounds in which the draws can be had; as many as there may be where they cannot."""
    if not len(uses):
        return 1
    times = np.bincount(uses.rows, minlength=len(left)).astype(np.int64)
    most = int(left[uses.rows].max())
    low, high = least, max(least, most if repeat is None else min(repeat, most))
    while low < high:
        middle = (low + high) // 2
        if int(np.minimum(times * middle, left).sum()) >= draws:
            high = middle
        else:
            low = middle + 1
    return low
