"""Law 4: a small edit makes a small diff. The symmetric difference of two selections is the least the counts allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recipe_compiler import kernels
from tests.support import compile_text, draws, questions, write_jsonl

SIZES = {"a": 700, "b": 400, "c": 90}
SAMPLE = ["pool", "sample_id", "occurrence"]


def recipe(select: str, pools: dict[str, int] | None = None, rest: str = "") -> str:
    listed = "\n".join(f"  {name}: {{source: {name}.jsonl, group: {name}}}" for name in pools or SIZES)
    return f"recipe: 1\nname: churn\nseed: 5\npools:\n{listed}\nselect: {select}\n{rest}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        write_jsonl(tmp_path / f"{name}.jsonl", questions(name, size))
    return tmp_path


def compiled(folder: Path, text: str, out: str) -> pl.DataFrame:
    compile_text(folder, text, out=out)
    return draws(folder / out)


def samples(rows: pl.DataFrame) -> set[tuple[Any, ...]]:
    return set(rows.select(SAMPLE).rows())


def least(before: pl.DataFrame, after: pl.DataFrame, gone: set[tuple[Any, ...]] = frozenset()) -> int:  # type: ignore[assignment]
    """The least symmetric difference that the counts of each pool allow, given samples that are no longer there."""
    total = 0
    for pool in sorted({*before["pool"], *after["pool"]}):
        lost = sum(1 for sample in samples(before) & gone if sample[0] == pool)
        kept = before.filter(pl.col("pool") == pool).height - lost
        total += lost + abs(after.filter(pl.col("pool") == pool).height - kept)
    return total


def assert_least(before: pl.DataFrame, after: pl.DataFrame, gone: set[tuple[Any, ...]] = frozenset()) -> None:  # type: ignore[assignment]
    assert len(samples(before) ^ samples(after)) == least(before, after, gone)


def assert_order_kept(before: pl.DataFrame, after: pl.DataFrame) -> None:
    both = before.join(after, on=SAMPLE, suffix="_after").sort("position")
    assert both.height > 10
    assert kernels.unmoved(both["position_after"].to_numpy()).all()


@pytest.mark.parametrize("method", ["method: random", "method: stratified, by: pool", "method: stratified, by: group"])
@pytest.mark.parametrize(("one", "other"), [("30%", "31%"), ("31%", "30%"), ("10%", "90%")])
def test_a_changed_share_only_adds_or_only_removes(folder: Path, method: str, one: str, other: str) -> None:
    before = compiled(folder, recipe(f"{{budget: {{share: {one}}}, {method}}}"), "before")
    after = compiled(folder, recipe(f"{{budget: {{share: {other}}}, {method}}}"), "after")
    assert_least(before, after)
    assert_order_kept(before, after)


@pytest.mark.parametrize("unit", ["{count: 300}", "{tokens: 9000}"])
def test_a_changed_budget_only_adds(folder: Path, unit: str) -> None:
    larger = unit.replace("300", "310").replace("9000", "9300")
    before = compiled(folder, recipe(f"{{budget: {unit}}}"), "before")
    after = compiled(folder, recipe(f"{{budget: {larger}}}"), "after")
    assert samples(before) < samples(after)
    assert_order_kept(before, after)


@pytest.mark.parametrize("method", ["method: random", "method: stratified, by: pool"])
def test_an_added_pool_does_not_reshuffle_the_others(folder: Path, method: str) -> None:
    write_jsonl(folder / "d.jsonl", questions("d", 200))
    select = f"{{budget: {{count: 400}}, {method}}}"
    before = compiled(folder, recipe(select), "before")
    after = compiled(folder, recipe(select, {**SIZES, "d": 200}), "after")
    assert_least(before, after)
    assert_order_kept(before, after)


def test_an_added_pool_leaves_a_share_of_the_others_alone(folder: Path) -> None:
    write_jsonl(folder / "d.jsonl", questions("d", 200))
    select = "{budget: {share: 30%}, method: stratified, by: pool}"
    before = compiled(folder, recipe(select), "before")
    after = compiled(folder, recipe(select, {**SIZES, "d": 200}), "after")
    without = after.filter(pl.col("pool") != "d")
    assert len(samples(before) ^ samples(without)) == least(before, without) <= len(SIZES)


@pytest.mark.parametrize("method", ["method: random", "method: stratified, by: pool"])
def test_deleted_rows_are_replaced_and_nothing_else_moves(folder: Path, method: str) -> None:
    select = f"{{budget: {{count: 400}}, {method}}}"
    before = compiled(folder, recipe(select), "before")
    everything = compiled(folder, recipe("{budget: {share: 100%}}"), "everything")
    rows = questions("a", SIZES["a"])
    write_jsonl(folder / "a.jsonl", [row for number, row in enumerate(rows) if number % 100 != 7])
    after = compiled(folder, recipe(select), "after")
    left = samples(compiled(folder, recipe("{budget: {share: 100%}}"), "left"))
    gone = samples(everything) - left
    assert len(gone) == 7
    assert_least(before, after, gone)
    assert_order_kept(before, after)


def test_a_changed_weight_moves_each_stratum_by_its_count(folder: Path) -> None:
    def select(weight: str) -> str:
        values = f"{{values: {{a: {weight}, b: 1, c: 1/3}}}}"
        return recipe(f"{{budget: {{count: 200}}, method: stratified, by: pool, weights: {values}}}")

    before, after = compiled(folder, select("1"), "before"), compiled(folder, select("2"), "after")
    assert_least(before, after)
    assert_order_kept(before, after)


def test_a_changed_mix_keeps_the_order_inside_each_source(folder: Path) -> None:
    def stages(weight: int) -> str:
        mix = f"{{by: pool, weights: {{values: {{a: {weight}, b: 1, c: 1}}}}}}"
        return recipe("{budget: {share: 100%}}", rest=f"stages:\n  - {{name: s, mix: {mix}, draws: {{count: 150}}}}\n")

    before, after = compiled(folder, stages(1), "before"), compiled(folder, stages(2), "after")
    assert_least(before, after)
    for pool in SIZES:
        assert_order_kept(before.filter(pl.col("pool") == pool), after.filter(pl.col("pool") == pool))


def test_a_course_that_ends_elsewhere_keeps_the_order_inside_each_source(folder: Path) -> None:
    def stages(weight: int) -> str:
        weights = f"{{from: equal, to: {{values: {{a: {weight}, b: 1, c: 1}}}}}}"
        stage = f"{{name: s, mix: {{by: pool, weights: {weights}}}, draws: {{count: 150}}}}"
        return recipe("{budget: {share: 100%}}", rest=f"stages:\n  - {stage}\n")

    before, after = compiled(folder, stages(1), "before"), compiled(folder, stages(9), "after")
    assert_least(before, after)
    for pool in SIZES:
        assert_order_kept(before.filter(pl.col("pool") == pool), after.filter(pl.col("pool") == pool))


def test_batches_with_shares_of_strata_choose_nobody_else_and_keep_the_order_inside_each_stratum(folder: Path) -> None:
    def batched(rest: str) -> str:
        return recipe("{budget: {share: 30%}}", rest=rest)

    before = compiled(folder, batched(""), "before")
    after = compiled(folder, batched("batch: {rows: 32, stratify: pool}\n"), "after")
    assert samples(before) == samples(after)
    for pool in SIZES:
        assert_order_kept(before.filter(pl.col("pool") == pool), after.filter(pl.col("pool") == pool))


def test_a_limit_takes_the_place_of_exhausted_samples_alone(folder: Path) -> None:
    stages = """
