"""Stopped anywhere and resumed in any other world, a stream goes on exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import ForeignManifest, StateError, StreamError
from runtime.partition import World
from runtime.reader import Reader
from runtime.stream import ManifestDataset, ManifestStream
from tests.runtime.helpers import Setup, assert_equal_output_after_checkpoint, plain_stream, torch_loader


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Setup(1, 4), Setup(1, 4)),
        (Setup(4, 8), Setup(3, 8)),
        (Setup(2, 5), Setup(8, 5)),
        (Setup(3, 6), Setup(2, 4)),
        (Setup(1, 7), Setup(5, 16)),
        (Setup(2, 8, drop_last=True), Setup(4, 8, drop_last=True)),
        (Setup(2, 8), Setup(4, 3, drop_last=True)),
        (Setup(8, 3), Setup(1, 64)),
    ],
)
@pytest.mark.parametrize("reading", [plain_stream, torch_loader])
def test_a_stop_after_every_batch_resumes_exactly(manifest: Path, before: Setup, after: Setup, reading: Any) -> None:
    assert_equal_output_after_checkpoint(manifest, before, after, reading)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Setup(1, 8, num_workers=2, options={"prefetch_factor": 4}), Setup(2, 8, num_workers=1)),
        (Setup(2, 9, num_workers=1), Setup(1, 4, num_workers=3)),
        (Setup(1, 12, num_workers=0), Setup(1, 12, num_workers=2)),
    ],
)
def test_a_stop_after_every_batch_resumes_exactly_with_workers(mixed: Path, before: Setup, after: Setup) -> None:
    assert_equal_output_after_checkpoint(mixed, before, after, torch_loader)


def test_what_workers_read_ahead_is_not_in_the_state(single: Path) -> None:
    setup = Setup(1, 3, num_workers=2, options={"prefetch_factor": 6})
    loader = torch_loader(ManifestDataset(single), setup, World())
    steps = iter(loader)
    for taken in range(1, 4):
        next(steps)
        assert loader.state_dict()["consumed"] == 3 * taken
    del steps


def test_an_interrupted_loader_goes_on_with_what_is_left(single: Path) -> None:
    loader = torch_loader(ManifestDataset(single), Setup(1, 5), World())
    first = next(iter(loader))
    rest = list(loader)
    assert [sample.position for batch in [first, *rest] for sample in batch] == list(range(37))


def test_many_resumptions_lose_nothing(mixed: Path) -> None:
    state: dict[str, Any] | None = None
    seen: list[int] = []
    sizes = [3, 5, 1, 7, 2]
    for turn in range(1000):
        dataset = ManifestDataset(mixed)
        num_ranks = 1 + turn % 4
        streams = [
            ManifestStream(dataset, global_batch=sizes[turn % len(sizes)], world=World(rank, num_ranks))
            for rank in range(num_ranks)
        ]
        if state is not None:
            for stream in streams:
                stream.load_state_dict(state)
        if not len(streams[0]):
            break
        for stream in streams:
            seen += [sample.position for sample in next(iter(stream))]
        state = json.loads(json.dumps(streams[-1].state_dict()))
    assert seen == list(range(len(ManifestDataset(mixed))))


@settings(deadline=None, database=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(0, 6)),  # batch, ranks, steps before the stop
        min_size=1,
        max_size=8,
    )
)
def test_any_chain_of_worlds_reads_every_draw_once(single: Path, runs: list[tuple[int, int, int]]) -> None:
    dataset = ManifestDataset(single)
    consumed: dict[str, Any] | None = None
    seen: list[int] = []
    for size, num_ranks, num_steps in [*runs, (10, 1, 10)]:
        states, per_rank = [], []
        for rank in range(num_ranks):
            stream = ManifestStream(dataset, global_batch=size, world=World(rank, num_ranks))
            if consumed is not None:
                stream.load_state_dict(consumed)
            steps = [batch for _, batch in zip(range(num_steps), stream, strict=False)]
            per_rank.append([[sample.position for sample in batch] for batch in steps])
            states.append(stream.state_dict())
        assert all(state == states[0] for state in states)
        seen += [position for step in zip(*per_rank, strict=True) for part in step for position in part]
        # `zip` asks the range first, so that no batch beyond the last is taken.
        consumed = json.loads(json.dumps(states[0]))
    assert seen == list(range(37))


def test_the_state_says_which_manifest_and_how_far(single: Path) -> None:
    stream = ManifestStream(ManifestDataset(single), global_batch=10)
    assert stream.state_dict() == {"version": 1, "manifest": stream.dataset.manifest_id, "consumed": 0}
    next(iter(stream))
    assert stream.state_dict()["consumed"] == 10
    list(stream)
    assert stream.state_dict()["consumed"] == 37
    assert len(stream) == 0 and list(stream) == []


def test_a_state_is_not_changed_by_going_on(single: Path) -> None:
    stream = ManifestStream(ManifestDataset(single), global_batch=10)
    state = stream.state_dict()
    list(stream)
    assert state["consumed"] == 0


@pytest.mark.parametrize("reading", [plain_stream, torch_loader])
def test_the_state_of_another_manifest_is_refused(single: Path, mixed: Path, reading: Any) -> None:
    state = reading(ManifestDataset(mixed), Setup(1, 4), World()).state_dict()
    reader = reading(ManifestDataset(single), Setup(1, 4), World())
    with pytest.raises(ForeignManifest) as caught:
        reader.load_state_dict(state)
    message = str(caught.value)
    assert state["manifest"][:12] in message
    assert ManifestDataset(single).manifest_id[:12] in message
    assert "resume with the manifest that was trained on" in message
    assert reader.state_dict()["consumed"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"version": "1"},
        {"consumed": None},
        {"consumed": "3"},
        {"consumed": 1.5},
        {"consumed": True},
        {"consumed": [3]},
        {"consumed": -1},
        {"consumed": 38},
        {"consumed": 10**30},
    ],
)
def test_a_malformed_state_is_refused_and_changes_nothing(single: Path, change: dict[str, Any]) -> None:
    stream = ManifestStream(ManifestDataset(single), global_batch=4)
    next(iter(stream))
    good = stream.state_dict()
    with pytest.raises(StateError):
        stream.load_state_dict({**good, **change})
    assert stream.state_dict() == good


@pytest.mark.parametrize("name", ["version", "consumed"])
def test_a_state_with_a_part_missing_is_refused(single: Path, name: str) -> None:
    stream = ManifestStream(ManifestDataset(single), global_batch=4)
    state = {key: value for key, value in stream.state_dict().items() if key != name}
    with pytest.raises(StateError):
        stream.load_state_dict(state)
    with pytest.raises(StateError):
        stream.load_state_dict({})


def test_a_state_without_a_manifest_is_refused(single: Path) -> None:
    stream = ManifestStream(ManifestDataset(single), global_batch=4)
    with pytest.raises(StreamError):
        stream.load_state_dict({"version": 1, "consumed": 0})


def test_the_end_is_a_state_to_resume_from(single: Path) -> None:
    stream = ManifestStream(ManifestDataset(single), global_batch=4)
    stream.load_state_dict({**stream.state_dict(), "consumed": 37})
    assert list(stream) == []


@pytest.mark.parametrize("position", [-1, 37, 10**12])
def test_a_position_beyond_the_manifest_is_refused(single: Path, position: int) -> None:
    reader = Reader(single)
    with pytest.raises(StreamError, match="37 draws"):
        reader.sample(position)
    with pytest.raises(StreamError, match="37 draws"):
        reader.row(position)
