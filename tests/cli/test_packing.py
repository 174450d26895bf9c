"""Packs and exact token counts, as a user reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import Ran, compile_text, draws, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: mix
pools: {{a: {{source: a.jsonl}}}}
tokens: {{counts: counts.csv}}
pack: {{max_tokens: {most}, window: 64}}
batch: {{packs: 2}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(
        tmp_path / "a.jsonl",
        [{"id": f"a{at}", "question": f"What is {at}?", "answer": "It. " * (at % 30 + 1)} for at in range(40)],
    )
    compile_text(tmp_path, "recipe: 1\nname: mix\npools: {a: {source: a.jsonl}}\nstages: [{name: s, order: listed}]\n")
    ids = draws(tmp_path / "out")["sample_id"].to_list()
    rows = [f"{sample.hex()},{at % 30 + 3}\n" for at, sample in enumerate(ids)]
    (tmp_path / "counts.csv").write_text(f"sample_id,tokens\n{''.join(rows)}")
    write_recipe(tmp_path, RECIPE.format(most=64))
    write_recipe(tmp_path, RECIPE.format(most=128), "wide.yaml")
    return tmp_path


def test_a_plan_says_how_full_packs_are_and_who_counted(folder: Path, recipe: Callable[..., Ran]) -> None:
    ran = recipe("plan", "recipe.yaml")
    assert (ran.code, ran.err) == (0, "")
    total = sum(at % 30 + 3 for at in range(40))
    manifest = json.loads(recipe("plan", "recipe.yaml", "--format", "json").out)
    packs = manifest["units"]["units"]
    tenths = 1000 * total // (64 * packs)
    assert ran.out.splitlines()[1:3] == [
        f"packs: {packs} of 64 tokens, {tenths // 10}.{tenths % 10}% full, longest draw 32",
        "tokens: exact, by counts.csv",
    ]
    assert manifest["counted"] == "counts.csv"
    assert [pinned["path"] for pinned in manifest["annotations"]] == ["counts.csv"]
    (folder / "recipe.yaml").write_text(
        RECIPE.format(most=64).replace("tokens: {counts: counts.csv}\n", "").replace("64", "500")
    )
    estimated = recipe("plan", "recipe.yaml")
    assert estimated.out.splitlines()[2] == "tokens: estimated"
    assert "note.estimated" in estimated.err


def test_a_pack_is_shown_explained_and_compared(folder: Path, recipe: Callable[..., Ran]) -> None:
    for name, out in (("recipe.yaml", "one"), ("wide.yaml", "two")):
        assert recipe("compile", name, "--out", out, "--quiet").code == 0
    drawn = draws(folder / "one")
    step = drawn.filter((drawn["unit"] // 2) == 1)
    shown = json.loads(recipe("show", "one", "--step", "1", "--format", "json").out)
    assert [(draw["position"], draw["pack"]) for draw in shown] == step.select("position", "unit").rows()
    last = shown[-1]
    text = recipe("show", "one", "--position", str(last["position"])).out
    assert f"({last['key']}), stage mixed, pack {last['pack']}, {last['tokens']} tokens" in text
    assert f"at position {last['position']} (pack {last['pack']})" in recipe("explain", "one", last["key"]).out
    found = recipe("diff", "one", "two").out
    assert "packing changed: packs: " in found and " of 64 tokens" in found and " of 128 tokens" in found
    assert "pack.max_tokens  64      128    wide.yaml:5" in found
    assert recipe("verify", "one").code == 0


def test_a_manifest_goes_on_where_a_pack_ends(folder: Path, recipe: Callable[..., Ran]) -> None:
    assert recipe("compile", "recipe.yaml", "--out", "one", "--quiet").code == 0
    ends = draws(folder / "one").group_by("unit").len().sort("unit")["len"].cum_sum().to_list()
    ran = recipe("plan", "wide.yaml", "--after", f"one@{ends[2] - 1}")
    wanted = f"error: one: {ends[2] - 1} draws end inside pack 2; go on after {ends[1]}\n"
    assert (ran.code, ran.err) == (1, wanted)
    assert recipe("plan", "wide.yaml", "--after", f"one@{ends[2]}").code == 0


def test_counts_that_changed_are_another_manifest_and_break_a_lock(folder: Path, recipe: Callable[..., Ran]) -> None:
    before = json.loads(recipe("plan", "recipe.yaml", "--format", "json").out)["ids"]["manifest"]
    assert recipe("lock", "recipe.yaml").code == 0
    counts = folder / "counts.csv"
    counts.write_text(counts.read_text().replace(",3\n", ",4\n"))
    after = json.loads(recipe("plan", "recipe.yaml", "--format", "json").out)["ids"]["manifest"]
    assert before != after
    ran = recipe("compile", "recipe.yaml", "--locked")
    assert ran.code == 1 and "counts.csv" in ran.err


def test_a_table_of_counts_says_which_processor_counted(folder: Path, recipe: Callable[..., Ran]) -> None:
    rows = [line.split(",") for line in (folder / "counts.csv").read_text().splitlines()[1:]]
    table = pa.table(
        {"sample_id": [name for name, _ in rows], "tokens": pa.array([int(n) for _, n in rows], pa.uint32())}
    )
    text = RECIPE.format(most=64).replace("counts.csv", "counts.parquet")
    write_recipe(folder, text)
    who = {"processor": "ab" * 32, "transformers": "5.23.0", "tokenizers": "0.22.1"}
    named = "processor abababababab with tokenizers 0.22.1, transformers 5.23.0"
    for noted, told in ((json.dumps(who), named), ("[]", "counts.parquet"), ("{", "counts.parquet")):
        pq.write_table(table.replace_schema_metadata({"recipe": noted}), folder / "counts.parquet")
        assert recipe("plan", "recipe.yaml").out.splitlines()[2] == f"tokens: exact, by {told}"


def test_an_epoch_of_packs_is_measured(folder: Path, recipe: Callable[..., Ran]) -> None:
    assert recipe("compile", "recipe.yaml", "--out", "one", "--quiet").code == 0
    measured = json.loads(recipe("bench", "one", "--format", "json").out)
    assert measured["samples"] == 40