stages:
  - {name: one, where: pool == "a", draws: {count: 600}}
  - {name: two, where: pool == "b", replay: {one: {count: 90}}}
"""
    before = compiled(folder, recipe("{budget: {share: 100%}}", rest=stages), "before")
    after = compiled(folder, recipe("{budget: {share: 100%}}", rest=stages + "repeat: {max: 1}\n"), "after")
    first, second = (rows.filter(pl.col("stage") == "one") for rows in (before, after))
    assert first.equals(second)
    replayed, instead = (set(rows.filter(rule="replay one in two")["sample_id"]) for rows in (before, after))
    free = {sample for sample in replayed if sample not in set(first["sample_id"])}
    assert len(instead) == len(replayed) == 90
    assert free <= instead


def test_a_larger_selection_pushes_nothing_out_of_a_stage_that_draws_part_of_it(folder: Path) -> None:
    def text(share: str) -> str:
        select = f"{{budget: {{share: {share}}}, method: stratified, by: pool}}"
        return recipe(select, rest="schedule: {kind: balanced, by: group}\n")

    before, after = compiled(folder, text("30%"), "before"), compiled(folder, text("31%"), "after")
    assert samples(before) <= samples(after)


def test_another_seed_is_another_selection(folder: Path) -> None:
    text = recipe("{budget: {share: 30%}}")
    before = compiled(folder, text, "before")
    after = compiled(folder, text.replace("seed: 5", "seed: 6"), "after")
    assert samples(before) != samples(after)
