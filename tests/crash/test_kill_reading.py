"""`index` and `lock`, killed at any moment: the old state or the new one, and the next run needs no cleaning up."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from pathlib import Path

import pytest

from recipe_compiler.cli.main import run
from tests.support import compile_text, kill_recipe, questions, run_recipe, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: crash
pools:
  a: {source: a.jsonl}
  b: {source: b.jsonl.gz}
select: {budget: {share: 50%}}
"""

MOMENTS = [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "a.jsonl", questions("a", 3000))
    lines = "".join(json.dumps(row) + "\n" for row in questions("b", 3000))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    write_recipe(tmp_path, RECIPE)
    return tmp_path


def forget(folder: Path) -> None:
    shutil.rmtree(folder / ".recipe", ignore_errors=True)


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What a command prints that nobody disturbs, run in this process to save a second."""
    assert run([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def seconds(folder: Path, command: str) -> float:
    """How long an undisturbed command takes with a cold cache, at best: a busy machine must not outwait every kill."""
    took = []
    for _ in range(2):
        forget(folder)
        begun = time.perf_counter()
        ran = run_recipe(command, "recipe.yaml", "-q", cwd=folder)
        assert ran.code == 0, ran.err
        took.append(time.perf_counter() - begun)
    return min(took)


def moments(num: int, whole: float) -> list[float]:
    """From start-up to just after the end."""
    return [whole * (0.2 + 0.85 * moment / num) for moment in range(num)]


@pytest.mark.parametrize("num", MOMENTS)
def test_after_a_killed_index_everything_reads_as_if_it_never_ran(
    num: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = seconds(folder, "index")
    expected = said(capsys, "index", folder / "recipe.yaml", "--format", "json")
    compiled = compile_text(folder, RECIPE).manifest
    num_killed = 0
    for moment, after in enumerate(moments(num, whole)):
        # With a cold cache every other time, else with what the killed ones left.
        if moment % 2:
            forget(folder)
        num_killed += kill_recipe(after, "index", "recipe.yaml", "-q", cwd=folder)
        assert said(capsys, "index", folder / "recipe.yaml", "--format", "json") == expected
        assert compile_text(folder, RECIPE).manifest == compiled
    assert num_killed > num // 4


@pytest.mark.parametrize("num", MOMENTS)
def test_a_killed_lock_leaves_the_old_lock_or_the_new_one(
    num: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "recipe.lock"
    said(capsys, "lock", folder / "recipe.yaml", "-q")
    old = path.read_bytes()
    write_jsonl(folder / "a.jsonl", questions("a", 3001))
    whole = seconds(folder, "lock")
    new = path.read_bytes()
    assert old != new
    num_killed, seen = 0, set()
    for moment, after in enumerate(moments(num, whole)):
        if moment % 2:
            forget(folder)
        path.write_bytes(old)
        num_killed += kill_recipe(after, "lock", "recipe.yaml", "-q", cwd=folder)
        seen.add(path.read_bytes())
        assert seen <= {old, new}
        said(capsys, "lock", folder / "recipe.yaml", "-q")
        assert path.read_bytes() == new
    assert num_killed > num // 4
    assert old in seen
