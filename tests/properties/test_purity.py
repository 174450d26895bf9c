"""Law 1: the manifest is a function of recipe, contents and format version, and of nothing else."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from recipe_compiler.manifest import store
from recipe_compiler.manifest.schema import Identities
from tests.support import compile_text, questions, run_recipe, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: pure
seed: 11
pools:
  b: {source: "b/*.jsonl*", group: ocr, fields: {columns: {level: level}}}
  a: {source: "a/*.jsonl*", group: general, fields: {columns: {level: level}}}
annotations:
  - {source: scores.csv, match: key}
filter: [score >= 0.2, not (level == 3)]
dedup: {exact: true}
select: {budget: {share: 60%}, method: stratified, by: [pool, level], caps: [{by: level, max: 30%}]}
stages:
  - {name: warm, where: group == "general", order: {sort: level, window: 16}}
  - name: mix
    mix: {by: pool, weights: {from: {temperature: 2}, to: equal, shape: cosine}}
    repeat: {max: any}
    epochs: 2
    order: {pace: level}
    replay: {warm: 1/3}
repeat: {max: 40}
batch: {rows: 8, remainder: pad, modality: uniform}
shard: {rows: 64}
"""


def rows_of(name: str, count: int) -> list[dict[str, object]]:
    rows = [{**row, "level": at % 5} for at, row in enumerate(questions(name, count))]
    return [*rows, *rows[:10]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "here"
    for name, count in (("a", 300), ("b", 150)):
        rows = rows_of(name, count)
        write_jsonl(place / name / "part-0.jsonl", rows[: count // 2])
        write_jsonl(place / name / "part-1.jsonl", rows[count // 2 :])
    keys = [f"{name}-{at}" for name, count in (("a", 300), ("b", 150)) for at in range(count)]
    lines = [f"{key},{(at * 37) % 100 / 100}" for at, key in enumerate(keys)]
    (place / "scores.csv").write_text("key,score\n" + "\n".join(lines) + "\n")
    write_recipe(place, RECIPE)
    return place


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()
    }


def compiled(folder: Path, cwd: Path | None = None, **environment: str) -> dict[str, bytes]:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(folder / ".recipe", ignore_errors=True)
    recipe = folder / "recipe.yaml" if cwd else Path("recipe.yaml")
    ran = run_recipe("compile", recipe, "--out", out, "--quiet", cwd=cwd or folder, environment=environment)
    assert ran.code == 0, ran.err
    return tree(out)


def test_the_same_bytes_for_any_threads_hash_seed_locale_folder_and_machine(folder: Path, tmp_path: Path) -> None:
    first = compiled(folder, POLARS_MAX_THREADS="1", RAYON_NUM_THREADS="1", PYTHONHASHSEED="0")
    assert len(first) > 3
    second = compiled(folder, POLARS_MAX_THREADS="4", RAYON_NUM_THREADS="4", PYTHONHASHSEED="1", TZ="Asia/Tokyo")
    assert second == first
    assert compiled(folder, cwd=tmp_path, LC_ALL="C", LANG="C", PYTHONUTF8="0") == first
    elsewhere = tmp_path / "another machine" / "deep" / "path"
    shutil.copytree(folder, elsewhere, ignore=shutil.ignore_patterns("out", ".recipe"))
    assert compiled(elsewhere) == first


def test_the_same_bytes_when_files_are_listed_in_another_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_text(folder, RECIPE)
    first = tree(folder / "out")
    listed = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: reversed(list(listed(path, pattern))))
    compile_text(folder, RECIPE)
    assert tree(folder / "out") == first


def test_the_same_bytes_from_a_warm_cache_and_without_one(folder: Path) -> None:
    compile_text(folder, RECIPE)
    first = tree(folder / "out")
    compile_text(folder, RECIPE)
    assert tree(folder / "out") == first


def test_comments_and_the_order_of_keys_change_nothing(folder: Path) -> None:
    first = compile_text(folder, RECIPE).manifest
    lines = RECIPE.replace("seed: 11\n", "").splitlines(keepends=True)
    second = compile_text(folder, "# why\n" + "".join(lines) + "seed: 11   # chosen by dice\n").manifest
    assert first.ids.texts != second.ids.texts
    written = dataclasses.replace(first.ids, texts=second.ids.texts)
    assert dataclasses.replace(first, texts=second.texts, ids=written) == second


def identities(folder: Path) -> Identities:
    return store.read(folder / "out").ids


def assert_same_selection_and_order(folder: Path, before: Identities) -> None:
    after = compile_text(folder, RECIPE).manifest.ids
    assert (after.pools, after.selection, after.order) == (before.pools, before.selection, before.order)
    assert after.manifest != before.manifest


def test_resharded_pools_give_the_same_selection_and_order(folder: Path) -> None:
    before = compile_text(folder, RECIPE).manifest.ids
    rows = rows_of("a", 300)
    for path in (folder / "a").iterdir():
        path.unlink()
    for shard in range(7):
        write_jsonl(folder / "a" / f"x{shard}.jsonl", rows[shard::7])
    assert_same_selection_and_order(folder, before)


def test_recompressed_pools_give_the_same_selection_and_order(folder: Path) -> None:
    before = compile_text(folder, RECIPE).manifest.ids
    for path in list((folder / "a").iterdir()):
        path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert_same_selection_and_order(folder, before)


def test_pools_in_parquet_give_the_same_selection_and_order(folder: Path) -> None:
    before = compile_text(folder, RECIPE).manifest.ids
    for path in list((folder / "b").iterdir()):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        pl.DataFrame(rows).write_parquet(path.with_suffix(".jsonl.parquet"), row_group_size=17)
        path.unlink()
    assert_same_selection_and_order(folder, before)


def test_the_manifest_names_no_machine_and_no_clock(folder: Path) -> None:
    compile_text(folder, RECIPE)
    text = (folder / "out" / "manifest.json").read_text()
    for word in (str(folder), folder.anchor + "tmp", "generated", "hostname"):
        assert word not in text
