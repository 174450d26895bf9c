"""`recipe lock`, `compile --locked` and `recipe tree`, as a user reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import Ran, questions, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: mix
version: "1.0"
pools:
  general: {source: "data/general*.jsonl", group: general}
  ocr: {source: data/ocr.jsonl, media: data, group: ocr, role: holdout}
annotations:
  - {source: scores.csv, match: key}
"""
PINS = """\
general: 4 samples in 1 file, read as qa
ocr: 2 samples in 1 file, read as qa
"""


@pytest.fixture
def locked(tmp_path: Path, recipe: Callable[..., Ran]) -> Callable[..., Ran]:
    """The command `recipe` in a folder with a recipe and its lock."""
    write_jsonl(tmp_path / "data/general.jsonl", questions("general", 4))
    write_jsonl(tmp_path / "data/ocr.jsonl", questions("ocr", 2))
    (tmp_path / "scores.csv").write_text("key,score\n" + "".join(f"general-{at},{at}\n" for at in range(4)))
    write_recipe(tmp_path, RECIPE)
    assert recipe("lock", "recipe.yaml") == Ran(0, PINS, "wrote recipe.lock\n")
    return recipe


def compiled(recipe: Callable[..., Ran]) -> Ran:
    return recipe("compile", "recipe.yaml", "--locked", "--out", "out", "-q")


def test_a_lock_of_what_is_there_lets_a_compile_through(tmp_path: Path, locked: Callable[..., Ran]) -> None:
    assert compiled(locked).code == 0
    data = (tmp_path / "recipe.lock").read_bytes()
    ran = locked("lock", "recipe.yaml", "--format", "json", "--quiet")
    pools = {"general": 4, "ocr": 2}
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"lock": "recipe.lock", "changes": [], "pools": pools}
    assert (tmp_path / "recipe.lock").read_bytes() == data
    assert str(tmp_path) not in data.decode()


def rewrite(name: str, records: list[dict[str, Any]]) -> Callable[[Path], object]:
    return lambda folder: write_jsonl(folder / name, records)


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other bytes": (
        edit("data/general.jsonl", "It is 1.", "It is 9."),
        "`data/general.jsonl` has other bytes: 4 -> 4 samples, 304 -> 304 bytes",
    ),
    "grown": (
        rewrite("data/general.jsonl", questions("general", 5)),
        "`data/general.jsonl` has other bytes: 4 -> 5 samples, 304 -> 380 bytes",
    ),
    "new": (rewrite("data/general-2.jsonl", questions("more", 1)), "`data/general-2.jsonl` is new"),
    "gone": (
        lambda folder: (folder / "data/general.jsonl").rename(folder / "data/general-1.jsonl"),
        "`data/general.jsonl` is gone",
    ),
    "annotation": (edit("scores.csv", "general-0,0", "general-0,7"), "`scores.csv` has other bytes"),
    "preset": (
        edit("recipe.yaml", "ocr.jsonl,", "ocr.jsonl, fields: {user: question, assistant: answer},"),
        "pool `ocr` is read as fields, and was locked as qa",
    ),
    "fields": (
        edit("recipe.yaml", "ocr.jsonl,", "ocr.jsonl, fields: {columns: {answer: answer}},"),
        "pool `ocr` is read by other fields: columns",
    ),
    "pool": (
        edit("recipe.yaml", "annotations", "  again: {source: data/ocr.jsonl}\nannotations"),
        "pool `again` is not in the lock",
    ),
    "pool gone": (edit("recipe.yaml", "  ocr:", "  # ocr:"), "pool `ocr` is in the lock alone"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_locked_compile_tells_what_moved_and_lock_accepts_it(
    change: str, tmp_path: Path, locked: Callable[..., Ran]
) -> None:
    make, told = CHANGES[change]
    make(tmp_path)
    ran = compiled(locked)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error[resolve.lock]: the pools are not as they were locked\n --> recipe.yaml:4:1\n")
    assert f"  = {told}\n" in ran.err
    assert "  = help: bring the locked files back, or accept these with `recipe lock`\n" in ran.err
    assert not (tmp_path / "out").exists()
    accepted = locked("lock", "recipe.yaml", "-q")
    assert (accepted.code, f"changed: {told}\n" in accepted.out) == (0, True)
    assert compiled(locked).code == 0


def test_without_a_lock_there_is_nothing_to_hold_to(tmp_path: Path, locked: Callable[..., Ran]) -> None:
    (tmp_path / "recipe.lock").unlink()
    told = "error: recipe.lock: there is no lock; write one with `recipe lock recipe.yaml`\n"
    assert compiled(locked) == Ran(1, "", told)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "out of the root": (
        lambda lock: lock["pools"]["ocr"]["files"][0].update(path="../../etc/passwd"),
        "not a lock (ValueError: '../../etc/passwd' is no path below the root)",
    ),
    "absolute": (
        lambda lock: lock["annotations"][0].update(path="/etc/passwd"),
        "not a lock (ValueError: '/etc/passwd' is no path below the root)",
    ),
    "digest": (
        lambda lock: lock["pools"]["ocr"]["files"][0].update(digest="../x"),
        "not a lock (ValueError: '../x' is no digest)",
    ),
    "count": (lambda lock: lock["pools"]["ocr"].update(samples=3), "was changed by hand"),
    "key": (lambda lock: lock.pop("pools"), "not a lock (KeyError: 'pools')"),
    "path": (lambda lock: lock["pools"]["ocr"]["files"][0].update(path=3), "not a lock (TypeError: "),
    "format": (lambda lock: lock.update(lock=2), "lock format 2 is not supported; this version reads 1"),
}


@pytest.mark.parametrize("breach", BROKEN)
def test_a_lock_that_recipe_did_not_write_is_refused_and_written_anew(
    breach: str, tmp_path: Path, locked: Callable[..., Ran]
) -> None:
    path = tmp_path / "recipe.lock"
    whole = path.read_bytes()
    document = json.loads(whole)
    make, told = BROKEN[breach]
    make(document)
    path.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    ran = compiled(locked)
    assert (ran.code, ran.out, ran.err.startswith(f"error: recipe.lock: {told}")) == (1, "", True), ran.err
    anew = locked("lock", "recipe.yaml", "-q")
    assert (anew.code, anew.err, "changed: recipe.lock: " in anew.out) == (0, "", True)
    assert path.read_bytes() == whole


def test_the_tree_of_a_recipe(tmp_path: Path, recipe: Callable[..., Ran]) -> None:
    """It reads no data, so it works before they are there."""
    write_recipe(tmp_path, RECIPE, name="base.yaml")
    write_recipe(tmp_path, "recipe: 1\nextends: base.yaml\nname: mix\nstages: [{name: only}]\n")
    write_jsonl(tmp_path / "data/general-2.jsonl", questions("general", 1))
    out = """\
mix 1.0
├── recipe.yaml
│   └── extends base.yaml
├── pool general (general)
│   └── data/general-2.jsonl
├── pool ocr (ocr, holdout)
│   ├── no file matches
│   └── media data
├── annotation scores.csv
└── stage only
"""
    assert recipe("tree", "recipe.yaml") == Ran(0, out, "")
    document = json.loads(recipe("tree", "recipe.yaml", "--format", "json").out)
    assert (document["recipes"], document["stages"]) == (["recipe.yaml", "base.yaml"], ["only"])
    assert document["pools"][0] == {"name": "general", "files": ["data/general-2.jsonl"], "media": None}
