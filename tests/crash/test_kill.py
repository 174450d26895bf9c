"""Killed at any moment: the old manifest or the new one, and the next run needs no cleaning up."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recipe_compiler.errors import ManifestError
from recipe_compiler.manifest import store
from tests.support import REPOSITORY, kill_recipe, questions, run_recipe, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: crash
seed: {seed}
pools:
  a: {{source: a.jsonl}}
  b: {{source: b.jsonl.gz}}
select: {{budget: {{share: 50%}}}}
shard: {{rows: 100}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "a.jsonl", questions("a", 3000))
    lines = "".join(json.dumps(row) + "\n" for row in questions("b", 3000))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return tmp_path


def compiled(folder: Path, seed: int, out: str) -> dict[str, bytes]:
    """The files of a compile that nobody disturbed."""
    write_recipe(folder, RECIPE.format(seed=seed))
    ran = run_recipe("compile", "recipe.yaml", "--out", out, "-q", cwd=folder)
    assert ran.code == 0, ran.err
    return files(folder / out)


def files(folder: Path) -> dict[str, bytes]:
    named = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(named)}


def kill_after(seconds: float, folder: Path, seed: int) -> bool:
    """Kills a compile; whether it was still running then."""
    write_recipe(folder, RECIPE.format(seed=seed))
    return kill_recipe(seconds, "compile", "recipe.yaml", "--out", "out", "-q", cwd=folder)


def kill_at(moments: int, folder: Path) -> None:
    old, new = compiled(folder, 1, "old"), compiled(folder, 2, "new")
    begun = time.perf_counter()
    compiled(folder, 1, "out")
    whole = time.perf_counter() - begun
    num_killed = 0
    for moment in range(moments):
        # From start-up to just after the end, with a cold cache every other time.
        if moment % 2:
            shutil.rmtree(folder / ".recipe", ignore_errors=True)
        num_killed += kill_after(whole * (0.2 + 0.85 * moment / moments), folder, 2)
        kept = store.read(folder / "out")
        assert kept.seed in (1, 2)
        store.verify(folder / "out", folder)
        named = {f"shards/{Path(shard.file).name}" for shard in kept.shards} | {store.DOCUMENT}
        expected = old if kept.seed == 1 else new
        assert {name: data for name, data in files(folder / "out").items() if name in named} == expected
        assert compiled(folder, 1, "out") == old
    assert num_killed > moments // 4


def test_a_killed_compile_leaves_the_old_manifest_or_the_new_one(folder: Path) -> None:
    kill_at(10, folder)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_compile_killed_at_two_hundred_moments(folder: Path) -> None:
    kill_at(200, folder)


def test_a_killed_first_compile_leaves_no_manifest_that_reads(folder: Path) -> None:
    new = compiled(folder, 2, "new")
    for moment in range(5):
        shutil.rmtree(folder / "out", ignore_errors=True)
        shutil.rmtree(folder / ".recipe", ignore_errors=True)
        kill_after(0.3 + 0.12 * moment, folder, 2)
        try:
            store.verify(folder / "out", folder)
        except ManifestError:
            assert not (folder / "out" / store.DOCUMENT).exists()
        assert compiled(folder, 2, "out") == new


def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    compiled(folder, 1, "out")
    before = files(folder / "out")
    (folder / "blocked").write_text("a file where the folder should be")
    ran = run_recipe("compile", "recipe.yaml", "--out", "blocked", cwd=folder)
    assert (ran.code, "Traceback" in ran.err) == (1, False), ran.err
    assert "blocked" in ran.err
    ran = run_recipe("compile", "recipe.yaml", "--out", "out", "--cache", "blocked", cwd=folder)
    assert (ran.code, "Traceback" in ran.err) == (1, False), ran.err
    assert files(folder / "out") == before


def test_a_second_writer_of_one_folder_is_refused_and_changes_nothing(folder: Path) -> None:
    compiled(folder, 1, "out")
    before = files(folder / "out")
    write_recipe(folder, RECIPE.format(seed=2))
    with (folder / "out" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = run_recipe("compile", "recipe.yaml", "--out", "out", cwd=folder)
    assert ran.code == 1
    assert ran.err == "error: out: another compile is writing here; nothing was changed by this one\n"
    assert files(folder / "out") == before


def test_a_full_disk_is_told_and_loses_nothing(folder: Path) -> None:
    compiled(folder, 1, "out")
    before = files(folder / "out")
    write_recipe(folder, RECIPE.format(seed=2))
    # A limit on the size of files stops the write where a full disk would; the cache is warm.
    limited = "ulimit -f 8; trap '' XFSZ; exec \"$0\" -m recipe_compiler compile recipe.yaml --out out -q"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = ["bash", "-c", limited, sys.executable]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "File too large" in done.stderr
    # Shards that were whole may lie there unnamed; what the old manifest names is as it was.
    assert before.items() <= files(folder / "out").items()
    store.verify(folder / "out", folder)
