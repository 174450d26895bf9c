"""The summaries of papers, on the numbers that papers print."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.evaluate.compare import above_random, samples_to_match, share_of_full

BENCHMARKS = ("MMB", "MMStar", "MMMU", "MMVet", "BLINK", "MMT", "MME", "AI2D", "SQA", "MathVista")


def scores(text: str) -> dict[str, float]:
    return dict(zip(BENCHMARKS, map(float, text.split()), strict=True))


FULL = scores("80.57 59.40 45.16 47.16 56.87 60.73 2117.56 81.87 92.76 59.60")
RANDOM = scores("73.74 47.98 43.70 42.34 50.61 58.87 2004.50 73.07 81.52 45.47")


@pytest.mark.parametrize(
    ("row", "above", "of_full"),
    [
        ("73.74 47.98 43.70 42.34 50.61 58.87 2004.50 73.07 81.52 45.47", 0, 89.29),
        ("67.34 45.27 38.98 30.18 45.27 54.33 1887.71 66.74 74.76 31.40", 0, 78.31),
        ("74.23 47.27 40.08 35.73 52.96 56.73 1902.65 73.61 78.63 39.80", 3, 85.41),
        ("66.72 52.20 41.18 38.03 47.92 55.96 1811.13 76.20 83.64 46.90", 4, 86.64),
        ("77.79 53.33 43.27 43.53 51.83 59.16 1938.68 77.66 88.45 52.00", 8, 93.20),
    ],
)
def test_the_summaries_of_mmssrs_table_at_5_percent(row: str, above: int, of_full: float) -> None:
    """Random, PPL-mid, CLIP, ICONS and mmSSR, as its README prints them."""
    share, left_out = share_of_full(scores(row), FULL)
    assert share is not None and 100 * share == pytest.approx(of_full, abs=0.0101)
    assert left_out == [] and above_random(scores(row), RANDOM) == above


def test_a_benchmark_where_everything_scores_nothing_has_no_ratio() -> None:
    assert share_of_full({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}) == (0.5, ["b"])
    assert share_of_full({"a": 0.5}, {"a": 0.0}) == (None, ["a"])


@given(st.dictionaries(st.integers(1, 10**6), st.integers(0, 100), min_size=1, max_size=6), st.integers(0, 100))
def test_samples_to_match_is_where_the_line_first_reaches_the_target(points: dict[int, int], target: int) -> None:
    curve = [(num, score / 100) for num, score in points.items()]
    found = samples_to_match(curve, target / 100)
    ordered = sorted(curve)
    if found is None:
        assert all(score < target / 100 for _, score in ordered)
        return
    reached = next(place for place, (_, score) in enumerate(ordered) if score >= target / 100)
    before = ordered[reached - 1][0] if reached else ordered[0][0]
    assert before <= found <= ordered[reached][0]
    if reached:
        (left, low), (right, high) = ordered[reached - 1], ordered[reached]
        line = Fraction(low) + (found - left) / (right - left) * (Fraction(high) - Fraction(low))
        assert line == Fraction(target / 100)
