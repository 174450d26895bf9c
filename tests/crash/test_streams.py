"""Real ranks, killed at any moment and resumed as another number of ranks: no draw is lost and none comes twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.helpers import expected_ids
from tests.support import REPOSITORY, compile_text, questions, write_jsonl

RECIPE = """recipe: 1
name: streams
pools: {a: {source: a.jsonl}, b: {source: b.jsonl}}
stages: [{name: all, mix: {by: pool}}]
shard: {rows: 50}
"""
BATCH = 7

#: A rank that trains alone with its disk: it notes each step, with the state to resume from, before it takes the next.
RANK = """
import json, os, sys, time
from runtime.partition import World
from runtime.stream import ManifestDataset, ManifestStream

manifest, notes, state, pause = sys.argv[1:]
stream = ManifestStream(ManifestDataset(manifest), global_batch=7, world=World.from_environment())
if state:
    stream.load_state_dict(json.loads(state))
with open(notes, "w") as file:
    for samples in stream:
        draws = [[sample.position, sample.sample_id] for sample in samples]
        file.write(json.dumps([stream.state_dict(), draws]) + "\\n")
        file.flush()
        os.fsync(file.fileno())
        time.sleep(float(pause))
"""

Step = tuple[dict[str, Any], list[list[Any]]]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 draws."""
    folder = tmp_path_factory.mktemp("streams")
    for name in ("a", "b"):
        write_jsonl(folder / f"{name}.jsonl", questions(name, 100))
    compile_text(folder, RECIPE)
    return folder / "out"


class Ranks:
    """The processes of one run, and what they noted."""

    def __init__(
        self, manifest: Path, folder: Path, num_ranks: int, state: dict[str, Any] | None, pause: float
    ) -> None:
        folder.mkdir()
        self.notes = [folder / str(rank) for rank in range(num_ranks)]
        told = "" if state is None else json.dumps(state)
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", RANK, manifest, notes, told, str(pause)],
                env={
                    **os.environ,
                    "PYTHONPATH": str(REPOSITORY),
                    "RANK": str(rank),
                    "WORLD_SIZE": str(num_ranks),
                },
            )
            for rank, notes in enumerate(self.notes)
        ]

    def wait(self) -> None:
        for process in self.processes:
            assert process.wait(timeout=60) == 0

    def kill(self, num_steps: int, chance: random.Random) -> None:
        """Kills every rank, one after another, some time after one of them noted so many steps."""
        deadline = time.monotonic() + 60
        watched = chance.choice(self.notes)
        while not watched.exists() or watched.read_bytes().count(b"\n") < num_steps:
            assert time.monotonic() < deadline, "the ranks do not move"
            time.sleep(0.001)
        time.sleep(chance.random() * 0.01)
        for process in chance.sample(self.processes, len(self.processes)):
            process.send_signal(signal.SIGKILL)
            time.sleep(chance.random() * 0.01)
        for process in self.processes:
            process.wait()

    def steps(self) -> list[Step]:
        """The steps that every rank noted as a whole, the ranks' parts side by side. What only some took is undone."""
        per_rank = []
        for notes in self.notes:
            lines = notes.read_text().splitlines(keepends=True) if notes.exists() else []
            per_rank.append([json.loads(line) for line in lines if line.endswith("\n")])
        joined = []
        for parts in zip(*per_rank, strict=False):
            states = [state for state, _ in parts]
            assert all(state == states[0] for state in states), "ranks keep different states"
            joined.append((states[0], [draw for _, draws in parts for draw in draws]))
        return joined


def stop_and_resume(manifest: Path, folder: Path, points: int) -> None:
    whole = [[position, sample] for position, sample in enumerate(expected_ids(manifest))]
    batches = [whole[start : start + BATCH] for start in range(0, len(whole), BATCH)]
    num_killed = 0
    for point in range(points):
        chance = random.Random(point)  # noqa: S311
        first = Ranks(manifest, folder / f"{point} before", 2, None, 0.005)
        first.kill(chance.randrange(len(batches)), chance)
        before = first.steps()
        num_killed += len(before) < len(batches)
        state = json.loads(json.dumps(before[-1][0])) if before else None
        second = Ranks(manifest, folder / f"{point} after", 1 + point % 4, state, 0)
        second.wait()
        assert [draws for _, draws in before + second.steps()] == batches, f"killed after {len(before)} steps"
    assert num_killed > points // 2, "the kills came too late to mean anything"


def test_two_ranks_killed_anywhere_resume_as_any_number_of_ranks(manifest: Path, tmp_path: Path) -> None:
    stop_and_resume(manifest, tmp_path, 5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_ranks_killed_at_fifty_points_resume_as_any_number_of_ranks(manifest: Path, tmp_path: Path) -> None:
    stop_and_resume(manifest, tmp_path, 50)
