"""What README.md shows of the command is what it prints, on the quickstart's data as a whole. `...` stands for any lines."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes.shipped import RECIPES
from tests.support import REPOSITORY, run_recipe

pytestmark = pytest.mark.slow

#: What a command of the quickstart or of the quotas names.
_RUN = re.compile(r"^\$ recipe (?=.*(release-\d|quickstart-1|quotas))(.*)$")


def shown() -> list[tuple[str, str]]:
    """(command, what is shown below it), of the blocks that run on the quickstart's data."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return [example for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for example in _examples(block)]


def _examples(block: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE):
        command, _, below = part.partition("\n")
        if found := _RUN.match(command):
            yield found[2], below


def _pattern(below: str) -> str:
    return "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in below.splitlines())


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipes, the quickstart with all of its data, and its two releases."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(RECIPES, folder, ignore=shutil.ignore_patterns("data", "build", ".recipe"), dirs_exist_ok=True)
    quickstart = folder / "quickstart"
    generate = [sys.executable, "generate.py", "--out", "data", "--scores"]
    subprocess.run(generate, cwd=quickstart, check=True, capture_output=True)
    for name in ("release-1.yaml", "release-2.yaml"):
        assert run_recipe("compile", name, "--quiet", cwd=quickstart).code == 0
    return folder


def test_readme_shows_examples() -> None:
    assert {command.split()[0] for command, _ in shown()} == {"plan", "diff", "explain", "compile"}
    assert len(shown()) >= 8


@pytest.mark.parametrize(("command", "below"), shown())
def test_readme_shows_what_is_printed(command: str, below: str, recipes: Path) -> None:
    folder = recipes / ("practice" if "quotas" in command else "quickstart")
    quotas = recipes / "practice/quotas.yaml"
    written = quotas.read_text()
    try:
        # Of one refusal the text above it says what was edited.
        quotas.write_text(written.replace("min: 45%", "min: 70%") if "min: 70%" in below else written)
        ran = run_recipe(*shlex.split(command), cwd=folder)
    finally:
        quotas.write_text(written)
    said = (ran.err if "error[" in below else ran.out).rstrip("\n") + "\n"
    assert re.fullmatch(_pattern(below), said), f"{command}\nshown\n{below}\nprinted\n{said}"
