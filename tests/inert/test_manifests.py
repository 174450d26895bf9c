"""A manifest is data, whoever wrote it: with all its digests right it still reaches nothing outside and takes little."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.schema import ROWS
from tests.fuzz.test_manifest import sealed
from tests.inert.helpers import Measured, assert_refused, measured, measured_python
from tests.support import compile_text, questions, write_jsonl

Document = dict[str, Any]
MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write_jsonl(root / "a.jsonl", questions("a", 20))
    compile_text(root, "recipe: 1\nname: x\npools: {a: {source: a.jsonl}}\nshard: {rows: 10}\n")
    (tmp_path / "secret.jsonl").write_bytes((root / "a.jsonl").read_bytes())
    return root


def forge(folder: Path, change: Callable[[Document], object]) -> None:
    """Changes a document and makes its id right again."""
    path = folder / "out" / store.DOCUMENT
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(sealed(document))


def refused(folder: Path, *told: str) -> None:
    """By the command that proves a manifest and by the one that reads it, and by whoever reads it in training."""
    for ran in (*commands(folder), streamed(folder)):
        assert_refused(ran, *told)


def commands(folder: Path) -> tuple[Measured, Measured]:
    verify = measured("verify", "out", "--root", ".", cwd=folder)
    return verify, measured("show", "out", "--position", "0", "--root", ".", cwd=folder)


STREAM = """
import sys
from recipe_compiler.errors import RecipeError
from runtime.stream import ManifestDataset
try:
    dataset = ManifestDataset("out", root=".")
    for position in range(len(dataset)):
        dataset[position]
except RecipeError as error:
    sys.exit(str(error))
