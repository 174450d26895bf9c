"""Intervals: deterministic, independent of other benchmarks, and right on distributions that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime.evaluate.bootstrap import interval, resampled_means
from runtime.evaluate.chance import key_of

SCORES = arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 1))


@given(SCORES, st.integers(0, 2**32))
def test_resampled_means_are_means_of_the_scores(scores: np.ndarray, seed: int) -> None:
    means = resampled_means(scores, key_of("b", seed), 50)
    assert means.shape == (50,)
    assert means.min() >= scores.min() - 1e-12 and means.max() <= scores.max() + 1e-12
    assert np.array_equal(means, resampled_means(scores, key_of("b", seed), 50))
    low, high = interval(means)
    assert low <= high


@given(SCORES, st.floats(-2, 2), st.floats(0.1, 3))
def test_resamples_are_of_the_same_draws_whatever_the_scores(scores: np.ndarray, shift: float, scale: float) -> None:
    key = key_of("b", 0)
    expected = resampled_means(scores, key, 20) * scale + shift
    assert np.allclose(resampled_means(scores * scale + shift, key, 20), expected)


@pytest.mark.parametrize("num", [7, 1000, 200_001])
def test_draws_are_uniform_and_their_spread_is_that_of_a_mean(num: int) -> None:
    scores = (np.arange(num) % 3 == 0).astype(np.float64)
    means = resampled_means(scores, key_of("u", 1), 400)
    share = scores.mean()
    error = (share * (1 - share) / num) ** 0.5
    assert means.mean() == pytest.approx(share, abs=5 * error / 20)
    assert means.std() == pytest.approx(error, rel=0.15)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_intervals_hold_the_truth_about_as_often_as_they_say(share: float) -> None:
    held, num_worlds, num = 0, 300, 200
    uniform = (resampled_uniform(num_worlds * num) < share).astype(np.float64).reshape(num_worlds, num)
    for world, scores in enumerate(uniform):
        low, high = interval(resampled_means(scores, key_of("c", world), 400))
        held += low <= share <= high
    assert 0.90 <= held / num_worlds <= 0.985


def resampled_uniform(num: int) -> np.ndarray:
    """Numbers that look uniform on [0, 1), by numpy."""
    return np.random.Generator(np.random.Philox(7)).random(num)
