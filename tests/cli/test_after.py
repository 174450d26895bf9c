"""`--after`: what compile, plan, show, diff, verify, explain and lock say of a manifest that goes on from another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Recipe
from tests.support import questions, write_jsonl

OLD = """recipe: 1
name: mix
version: "1.0"
pools:
  a: {source: data/a.jsonl, group: x}
  b: {source: data/b.jsonl, group: y}
stages: [{name: first, where: pool == "a"}, {name: second}]
"""
NEW = """recipe: 1
name: mix
version: "1.1"
pools:
  b: {source: data/b.jsonl, group: y}
  c: {source: data/c.jsonl, group: z}
stages: [{name: second, where: pool == "b"}, {name: third, replay: {second: 20%}}]
"""
#: Six of the draws of stage `second` are consumed.
POSITION = 26


@pytest.fixture
def folder(tmp_path: Path, recipe: Recipe) -> Path:
    for name, count in (("a", 20), ("b", 10), ("c", 8)):
        write_jsonl(tmp_path / f"data/{name}.jsonl", questions(name, count))
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    assert recipe("compile", "old.yaml", "--out", "old").code == 0
    return tmp_path


def document(recipe: Recipe, *arguments: str) -> Any:
    ran = recipe(*arguments, "--format", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def go_on(recipe: Recipe, *arguments: str) -> Any:
    return document(recipe, "compile", "new.yaml", "--after", f"old@{POSITION}", "--out", "new", *arguments)


def test_show_tells_what_was_before_and_what_is_left(folder: Path, recipe: Recipe) -> None:
    made = go_on(recipe)
    old = document(recipe, "show", "old")
    assert made == document(recipe, "show", "new")
    assert made["after"] == {
        "manifest": old["ids"]["manifest"],
        "position": POSITION,
        "past_pools": [0],
        "past_sources": [0],
    }
    stages = [(stage["name"], stage["start"], stage["draws"]) for stage in made["stages"]]
    assert stages == [("first", 0, 20), ("second", 20, 6), ("second", 26, 4), ("third", 30, 10)]
    (left,) = made["stages"][2]["shares"]
    assert (left["requested"], left["earlier"], left["realised"]) == ("10", 6, 4)
    text = recipe("show", "new").out
    assert f"goes on after {POSITION} draws of manifest {old['ids']['manifest'][:32]}" in text
    assert text.index("stages before") < text.index("had before")
    assert recipe("plan", "new.yaml", "--after", f"old@{POSITION}").out == text
    listed = text.partition("pools\n")[2].partition("funnel")[0].splitlines()[1:]
    assert [line.split()[0] for line in listed if line] == ["b", "c"]


def test_the_default_folder_is_that_of_the_new_version(folder: Path, recipe: Recipe) -> None:
    ran = recipe("compile", "new.yaml", "--after", f"old@{POSITION}")
    assert (ran.code, (folder / "build/mix-1.1/manifest.json").exists()) == (0, True), ran.err


def test_a_recipe_does_not_go_on_in_the_folder_it_goes_on_from(folder: Path, recipe: Recipe) -> None:
    before = (folder / "old/manifest.json").read_bytes()
    ran = recipe("compile", "new.yaml", "--after", f"old@{POSITION}", "--out", "./old")
    assert (ran.code, (folder / "old/manifest.json").read_bytes()) == (1, before)
    assert ran.err == "error: old: is the manifest to go on from; name another folder with `--out`\n"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ("old", "`--after old` names no position; say how many draws were consumed: `old@31200`"),
        ("old@", "names no position"),
        ("@3", "names no position"),
        ("old@-1", "names no position"),
        ("old@1e3", "names no position"),
        ("none@3", "none/manifest.json: No such file or directory; a manifest is a folder that `recipe compile` wrote"),
        ("old@0", "old: nothing is consumed at position 0; compile without `--after`"),
        ("old@31", "old: has 30 draws, and 31 cannot be consumed"),
    ],
)
@pytest.mark.parametrize("command", ["compile", "plan"])
def test_a_position_that_there_is_not(folder: Path, recipe: Recipe, command: str, after: str, told: str) -> None:
    ran = recipe(command, "new.yaml", "--after", after)
    assert (ran.code, ran.out) == (1, "")
    assert told in ran.err
    assert not (folder / "build").exists()


def test_another_root_is_told(folder: Path, recipe: Recipe) -> None:
    other = folder / "other"
    for name in ("b", "c"):
        write_jsonl(other / f"{name}.jsonl", questions(name, 10))
    (other / "new.yaml").write_text(NEW.replace("data/", ""))
    ran = recipe("compile", "other/new.yaml", "--after", f"old@{POSITION}", "--out", "new")
    assert ran.code == 1
    assert f"its paths are relative to {folder}, and those of the recipe to other" in ran.err
    assert f"`--root {folder}`" in ran.err
    assert not (folder / "new").exists()


def test_files_that_are_gone_are_told_and_the_rest_goes_on(folder: Path, recipe: Recipe) -> None:
    (folder / "data/a.jsonl").unlink()
    ran = recipe("compile", "new.yaml", "--after", f"old@{POSITION}", "--out", "new")
    assert ran.code == 0
    assert "warning[note.after]: 20 of the 26 draws that were consumed cannot be read again" in ran.err
    assert "data/a.jsonl (20 draws): No such file or directory" in ran.err
    assert recipe("show", "new", "--position", "30").code == 0
    assert recipe("show", "new", "--position", "3").code == 1
    found = recipe("verify", "new")
    assert found.code == 0
    assert "2 of 3 sources are as compiled" in found.out
    assert "past: data/a.jsonl: No such file or directory; only draws that were consumed before" in found.out
    (folder / "data/c.jsonl").write_text("")
    assert recipe("verify", "new").code == 1


def test_a_pool_that_grew_is_two_pools_of_one_name(folder: Path, recipe: Recipe) -> None:
    write_jsonl(folder / "data/b.jsonl", questions("b", 12))
    ran = recipe("compile", "old.yaml", "--after", f"old@{POSITION}", "--out", "new")
    assert ran.code == 0
    assert "6 of the 26 draws that were consumed cannot be read again" in ran.err
    made = document(recipe, "show", "new")
    assert [(pool["name"], pool["samples"]) for pool in made["pools"]] == [("a", 20), ("b", 10), ("b", 12)]
    assert (made["after"]["past_pools"], made["after"]["past_sources"]) == ([1], [1])
    assert [stage["draws"] for stage in made["stages"]] == [20, 6, 0, 6]
    found = recipe("diff", "old", "new").out
    assert "2 samples added, 0 removed, 30 kept" in found
    assert "new in the content of pool b" in found
    assert "`not" not in found


def test_diff_tells_what_the_next_recipe_changed_of_the_rest(folder: Path, recipe: Recipe) -> None:
    go_on(recipe)
    found = document(recipe, "diff", "old", "new")
    # What was consumed is kept, and so is what is left of pool b.
    assert (found["added"], found["removed"], found["kept"], found["moved"]) == (8, 0, 30, 0)
    assert found["unexplained"] == ""
    assert [(cause["effect"], cause["because"], cause["samples"]) for cause in found["causes"]] == [
        ("added", "pool c is new", 8)
    ]
    alone = document(recipe, "plan", "new.yaml", "--against", "new", "--after", f"old@{POSITION}")
    assert not alone["changed_identities"]
    back = document(recipe, "diff", "new.yaml", "new")
    assert (back["added"], back["removed"]) == (20, 0)
    told = [(cause["because"], cause["samples"]) for cause in back["causes"]]
    assert told == [("drawn before the position that it goes on after", 20)]
    pools = {change["name"]: (change["draws_before"], change["draws_after"]) for change in back["counts"]["pool"]}
    assert pools == {"a": (0, 20), "b": (12, 12), "c": (8, 8)}
    assert "pool" in recipe("diff", "new.yaml", "new", "--by", "characters").out


def test_diff_tells_samples_that_are_in_no_pool_any_more(folder: Path, recipe: Recipe) -> None:
    go_on(recipe)
    (folder / "data/a.jsonl").unlink()
    found = document(recipe, "diff", "old", "new", "--root", ".")
    assert (found["added"], found["removed"], found["kept"]) == (8, 0, 30)


def test_explain_tells_draws_of_the_manifest_before(folder: Path, recipe: Recipe) -> None:
    go_on(recipe)
    made = document(recipe, "explain", "new", "b-0")["samples"][0]
    draws = [(draw["stage"], draw["earlier"], draw["position"] < POSITION) for draw in made["draws"]]
    assert draws[0][0] == "second"
    assert all(earlier == below for _, earlier, below in draws)
    every = [document(recipe, "explain", "new", f"b-{number}")["samples"][0]["draws"] for number in range(10)]
    assert sorted(draw["position"] for draws in every for draw in draws if draw["stage"] == "second") == [
        *range(20, 30)
    ]
    first = next(number for number in range(10) if every[number][0]["earlier"])
    assert ", by the manifest that this one goes on from" in recipe("explain", "new", f"b-{first}").out


def test_a_locked_compile_goes_on_too(folder: Path, recipe: Recipe) -> None:
    assert recipe("lock", "new.yaml").code == 0
    (folder / "data/a.jsonl").unlink()
    assert go_on(recipe, "--locked")["name"] == "mix"
    write_jsonl(folder / "data/c.jsonl", questions("c", 9))
    ran = recipe("compile", "new.yaml", "--after", f"old@{POSITION}", "--out", "new", "--locked")
    assert ran.code == 1
    assert "resolve.lock" in ran.err


def test_a_damaged_manifest_is_not_gone_on_from(folder: Path, recipe: Recipe) -> None:
    (shard,) = (folder / "old/shards").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    ran = recipe("compile", "new.yaml", "--after", f"old@{POSITION}", "--out", "new")
    assert (ran.code, (folder / "new").exists()) == (1, False)
    assert shard.name in ran.err
