"""Killed at any moment, the same command goes on, and the end is the same to the last byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from recipe_compiler.errors import ManifestError
from recipe_compiler.manifest import store
from tests.materialize.helpers import KINDS, compiled, copy, files
from tests.support import REPOSITORY, run_recipe


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of some thousand draws."""
    return compiled(tmp_path_factory.mktemp("large"), 400)


def test_the_number_of_processes_changes_nothing(large: Path, tmp_path: Path) -> None:
    for kind in KINDS:
        copy(large, tmp_path / f"{kind}-0", kind, shard_bytes=200_000)
        copy(large, tmp_path / f"{kind}-2", kind, shard_bytes=200_000, num_processes=2)
        assert files(tmp_path / f"{kind}-0") == files(tmp_path / f"{kind}-2")


def receipts(folder: Path) -> int:
    """How many files a run has completed."""
    return len(list((folder / "copy/.materialize").glob("0*.json")))


def kill_after(num_files: int, seconds: float, folder: Path, asked: Sequence[str]) -> bool:
    """Kills a run, and those that read for it, a while after it completed its n-th file; whether it was running then."""
    running = subprocess.Popen(
        [sys.executable, "-m", "recipe_compiler", *asked],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    )
    while running.poll() is None and receipts(folder) < num_files:
        time.sleep(0.001)
    time.sleep(seconds)
    alive = running.poll() is None
    if alive:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    return alive


def kill_at(moments: int, kind: str, large: Path, folder: Path) -> None:
    """Kills runs here and there, each twice, and compares what the third makes of it with a run that nobody disturbed."""
    asked = ("materialize", str(large), "copy", "--to", kind, "--shard-size", "100KB", "--workers", "0", "-q")
    copy(large, folder / "whole", kind, shard_bytes=100_000)
    expected = files(folder / "whole")
    num_files = sum(name.startswith("data/shard") for name in expected)
    assert num_files > 5
    num_killed = 0
    for moment in range(moments):
        shutil.rmtree(folder / "copy", ignore_errors=True)
        for share in (moment, moment + 2):
            # Somewhere in a file, and where the next run goes on.
            num_killed += kill_after(num_files * share // (moments + 2), 0.003 * (moment % 7), folder, asked)
            if not (folder / "copy/manifest.json").exists():
                with pytest.raises(ManifestError):
                    store.read(folder / "copy")
        assert run_recipe(*asked, cwd=folder).code == 0
        assert files(folder / "copy") == expected
    assert num_killed >= moments


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_it_goes_on(kind: str, large: Path, tmp_path: Path) -> None:
    kill_at(2, kind, large, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_many_moments_it_goes_on(kind: str, large: Path, tmp_path: Path) -> None:
    kill_at(20, kind, large, tmp_path)


def test_processes_end_with_the_one_that_was_killed(large: Path, tmp_path: Path) -> None:
    """Only the process that writes is killed; those that read for it must not stay."""
    asked = ["materialize", str(large), "copy", "--to", "webdataset", "--shard-size", "20KB", "--workers", "2", "-q"]
    running = subprocess.Popen(
        [sys.executable, "-m", "recipe_compiler", *asked],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not receipts(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    while time.monotonic() < deadline:
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        os.killpg(running.pid, signal.SIGKILL)
        raise AssertionError("a process stayed behind")
    assert run_recipe(*asked, cwd=tmp_path).code == 0
