"""A recipe is data: whatever it says, it is told why not in a second, and it reaches nothing outside its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.inert.helpers import assert_refused, measured

HEAD = "recipe: 1\nname: x\n"
POOL = "pools: {a: {source: a.jsonl}}\n"
MIB = 1 << 20

#: A recipe, and what is told.
RECIPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "an alias bomb": (
        HEAD
        + "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{f'*{a},' * 9}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        ("error[syntax.anchor]", "recipe.yaml:3:4"),
    ),
    "many aliases": (HEAD + "a: &a 1\nb: [" + "*a," * 300_000 + "]\n", ("error[syntax.anchor]",)),
    "many tags": (HEAD + "b: [" + "!t ," * 200_000 + "]\n", ("error[syntax.tag]",)),
    "deep lists": (HEAD + "pools: " + "[" * 500_000, ("error[syntax.depth]", "recipe.yaml:3:")),
    "deep maps": (HEAD + "pools: " + "{a: " * 200_000, ("error[syntax.depth]", "recipe.yaml:3:")),
    "deep blocks": (HEAD + "pools:\n" + "- " * 100_000, ("error[syntax.depth]",)),
    "a huge scalar": (
        HEAD + "seed: " + "9" * (MIB - 100) + "\n" + POOL,
        ("error[model.wrong-type]", "recipe.yaml:3:7"),
    ),
    "a huge name": (
        HEAD + "'" + "k" * (MIB - 100) + "': 1\n" + POOL,
        ("error[syntax.yaml]", "recipe.yaml:3:"),
    ),
    "a huge number": (HEAD + "seed: 1e999\n" + POOL, ("error[model.wrong-type]", "recipe.yaml:3:7")),
    "many keys": (HEAD + "".join(f"k{number}: 1\n" for number in range(100_000)), ("error[syntax.shape]",)),
    "many values": (HEAD + "b: [" + "1," * 500_000 + "]\n", ("error[syntax.shape]", "more than 65,536 values")),
    "a huge file": (HEAD + "#" * (2 * MIB), ("recipe.yaml: a recipe is at most 1,048,576 bytes",)),
    "a deep expression": (HEAD + POOL + f"filter: [{'(' * 2000}a == 1{')' * 2000}]\n", ("error[syntax.expression]",)),
    "a huge expression": (HEAD + POOL + f"filter: [a == 1{' or a == 1' * 50_000}]\n", ("error[syntax.expression]",)),
    "a path that climbs": (
        HEAD + "pools: {a: {source: ../../etc/passwd}}\n",
        ("error[model.path]", "recipe.yaml:3:21"),
    ),
    "an absolute path": (HEAD + "pools: {a: {source: /etc/passwd}}\n", ("error[model.path]", "recipe.yaml:3:21")),
    "media that climb": (HEAD + "pools: {a: {source: a.jsonl, media: ../x}}\n", ("error[model.path]",)),
    "scores that climb": (
        HEAD + POOL + "annotations: [{source: ../s.csv, match: key, column: id}]\n",
        ("error[model.path]", "recipe.yaml:4:"),
    ),
    "an extended recipe that climbs": (
        "recipe: 1\nextends: ../../etc/passwd\n",
        ("error[syntax.extends]", "outside"),
    ),
    "an extended recipe from the top": ("recipe: 1\nextends: /etc/passwd\n", ("error[syntax.extends]", "outside")),
    "an extended recipe behind a link": (
        "recipe: 1\nextends: link.yaml\n",
        ("error[syntax.extends]", "leads out of its folder"),
    ),
    "one that extends without end": (
        "recipe: 1\nextends: [0.yaml, 0.yaml]\n",
        ("error[syntax.extends]", "more than 64"),
    ),
    "one that extends many": ("recipe: 1\nextends: [" + "20.yaml, " * 10_000 + "]\n", ("error[syntax.extends]",)),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_that_is_an_attack_is_refused(tmp_path: Path, case: str) -> None:
    text, told = RECIPES[case]
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text("password: abc\n")
    (folder / "link.yaml").symlink_to("../secret.yaml")
    for number in range(20):
        (folder / f"{number}.yaml").write_text(f"extends: [{number + 1}.yaml, {number + 1}.yaml]\n")
    (folder / "20.yaml").write_text(POOL)
    (folder / "recipe.yaml").write_text(text)
    ran = measured("check", "recipe.yaml", cwd=folder)
    assert_refused(ran, *told)
    assert "abc" not in ran.err


def test_a_recipe_behind_a_link_shows_nothing_of_the_file_it_leads_to(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("password: abc\n")
    (folder / "recipe.yaml").symlink_to("../secret")
    ran = measured("check", "recipe.yaml", cwd=folder)
    assert_refused(ran, "recipe.yaml: a link that leads out of its folder; name the file itself")
    assert "password" not in ran.err


def test_a_recipe_that_never_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert_refused(measured("check", "/dev/zero", cwd=tmp_path), "there is no such recipe")


def test_an_extended_pipe_is_no_recipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "recipe.yaml").write_text("recipe: 1\nextends: pipe.yaml\n")
    assert_refused(measured("check", "recipe.yaml", cwd=tmp_path), "error[syntax.extends]", "pipe.yaml")
