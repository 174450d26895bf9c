"""What was read once is not read again, what changed is, and the cache changes no result."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from recipe_compiler.errors import RecipeError
from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.resolve.workspace import Workspace
from tests.reading.helpers import json_lines, parquet
from tests.support import questions, write_recipe

LONG_AGO = 1_600_000_000_000_000_000

RECIPE = """recipe: 1
name: cached
pools:
  a: {source: data/a.jsonl}
  b: {source: data/b.jsonl.gz}
  c: {source: data/c.parquet}
"""


def settle(path: Path) -> None:
    """Sets a time of change that no clock tick can blur."""
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def overwrite(path: Path, data: bytes, *, changed: int) -> None:
    """Other bytes in the same file: its number on the disk stays."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
    os.utime(path, ns=(changed, changed))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jsonl").write_bytes(json_lines(questions("a", 9)))
    (tmp_path / "data/b.jsonl.gz").write_bytes(gzip.compress(json_lines(questions("b", 9))))
    (tmp_path / "data/c.parquet").write_bytes(parquet(questions("c", 9)))
    for path in (tmp_path / "data").iterdir():
        settle(path)
    write_recipe(tmp_path, RECIPE)
    return tmp_path


def compiled(folder: Path, cache: str = ".recipe", out: str = "out") -> bytes:
    """The bytes of the manifest."""
    compile_recipe(folder / "recipe.yaml", Workspace(root=folder, cache=folder / cache), folder / out)
    return (folder / out / "manifest.json").read_bytes()


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".now"
    }


def test_a_second_compile_reads_no_pool_file_again(folder: Path) -> None:
    first = compiled(folder)
    for path in (folder / "data").iterdir():
        data = path.read_bytes()
        # The head still says what kind of file it is; nothing else is left of it.
        overwrite(path, data[:4] + b"\xff" * (len(data) - 4), changed=LONG_AGO)
    pretend_unchanged(folder)
    assert compiled(folder) == first


def pretend_unchanged(folder: Path) -> None:
    """Lets the inventory remember the files as they are now. The system would tell it that they were changed."""
    inventory = folder / ".recipe/inventory/digests.json"
    known = json.loads(inventory.read_bytes())
    for name, (digest, *_) in known.items():
        stat = Path(name).stat()
        known[name] = [digest, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    assert len(known) == len(list((folder / "data").iterdir()))
    inventory.write_text(json.dumps(known))


def test_a_file_that_was_changed_is_read_again_whatever_it_says_of_its_age(folder: Path) -> None:
    first = compiled(folder)
    path = folder / "data/a.jsonl"
    before = path.stat()
    with path.open("r+b") as file:
        data = file.read()
        file.seek(0)
        file.write(data.replace(b"What is", b"Where's", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert compiled(folder) != first


def test_a_second_compile_writes_nothing_into_the_cache(folder: Path) -> None:
    compiled(folder)
    before = stamps(folder / ".recipe")
    compiled(folder)
    assert stamps(folder / ".recipe") == before


@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl.gz", "c.parquet"])
def test_a_changed_file_is_read_again_and_only_that_one(folder: Path, name: str) -> None:
    first = compiled(folder)
    before = {path for path in stamps(folder / ".recipe") if path.suffix == ".arrow"}
    new = questions("new", 7)
    data = {"a.jsonl": json_lines(new), "b.jsonl.gz": gzip.compress(json_lines(new)), "c.parquet": parquet(new)}[name]
    overwrite(folder / "data" / name, data, changed=LONG_AGO + 1_000_000_000)
    second = compiled(folder)
    assert second != first
    after = {path for path in stamps(folder / ".recipe") if path.suffix == ".arrow"}
    assert before < after and len(after - before) == 1
    assert second == compiled(folder, cache="fresh")


def test_a_file_changed_at_the_same_size_is_read_again(folder: Path) -> None:
    first = compiled(folder)
    path = folder / "data/a.jsonl"
    overwrite(path, path.read_bytes().replace(b"What is", b"Who was"), changed=LONG_AGO + 1)
    second = compiled(folder)
    assert second != first
    assert second == compiled(folder, cache="fresh")


def test_a_file_replaced_by_another_of_its_size_and_time_is_read_again(folder: Path) -> None:
    first = compiled(folder)
    path = folder / "data/a.jsonl"
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().replace(b"What is", b"Who was"))
    settle(other)
    other.replace(path)
    assert compiled(folder) != first


def test_a_file_just_written_is_not_trusted_by_its_time(folder: Path) -> None:
    path = folder / "data/a.jsonl"
    path.touch()
    changed = path.stat().st_mtime_ns
    first = compiled(folder)
    overwrite(path, path.read_bytes().replace(b"What is", b"Who was"), changed=changed)
    assert compiled(folder) != first


def test_a_new_time_alone_changes_nothing(folder: Path) -> None:
    first = compiled(folder)
    indexes = stamps(folder / ".recipe/index")
    for path in (folder / "data").iterdir():
        path.touch()
    assert compiled(folder) == first
    assert stamps(folder / ".recipe/index") == indexes


def test_deleting_the_cache_gives_the_same_manifest(folder: Path) -> None:
    first = compiled(folder)
    shards = sorted(path.name for path in (folder / "out/shards").iterdir())
    shutil.rmtree(folder / ".recipe")
    assert compiled(folder) == first
    assert compiled(folder, cache="elsewhere/cache", out="again") == first
    assert sorted(path.name for path in (folder / "again/shards").iterdir()) == shards


@pytest.mark.parametrize("room", ["streams", "index", "layouts", "mappings", "inventory"])
def test_deleting_a_part_of_the_cache_gives_the_same_manifest(folder: Path, room: str) -> None:
    first = compiled(folder)
    shutil.rmtree(folder / ".recipe" / room)
    assert compiled(folder) == first


def test_equal_files_are_indexed_once(folder: Path) -> None:
    shutil.copy(folder / "data/a.jsonl", folder / "data/d.jsonl")
    write_recipe(folder, RECIPE + "  d: {source: data/d.jsonl}\n")
    compiled(folder)
    assert len(list((folder / ".recipe/index").glob("*.arrow"))) == 3


def test_another_mapping_is_another_index(folder: Path) -> None:
    first = compiled(folder)
    text = "a: {source: data/a.jsonl, fields: {user: answer, assistant: question}}"
    write_recipe(folder, RECIPE.replace("a: {source: data/a.jsonl}", text))
    second = compiled(folder)
    assert second != first
    assert second == compiled(folder, cache="fresh")


@pytest.mark.parametrize("room", ["index", "layouts", "mappings", "inventory"])
@pytest.mark.parametrize("damage", [b"", b"noise", b"[]"], ids=["empty", "noise", "list"])
def test_a_damaged_cache_is_mended_or_told(folder: Path, room: str, damage: Any) -> None:
    first = compiled(folder)
    for path in (folder / ".recipe" / room).iterdir():
        path.write_bytes(damage)
    try:
        assert compiled(folder) == first
    except RecipeError as error:
        assert ".recipe" in str(error)
