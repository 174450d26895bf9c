"""Who reads what, as arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import StreamError
from runtime.partition import World, global_batches, part

lengths = st.integers(0, 5000)
sizes = st.integers(1, 700)
properties = settings(deadline=None, database=None, max_examples=200)


@properties
@given(start=st.integers(0, 10**12), size=st.integers(0, 100_000), num_ranks=st.integers(1, 3000))
def test_parts_tile_a_batch_in_order_and_differ_by_at_most_one(start: int, size: int, num_ranks: int) -> None:
    batch = range(start, start + size)
    parts = [part(batch, World(rank, num_ranks)) for rank in range(num_ranks)]
    at = batch.start
    for piece in parts:
        assert piece.start == at and piece.step == 1
        at = piece.stop
    assert at == batch.stop
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@properties
@given(num_draws=lengths, size=sizes, drop_last=st.booleans(), data=st.data())
def test_global_batches_are_consecutive_and_leave_out_only_a_short_tail(
    num_draws: int, size: int, drop_last: bool, data: st.DataObject
) -> None:
    consumed = data.draw(st.integers(0, num_draws))
    batches = list(global_batches(num_draws, consumed, size, drop_last=drop_last))
    positions = [position for batch in batches for position in batch]
    left = num_draws - consumed
    assert positions == list(range(consumed, consumed + (left - left % size if drop_last else left)))
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(0 < len(batch) <= size for batch in batches)


@properties
@given(num_draws=lengths, size=sizes, stop=st.integers(0, 50))
def test_global_batches_do_not_depend_on_where_reading_was_interrupted(num_draws: int, size: int, stop: int) -> None:
    batches = list(global_batches(num_draws, 0, size, drop_last=False))
    consumed = batches[min(stop, len(batches)) - 1].stop if batches and stop else 0
    assert list(global_batches(num_draws, consumed, size, drop_last=False)) == batches[stop:]


@pytest.mark.parametrize(("rank", "num_ranks"), [(-1, 2), (2, 2), (0, 0), (0, -1), (5, 3)])
def test_a_rank_outside_its_world_is_refused(rank: int, num_ranks: int) -> None:
    with pytest.raises(StreamError, match=f"rank {rank}"):
        World(rank, num_ranks)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(StreamError, match="at least one draw"):
        list(global_batches(10, 0, size, drop_last=False))


def test_the_world_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert World.from_environment() == World(0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert World.from_environment() == World(3, 4)
