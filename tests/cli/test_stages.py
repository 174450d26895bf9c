"""Batches, limits, courses and tables of weights, as a user reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe_compiler.diagnostics import Findings
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.review.explain import Explainer
from tests.support import Ran, compile_text, questions, rejected, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: mix
pools: {a: {source: a.jsonl}, b: {source: b.jsonl}}
repeat: {max: 2}
stages:
  - {name: s, mix: {by: pool, weights: {from: equal, to: {table: fitted.csv}, blocks: 4}}, draws: {count: 21}}
batch: {rows: 8, remainder: drop}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "a.jsonl", questions("a", 20))
    write_jsonl(tmp_path / "b.jsonl", questions("b", 20))
    (tmp_path / "fitted.csv").write_text("name,weight\na,0.9\nb,1e-1\n")
    write_recipe(tmp_path, RECIPE)
    return tmp_path


def test_what_was_asked_of_the_order_stands_in_the_manifest(folder: Path, recipe: Callable[..., Ran]) -> None:
    assert recipe("compile", "recipe.yaml", "--out", "out", "--quiet").code == 0
    shown = recipe("show", "out")
    for part in ("weights from equal to as in fitted.csv, linear in 4 blocks", "the last draws left out", "at most 2"):
        assert part in shown.out
    manifest = json.loads((folder / "out/manifest.json").read_bytes())
    assert [(request["what"], request["realised"]) for request in manifest["requests"]] == [
        ("mix of s", 4),
        ("order of s", 2),
        ("repeat", 1),
    ]
    assert manifest["recipe"]["stages"][0]["mix"]["weights"]["from"] == {"kind": "equal"}
    assert [pinned["path"] for pinned in manifest["annotations"]] == ["fitted.csv"]
    assert recipe("verify", "out").code == 0


def test_explain_says_who_was_left_out_of_the_last_batch(folder: Path, recipe: Callable[..., Ran]) -> None:
    compile_text(folder, RECIPE)
    place = Workspace(root=folder, cache=folder / ".recipe")
    answer = Explainer(folder / "out", place, Findings()).samples("It is", by="text", limit=100)
    cut = [found for found in answer.explanations if found.rules[-1].rule == "full batches of s"]
    assert len(cut) == 21
    assert sum(found.verdict == "out" for found in cut) == 21 - 16
    assert {found.rules[-1].line for found in cut} == {"recipe.yaml:7"}
    for found in cut:
        rule = found.rules[-1]
        assert rule.rank is not None
        assert (rule.rank <= 16) == (found.verdict == "in")


def test_a_table_of_weights_is_locked_and_replayed_as_an_annotation_is(
    folder: Path, recipe: Callable[..., Ran]
) -> None:
    assert recipe("lock", "recipe.yaml").code == 0
    assert recipe("compile", "recipe.yaml", "--locked", "--out", "out", "--quiet").code == 0
    assert "fitted.csv" in recipe("tree", "recipe.yaml").out
    (folder / "fitted.csv").write_text("name,weight\na,0.8\nb,0.2\n")
    moved = recipe("compile", "recipe.yaml", "--locked", "--out", "out2")
    assert moved.code == 1
    assert "`fitted.csv` has other bytes" in moved.err
    gone = recipe("explain", "out", "a-1")
    assert gone.code == 1
    assert "fitted.csv: is not the table that was compiled" in gone.err


def test_the_same_weights_in_any_format_are_the_same_order(folder: Path) -> None:
    (folder / "fitted.csv").write_text("weight,name\n0.75,a\n0.25,b\n")
    first = compile_text(folder, RECIPE).manifest.ids.order
    write_jsonl(folder / "fitted.jsonl", [{"name": "b", "weight": 0.25}, {"name": "a", "weight": "0.75"}])
    pq.write_table(pa.table({"name": ["a", "b"], "weight": [0.75, 0.25]}), folder / "fitted.parquet")
    for ending in ("jsonl", "parquet"):
        assert compile_text(folder, RECIPE.replace("fitted.csv", f"fitted.{ending}")).manifest.ids.order == first


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("name,weight\na,1\na,2\nb,1\n", "row 2 gives `a` a second weight"),
        ("name,weight\na,-1\nb,1\n", "the weight in row 1 is no number from 0 on"),
        ("name,weight\na,1e999999999\nb,1\n", "the weight in row 1 is no number from 0 on"),
        ("name,weight\na,1/3\nb,1\n", "the weight in row 1 is no number from 0 on"),
        ("name,value\na,1\n", "row 1 has no `name` and `weight`"),
        ("name,weight\n" + "x" * (1 << 20), "a table of weights has at most 1,048,576 bytes"),
    ],
)
def test_a_table_that_is_none_is_refused(folder: Path, table: str, reason: str) -> None:
    (folder / "fitted.csv").write_text(table)
    (found,) = rejected(folder, RECIPE)
    assert (found.code, found.headline) == ("resolve.unreadable", f"`fitted.csv`: {reason}")


@pytest.mark.parametrize(
    ("name", "text"), [("w.jsonl", "[" * 100_000), ("w.jsonl", "3"), ("w.parquet", "x"), ("w.md", "")]
)
def test_a_table_in_no_format_is_refused(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (found,) = rejected(folder, RECIPE.replace("fitted.csv", name))
    assert found.code == "resolve.unreadable"