"""


def streamed(folder: Path) -> Measured:
    return measured_python(["-c", STREAM], cwd=folder)


def source(name: str, value: Any) -> Callable[[Document], object]:
    return lambda document: document["sources"][0].update({name: value})


def pool(name: str, value: Any) -> Callable[[Document], object]:
    return lambda document: document["pools"][0].update({name: value})


def shard(name: str, value: Any) -> Callable[[Document], object]:
    return lambda document: document["shards"][0].update({name: value})


UNITS: Document = {
    "kind": "pack",
    "measure": "tokens",
    "most": 64,
    "units": 1,
    "tokens": 1,
    "room": 64,
    "longest": 1,
}
#: What is changed in a document, and what is told.
FORGED: Mapping[str, tuple[Callable[[Document], object], str]] = {
    "a source that climbs": (source("path", "../secret.jsonl"), "is no path below the root"),
    "a source from the top": (source("path", "/etc/passwd"), "is no path below the root"),
    "media that climb": (pool("media", "../../etc"), "is no path below the root"),
    "a shard that climbs": (shard("file", "../../x.parquet"), "a shard is named by its digest"),
    "a digest that is a path": (shard("digest", "../" * 21 + "x"), "is no digest"),
    "huge numbers": (shard("rows", 10**30), "`rows` is not what it should be"),
    "a unit that is not there": (shard("unit", 3), "starts in a unit that cannot be there"),
    "units of no kind": (
        lambda document: document.update(units=UNITS | {"kind": "sack"}),
        "no units of the kind 'sack'",
    ),
    "units of nothing": (lambda document: document.update(units=UNITS | {"most": 0}), "holds at least one"),
    "rows that are not there": (shard("rows", 2**62), "does not start where the one before it ends"),
    "a negative number": (source("size", -1), "`size` is not what it should be"),
    "a wrapping nobody knows": (source("wrapping", "pickle"), "wrapped in no known way"),
    "a pool nobody knows": (source("pool", "b"), "is of no pool"),
    "text for a list": (lambda document: document.update(stages="x"), "`stages` is not what it should be"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_document_is_refused(folder: Path, case: str) -> None:
    change, told = FORGED[case]
    forge(folder, change)
    refused(folder, "out/", told)


def test_a_layout_that_makes_no_sense_is_refused_where_it_is_used(folder: Path) -> None:
    forge(folder, source("layout", {"shape": "import os"}))
    assert_refused(measured("show", "out", "--position", "0", cwd=folder), "how `a.jsonl` is read makes no sense")


RAW: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "a deep document": (lambda: b"[" * 10 * MIB, "not a manifest"),
    "a deep document that ends": (lambda: b"[" * 5 * MIB + b"]" * 5 * MIB, "not a manifest"),
    "a document of small things": (lambda: b"[" + b"[]," * (2 * MIB) + b"[]]", "not a manifest"),
    "a number of a million digits": (lambda: b'{"format": ' + b"9" * MIB + b"}", "not a manifest"),
    "a document that is too large": (lambda: b" " * (300 * MIB), "16,777,216 bytes"),
}


@pytest.mark.parametrize("case", RAW)
def test_a_document_that_is_an_attack_is_refused(folder: Path, case: str) -> None:
    data, told = RAW[case]
    (folder / "out" / store.DOCUMENT).write_bytes(data())
    refused(folder, "out/manifest.json", told)


def test_a_document_behind_a_link_out_of_the_manifest_is_refused(folder: Path) -> None:
    path = folder / "out" / store.DOCUMENT
    path.rename(folder / "elsewhere.json")
    path.symlink_to(folder / "elsewhere.json")
    refused(folder, "out/manifest.json", "leads out of the manifest")


def test_a_document_that_never_ends_is_refused(folder: Path) -> None:
    path = folder / "out" / store.DOCUMENT
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(folder, "out/manifest.json")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_shard_behind_a_link_out_of_the_manifest_is_refused(folder: Path, what: str) -> None:
    name = store.read(folder / "out").shards[0].file
    path = folder / "out" / (name if what == "file" else store.SHARDS)
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    refused(folder, name, "leads out of the manifest")


def test_a_source_behind_a_link_out_of_the_root_is_refused(folder: Path) -> None:
    (folder / "a.jsonl").unlink()
    (folder / "a.jsonl").symlink_to("../secret.jsonl")
    verify, show = commands(folder)
    assert (verify.code, show.code) == (1, 1)
    assert "changed: a.jsonl: no file below the root" in verify.out
    assert_refused(show, "a.jsonl", "leads out of the root")


def test_a_source_that_is_a_pipe_is_refused(folder: Path) -> None:
    (folder / "a.jsonl").unlink()
    os.mkfifo(folder / "a.jsonl")
    forge(folder, source("size", 0))
    verify, show = commands(folder)
    assert (verify.code, show.code) == (1, 1)
    assert "a.jsonl: no file below the root" in verify.out
    assert_refused(show, "a.jsonl: is no file")


def bomb(folder: Path, num_rows: int, told_rows: int) -> None:
    """Puts a shard in the place of the first one, of equal rows that compress to nothing, and forges the document."""
    good = store.read_shard(folder / "out", store.read(folder / "out").shards[0])
    one = good.slice(0, 1)
    digest = rows.digest(one)
    with pq.ParquetWriter(folder / "out" / store.shard_file(digest), ROWS, compression="zstd") as writer:
        part = one.take(pa.array(np.zeros(min(num_rows, MIB), dtype=np.int64)))
        for _ in range(num_rows // part.num_rows):
            writer.write_table(part)

    def change(document: Document) -> None:
        document["shards"] = [
            {"file": store.shard_file(digest), "start": 0, "rows": told_rows, "unit": 0, "digest": digest}
        ]

    forge(folder, change)


def test_a_shard_that_holds_more_than_it_should_is_refused_before_it_is_read(folder: Path) -> None:
    bomb(folder, 16 * MIB, 10)
    refused(folder, ".parquet: 16,777,216 rows where the manifest says 10")


def test_a_shard_that_expands_without_measure_is_refused_before_it_is_read(folder: Path) -> None:
    bomb(folder, 16 * MIB, 16 * MIB)
    refused(folder, ".parquet: 16,777,216 rows in a file far too small for them")


def test_one_shard_does_not_stand_for_many(folder: Path) -> None:
    def change(document: Document) -> None:
        first = document["shards"][0]
        document["shards"] = [{**first, "start": 10 * number, "unit": 10 * number} for number in range(1000)]

    forge(folder, change)
    assert_refused(measured("verify", "out", cwd=folder), "not at the positions")


def test_a_row_that_names_what_is_not_there_is_refused(folder: Path) -> None:
    manifest = store.read(folder / "out")
    table = store.read_shard(folder / "out", manifest.shards[0])
    far = table.set_column(
        table.schema.get_field_index("source"), ROWS.field("source"), pa.array([7] * 10, pa.uint32())
    )
    digest = rows.digest(far)
    (folder / "out" / store.shard_file(digest)).write_bytes(store.encoded(far))
    forge(folder, shard("digest", digest))
    forge(folder, shard("file", store.shard_file(digest)))
    assert_refused(streamed(folder), "position 0 names a source that there is not")


@pytest.mark.parametrize(
    "after",
    [
        {"manifest": "0" * 64, "position": 0, "past_pools": [], "past_sources": []},
        {"manifest": "0" * 64, "position": 21, "past_pools": [], "past_sources": []},
        {"manifest": "0" * 64, "position": 1 << 63, "past_pools": [], "past_sources": []},
        {"manifest": "../../secret", "position": 1, "past_pools": [], "past_sources": []},
        {"manifest": "0" * 64, "position": 1, "past_pools": [1], "past_sources": []},
        {"manifest": "0" * 64, "position": 1, "past_pools": [], "past_sources": [1 << 40]},
        {"manifest": "0" * 64, "position": 1, "past_pools": [0] * 100_000, "past_sources": []},
    ],
)
def test_a_manifest_goes_on_from_a_position_of_its_own(folder: Path, after: Document) -> None:
    forge(folder, lambda document: document.update(after=after))
    assert_refused(measured("verify", "out", "--root", ".", cwd=folder), "not a manifest")


@pytest.mark.parametrize(
    "change",
    [
        lambda stages: stages[0].update(start=3),
        lambda stages: stages[0]["shares"][0].update(rule=7),
        lambda stages: stages.clear(),
        lambda stages: stages[0].update(draws=1 << 50),
    ],
)
def test_a_recipe_does_not_go_on_from_stages_that_cannot_be(
    folder: Path, change: Callable[[list[Document]], object]
) -> None:
    forge(folder, lambda document: change(document["stages"]))
    assert_refused(measured("compile", "recipe.yaml", "--after", "out@7", "--out", "new", cwd=folder), "out")


@pytest.mark.parametrize("name", ["source", "pool", "stage", "rule"])
def test_a_recipe_does_not_go_on_from_rows_that_name_what_there_is_not(folder: Path, name: str) -> None:
    (path,) = [path for path in (folder / "out/shards").iterdir() if pq.read_table(path)["position"][0].as_py() == 0]
    table = pq.read_table(path)
    cells = pa.array([1 << 31] * table.num_rows, pa.uint32())
    table = rows.checked(table.set_column(table.schema.get_field_index(name), ROWS.field(name), cells))
    digest = rows.digest(table)
    (folder / "out" / store.shard_file(digest)).write_bytes(store.encoded(table))
    forge(folder, lambda document: document["shards"][0].update(file=store.shard_file(digest), digest=digest))
    ran = measured("compile", "recipe.yaml", "--after", "out@7", "--out", "new", cwd=folder)
    assert_refused(ran, f"a row names a {name} that there is not")
