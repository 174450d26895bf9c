"""Streaming needs neither torch nor the compiler's libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.helpers import expected_ids
from tests.support import REPOSITORY

STREAM = """
import json, sys
from runtime.stream import ManifestDataset, ManifestStream
stream = ManifestStream(ManifestDataset(sys.argv[1]), global_batch=6)
print(json.dumps([sample.sample_id for batch in stream for sample in batch]))
"""


def run_python(code: str, *arguments: str | Path, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, with a folder before all others on its path."""
    path = os.pathsep.join(str(folder) for folder in (first, REPOSITORY) if folder is not None)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("module", ["recipe_compiler", "runtime", "runtime.stream", "runtime.reader"])
def test_importing_loads_no_large_library(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert not loaded & {"torch", "polars", "pydantic", "PIL", "click", "rich", "yaml"}


def blockers(folder: Path, *names: str) -> Path:
    """A folder in which importing these fails, as if they were not installed."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is blocked in this test')\n")
    return folder


@pytest.mark.parametrize(
    "names",
    [("polars",), ("pydantic", "pydantic_core"), ("torch",), ("PIL",)],
    ids=lambda names: str(names[0]),
)
def test_streaming_works_without(mixed: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    first = blockers(tmp_path / "first", *names)
    blocked = run_python(f"import {names[0]}", first=first)
    assert "is blocked in this test" in blocked.stderr
    done = run_python(STREAM, mixed, first=first)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected_ids(mixed)


def test_streaming_works_without_anything_but_arrow_and_numpy(mixed: Path, tmp_path: Path) -> None:
    names = ("polars", "pydantic", "pydantic_core", "torch", "PIL", "click", "rich", "yaml")
    done = run_python(STREAM, mixed, first=blockers(tmp_path / "first", *names))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected_ids(mixed)


def test_only_decoding_a_picture_asks_for_pillow(tmp_path: Path) -> None:
    code = """
from pathlib import Path
from recipe_compiler.errors import PackageMissing
from runtime.sample import Media
media = Media(kind="image", path=None, data=b"bytes")
assert media.read() == b"bytes"
try:
    media.image()
except PackageMissing as error:
    print(error)
"""
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "PIL.py").write_text("raise ModuleNotFoundError('no PIL', name='PIL')\n")
    done = run_python(code, first=folder)
    assert done.returncode == 0, done.stderr
    assert "pip install 'recipe-compiler[images]'" in done.stdout
