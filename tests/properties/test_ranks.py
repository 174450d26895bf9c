"""A walk along one stratum ranks its rows as a walk along the whole table does that looks past all others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recipe_compiler import kernels
from recipe_compiler.execute.ranks import Preference, Walk
from recipe_compiler.manifest.rows import between


@given(st.data(), st.integers(1, 30), st.booleans(), st.integers(0, 2))
def test_a_stratum_is_ranked_as_in_the_whole_table(data: st.DataObject, num: int, scored: bool, turn: int) -> None:
    def numbers(kind: str, most: int) -> np.ndarray:
        return data.draw(arrays.arrays(np.dtype(kind), num, elements=st.integers(0, most)))

    # Few ids, so that samples are the same; what tells them apart is the occurrence.
    keys = kernels.Keys([numbers("u8", 1)], [numbers("u8", 2)], np.arange(num, dtype=np.uint32), numbers("u4", 1))
    scores = numbers("u1", 2).astype(np.float64) if scored else None
    group, able, taken = numbers("u4", 2), numbers("u1", 1).astype(np.bool_), numbers("u1", 1).astype(np.bool_)
    order = Preference(key=17, keys=keys, scores=scores)
    whole = Walk.of(order, able, None)
    assert whole.num == able.sum()
    for number in range(3):
        inside = able & (group == number)
        walk = Walk.of(order, able, (group, number))
        assert walk.num == inside.sum()
        for row in np.flatnonzero(inside).tolist():
            assert walk.rank(row, turn) == kernels.rank_of(17, keys, scores, marks=inside, row=row, turn=turn)
            assert whole.rank(row, turn) == kernels.rank_of(17, keys, scores, marks=able, row=row, turn=turn)
        chosen = walk.marks & walk.values(taken)
        if chosen.any():
            assert walk.last(chosen, turn) == kernels.last_of(17, keys, scores, marks=inside & taken, turn=turn)


@pytest.mark.parametrize("kind", ["u4", "u8"])
@pytest.mark.parametrize(("low", "high"), [(7, 7), (3, 9), (0, 0), (999, 999), (1000, 2000)])
@pytest.mark.parametrize("num", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_places_between_two_numbers(kind: str, low: int, high: int, num: int) -> None:
    column = (np.arange(num) * 7919 % 1000).astype(kind)
    assert between(column, low, high).tolist() == np.flatnonzero((column >= low) & (column <= high)).tolist()


def test_the_largest_number_is_a_number() -> None:
    column = np.array([2**64 - 1, 0, 2**63, 2**64 - 1], dtype=np.uint64)
    assert between(column, 2**64 - 1, 2**64 - 1).tolist() == [0, 3]
    assert between(column, 2**63, 2**64 - 1).tolist() == [0, 2, 3]
