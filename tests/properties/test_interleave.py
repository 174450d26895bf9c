"""Law 2: in a mixed stage every prefix is within one draw of the ideal, for every source, on both sides."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recipe_compiler import kernels
from recipe_compiler.execute.apportion import apportion

counts_of_few = st.lists(st.integers(0, 60), min_size=1, max_size=12)
counts_of_many = st.lists(st.integers(0, 40), min_size=200, max_size=1000)
weights_of_some = st.lists(
    st.fractions(min_value=Fraction(1, 900), max_value=50, max_denominator=997), min_size=1, max_size=40
)

#: Drawing from the source that lags most breaks the bound here.
GREEDY_BREAKS = [
    9,
    1,
    1,
    60,
    2,
    1,
    2,
    60,
    60,
    2,
    9,
    60,
    5,
    5,
    20,
    3,
    60,
    1,
    9,
    60,
    1,
    60,
    60,
    2,
    9,
    1,
    20,
    5,
    60,
    2,
    60,
    9,
    20,
]


def interleave(counts: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return kernels.interleave(np.array(counts, dtype=np.uint64))


def worst_deviation(order: np.ndarray[tuple[int], np.dtype[np.uint32]], counts: list[int]) -> int:
    """The largest |drawn * total - time * count| over all prefixes and sources: below `total` is below one draw.

    A source deviates most right before or right after one of its draws, or at the end, so looking there is enough.
    """
    total = sum(counts)
    worst = 0
    for source, count in enumerate(counts):
        times = np.flatnonzero(order == source).astype(object)
        assert len(times) == count
        for drawn, time in enumerate(times):
            before = abs(drawn * total - time * count)
            after = abs((drawn + 1) * total - (time + 1) * count)
            worst = max(worst, int(before), int(after))
    return worst


@given(counts_of_few)
@example([0, 0])
@example([1])
@example([1, 1, 1])
@example([10**5, 1])
def test_every_prefix_is_within_one_draw(counts: list[int]) -> None:
    order = interleave(counts)
    assert len(order) == sum(counts)
    assert worst_deviation(order, counts) < max(sum(counts), 1)


@settings(max_examples=15, deadline=None)
@given(counts_of_many)
def test_every_prefix_is_within_one_draw_of_a_thousand_sources(counts: list[int]) -> None:
    assert worst_deviation(interleave(counts), counts) < max(sum(counts), 1)


@given(weights_of_some, st.integers(1, 3000))
@example([Fraction(1, 3)] * 3, 1000)
@example([Fraction(1, 3), Fraction(2, 3)], 999)
def test_rational_weights_stay_within_one_draw_and_their_totals_are_exact(weights: list[Fraction], total: int) -> None:
    counts = apportion(total, weights)
    order = interleave(counts)
    assert sum(counts) == total
    assert worst_deviation(order, counts) < total
    # Against the weights themselves, rounding the totals costs at most one draw more, spread over the whole stage.
    whole = sum(weights, Fraction(0))
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - total * weight / whole) < 1


def test_tijdeman_is_tighter_than_one_draw() -> None:
    counts = [5, 3, 3, 2, 1, 1]
    slack = 2 * len(counts) - 2
    assert worst_deviation(interleave(counts), counts) * slack <= sum(counts) * (slack - 1)


def test_greedy_largest_deficit_would_break_the_bound() -> None:
    """Why the schedule is not the obvious one: choosing the source that lags most lets others run late."""
    counts = GREEDY_BREAKS
    assert _greedy_deviation(counts) > sum(counts)
    assert worst_deviation(interleave(counts), counts) < sum(counts)


def _greedy_deviation(counts: list[int]) -> int:
    total, drawn, order = sum(counts), [0] * len(counts), []
    for time in range(1, total + 1):
        source = max(range(len(counts)), key=lambda source: (time * counts[source] - drawn[source] * total, -source))
        drawn[source] += 1
        order.append(source)
    return worst_deviation(np.array(order, dtype=np.uint32), counts)


@pytest.mark.parametrize("sources", [1, 2, 37, 1000])
def test_equal_sources_take_strict_turns(sources: int) -> None:
    order = interleave([4] * sources)
    for start in range(0, 4 * sources, sources):
        assert sorted(order[start : start + sources]) == list(range(sources))
