"""How every command speaks: quiet, concise, as JSON, and without colour where that is asked for."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import REPOSITORY, Ran, questions, write_jsonl, write_recipe

RECIPE = "recipe: 1\nname: mix\npools: {a: {source: a.jsonl}}\nselect: {budget: {count: 3}}\n"
#: Every command that has a voice, with arguments that make it talk; `init` comes first and writes the recipe.
COMMANDS = (
    ("init", ".", "--out", "mine.yaml"),
    ("check", "recipe.yaml"),
    ("tree", "recipe.yaml"),
    ("index", "recipe.yaml"),
    ("lock", "recipe.yaml"),
    ("plan", "recipe.yaml"),
    ("compile", "recipe.yaml", "--out", "out"),
    ("verify", "out"),
    ("show", "out"),
    ("explain", "out", "a-0"),
    ("explain", "note.media"),
    ("diff", "out", "other.yaml"),
    ("bench", "out"),
)


@pytest.fixture
def mix(tmp_path: Path, recipe: Callable[..., Ran]) -> Callable[..., Ran]:
    """The command `recipe` in a folder whose recipe has something to warn of: equal samples."""
    write_jsonl(tmp_path / "a.jsonl", [*questions("a", 4), *questions("a", 1)])
    write_recipe(tmp_path, RECIPE)
    write_recipe(tmp_path, RECIPE.replace("3", "2"), name="other.yaml")
    return recipe


@pytest.mark.parametrize("form", ["text", "concise", "json"])
def test_a_quiet_command_says_data_alone(form: str, mix: Callable[..., Ran]) -> None:
    for arguments in COMMANDS:
        told = arguments[0] not in ("init", "verify", "show", "bench")
        ran = mix(*arguments, "-q", "--format", form if told or form == "json" else "text")
        assert (ran.code, ran.err) == (0, ""), arguments
        assert (ran.out == "") is (arguments[0] == "init"), arguments
        if form == "json" and ran.out:
            json.loads(ran.out)


def test_an_error_is_told_as_json(mix: Callable[..., Ran]) -> None:
    mix("compile", "recipe.yaml", "--out", "out", "-q")
    for arguments in (("plan", "nope.yaml"), ("show", "nope"), ("explain", "out", "nope"), ("verify", "nope")):
        ran = mix(*arguments, "--format", "json")
        (told,) = json.loads(ran.err)
        assert (ran.code, ran.out, told["severity"], told["code"]) == (1, "", "error", None)
        assert f"error: {told['headline']}\n" == mix(*arguments).err


@pytest.mark.parametrize("command", ["show", "bench", "verify", "tiny"])
def test_what_has_no_diagnostics_has_no_form_for_them(command: str, mix: Callable[..., Ran]) -> None:
    assert mix(command, "out", "--format", "concise").code == 1


@pytest.mark.parametrize("command", ["check", "tree", "index", "lock", "plan", "compile", "diff"])
def test_a_mistake_is_told_in_one_line(command: str, tmp_path: Path, mix: Callable[..., Ran]) -> None:
    write_recipe(tmp_path, RECIPE.replace("name", "nam"))
    arguments = ["recipe.yaml", *(["other.yaml"] if command == "diff" else [])]
    ran = mix(command, *arguments, "--format", "concise", "-q")
    lines = ran.err.splitlines()
    assert (ran.code, ran.out) == (1, "")
    assert [re.sub("`.*", "", line) for line in lines] == [
        "recipe.yaml:1:1: error[model.missing-field] ",
        "recipe.yaml:2:1: error[model.unknown-field] ",
    ]


@pytest.mark.parametrize("plain", [False, True], ids=["colour", "NO_COLOR"])
def test_tables_on_a_terminal_have_colour_unless_asked_not_to(plain: bool, mix: Callable[..., Ran]) -> None:
    mix("compile", "recipe.yaml", "--out", "out", "-q")
    near, far = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", **({"NO_COLOR": "1"} if plain else {})}
    command = [sys.executable, "-m", "recipe_compiler", "explain", "out", "a-1"]
    done = subprocess.run(command, env=environment, stdout=far, check=False, timeout=60)
    said = os.read(near, 65536).decode()
    os.close(near)
    os.close(far)
    colours = re.findall(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d(?:;\d+)*m", said)
    assert (done.returncode, bool(colours)) == (0, not plain), said
