"""What tests share: a recipe in a folder, compiled; commands run as a user runs them; small pools."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recipe_compiler.diagnostics import Diagnostic, Rejected
from recipe_compiler.emit.build import Built
from recipe_compiler.manifest import store
from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.resolve.workspace import Workspace

REPOSITORY = Path(__file__).parent.parent
#: Real data sets, where this checkout has them beside it; the product never needs them.
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def write_recipe(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def compile_text(folder: Path, text: str, *, root: Path | None = None, out: str = "out") -> Built:
    """Compiles a recipe text placed in a folder; the manifest lies in `folder / out`."""
    path = write_recipe(folder, text)
    built, _ = compile_recipe(path, Workspace(root=root or folder, cache=folder / ".recipe"), folder / out)
    return built


def rejected(folder: Path, text: str, *, root: Path | None = None) -> list[Diagnostic]:
    """The diagnostics of a recipe that does not compile."""
    try:
        compile_text(folder, text, root=root)
    except Rejected as error:
        return error.findings.errors
    raise AssertionError("the recipe compiled")


def draws(folder: Path) -> pl.DataFrame:
    """The rows of a manifest folder, with names in place of numbers."""
    manifest = store.read(folder)
    frame = pl.DataFrame(pl.from_arrow(store.read_rows(folder, manifest)))
    pools = pl.Series([pool.name for pool in manifest.pools], dtype=pl.String)
    stages = pl.Series([stage.name for stage in manifest.stages], dtype=pl.String)
    rules = pl.Series(list(manifest.rules), dtype=pl.String)
    return frame.with_columns(
        pool=pools.gather(frame["pool"]), stage=stages.gather(frame["stage"]), rule=rules.gather(frame["rule"])
    )


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def questions(name: str, count: int, **extra: Any) -> list[dict[str, Any]]:
    """Records of question and answer, all different."""
    return [
        {"id": f"{name}-{number}", "question": f"What is {name} {number}?", "answer": f"It is {number}.", **extra}
        for number in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def run_recipe(*arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Runs `recipe` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "recipe_compiler", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def kill_recipe(seconds: float, *arguments: str, cwd: Path) -> bool:
    """Starts `recipe` in a session of its own and kills it after a while; whether it was still running then."""
    running = subprocess.Popen(
        [sys.executable, "-m", "recipe_compiler", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    alive = running.poll() is None
    if alive:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    return alive
