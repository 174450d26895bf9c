"""Commands run in this process, in the test's folder, to save the second that starting one takes; a recipe to run them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from recipe_compiler.cli.main import run
from tests.cli.mix import RECIPE
from tests.support import Ran, compile_text, questions, write_jsonl, write_recipe

Recipe: TypeAlias = Callable[..., Ran]


@pytest.fixture
def recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """`recipe(*arguments)`: what the command prints, and its exit code."""
    monkeypatch.chdir(tmp_path)

    def ran(*arguments: str) -> Ran:
        code = run(list(arguments))
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return ran


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    """A folder with a recipe and its data."""
    write_jsonl(tmp_path / "data/general.jsonl", questions("general", 4))
    write_jsonl(tmp_path / "data/ocr.jsonl", questions("ocr", 2))
    write_recipe(tmp_path, RECIPE)
    return tmp_path


@pytest.fixture
def release(mix: Path) -> Path:
    """The same folder with the manifest `out`, compiled in this process to save a second."""
    compile_text(mix, RECIPE)
    return mix
