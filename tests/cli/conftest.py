"""Commands run in this process, in the test's folder, to save the second that starting one takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from recipe_compiler.cli.main import run
from tests.support import Ran

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
