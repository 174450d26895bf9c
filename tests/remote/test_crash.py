"""Processes of one node that share a cache, and are killed while they fill it: the next ones read what is right."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.storage.blocks import BLOCK
from runtime.stream import ManifestDataset, ManifestStream
from tests.remote.data import QUICK, compiled_from, jsonl
from tests.remote.web import Web
from tests.support import REPOSITORY

RECIPE = """recipe: 1
name: far
pools: {a: {source: "HOME/a.jsonl", format: qa}}
stages: [{name: all, draws: {count: 3000}, repeat: {max: any}}]
"""
#: Reads an epoch as one rank of two, with a cache of eight blocks, and prints the ids.
READER = """
import json, sys
from pathlib import Path
from recipe_compiler.remote.access import Access
from runtime.partition import World
from runtime.storage.blocks import BLOCK
from runtime.stream import ManifestDataset, ManifestStream
access = Access(tries=6, wait=0.01, cache_bytes=8 * (BLOCK + 64))
dataset = ManifestDataset(sys.argv[1], cache=Path(sys.argv[2]), access=access)
print("begun", flush=True)
stream = ManifestStream(dataset, global_batch=16, world=World(int(sys.argv[3]), 2))
print(json.dumps([[sample.sample_id for sample in batch] for batch in stream]), flush=True)
"""


def start(folder: Path, rank: int) -> subprocess.Popen[str]:
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(READER), str(folder / "out"), str(folder / "node"), str(rank)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    return running


@pytest.fixture
def far(web: Web, tmp_path: Path) -> list[str]:
    """A pool of 12 blocks, more than the cache holds; the ids of an epoch."""
    words = "word " * 400
    records = [{"id": f"a-{n}", "question": f"{n}? {words}", "answer": f"It is {n}."} for n in range(1500)]
    web.files["/pool/a.jsonl"] = jsonl(records)
    assert len(web.files["/pool/a.jsonl"]) > 11 * BLOCK
    compiled_from(tmp_path, web.url("/pool"), RECIPE)
    stream = ManifestStream(ManifestDataset(tmp_path / "out", access=QUICK), global_batch=16)
    return [sample.sample_id for sample in itertools.chain(*stream)]


def in_size(folder: Path) -> bool:
    return sum(path.stat().st_size for path in (folder / "node/blocks").rglob("*.?")) <= 8 * (BLOCK + 64)


def test_two_ranks_share_a_small_cache(far: list[str], tmp_path: Path) -> None:
    both = [start(tmp_path, rank) for rank in range(2)]
    while any(one.poll() is None for one in both):
        assert in_size(tmp_path)
        time.sleep(0.02)
    parts = []
    for one in both:
        out, err = one.communicate()
        assert one.returncode == 0, err
        parts.append(json.loads(out))
    assert [name for step in zip(*parts, strict=True) for part in step for name in part] == far
    assert in_size(tmp_path)


@pytest.mark.parametrize(
    "moments",
    [(0.02, 0.05, 0.1, 0.2), pytest.param([number / 60 for number in range(25)], marks=pytest.mark.slow)],
    ids=["some", "many"],
)
def test_kills_while_the_cache_is_filled(far: list[str], tmp_path: Path, moments: Sequence[float]) -> None:
    killed = 0
    for moment in moments:
        both = [start(tmp_path, rank) for rank in range(2)]
        time.sleep(moment)
        for one in both:
            killed += one.poll() is None
            one.send_signal(signal.SIGKILL)
            one.communicate()
        assert in_size(tmp_path)
    assert killed
    stream = ManifestStream(ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=QUICK), global_batch=16)
    assert [sample.sample_id for sample in itertools.chain(*stream)] == far
