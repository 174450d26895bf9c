"""What every batch is to hold, for any draws; and that nothing moves but what must."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recipe_compiler import kernels
from tests.support import compile_text, draws, rejected, write_jsonl

groups = st.lists(st.integers(0, 5), max_size=80)


def batches_of(order: list[int], rows: int) -> list[list[int]]:
    return [order[start : start + rows] for start in range(0, len(order), rows)]


@given(groups, st.integers(1, 12))
@example([0] * 7 + [1] * 3 + [2], 4)
def test_every_batch_has_the_floor_or_the_ceiling_of_each_share(group: list[int], rows: int) -> None:
    order = kernels.stratify(np.array(group, dtype=np.uint32), 6, rows).tolist()
    assert sorted(order) == list(range(len(group)))
    counts = Counter(group)
    for batch in batches_of(order, rows):
        held = Counter(group[position] for position in batch)
        assert batch == sorted(batch)
        for value, count in counts.items():
            assert abs(held[value] - Fraction(count * len(batch), len(group))) < 1
    for value in counts:
        same = [position for position in order if group[position] == value]
        assert same == sorted(same)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 6))
def test_an_order_in_which_every_batch_is_right_already_stays(shares: list[int], batches: int) -> None:
    batch = [value for value, count in enumerate(shares) for _ in range(count)]
    order = kernels.stratify(np.array(batch * batches, dtype=np.uint32), len(shares), len(batch))
    assert order.tolist() == list(range(len(batch) * batches))


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 9))
def test_every_run_has_an_anchor_and_the_fewest_draws_move(anchors: list[bool], micro: int) -> None:
    runs = batches_of(list(range(len(anchors))), micro)
    marked = np.array(anchors, dtype=np.bool_)
    if sum(anchors) < len(runs):
        with pytest.raises(kernels.KernelError):
            kernels.anchor(marked, micro)
        return
    order = kernels.anchor(marked, micro).tolist()
    assert sorted(order) == list(range(len(anchors)))
    assert all(any(anchors[position] for position in run) for run in batches_of(order, micro))
    lacking = sum(not any(anchors[position] for position in run) for run in runs)
    assert sum(place != position for place, position in enumerate(order)) == 2 * lacking


KINDS = {"text": 50, "image": 31, "video": 9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batches")
    for kind, size in KINDS.items():
        media = {} if kind == "text" else {kind: "it.bin"}
        tag = {"text": "", "image": "<image>\n", "video": "<video>\n"}[kind]
        rows = [
            {
                "id": f"{kind}{at}",
                "level": at % 7,
                "conversations": [
                    {"from": "human", "value": f"{tag}What is {kind} {at}?"},
                    {"from": "gpt", "value": "It is."},
                ],
                **media,
            }
            for at in range(size)
        ]
        write_jsonl(folder / f"{kind}.jsonl", rows)
    return folder


def compiled(folder: Path, batch: str, stages: str = "[{name: s}]", rest: str = "") -> pl.DataFrame:
    compile_text(folder, recipe(batch, stages, rest))
    return draws(folder / "out")


def recipe(batch: str, stages: str = "[{name: s}]", rest: str = "") -> str:
    pools = ", ".join(f"{kind}: {{source: {kind}.jsonl, fields: {{columns: {{level: level}}}}}}" for kind in KINDS)
    return f"recipe: 1\nname: b\nseed: 2\npools: {{{pools}}}\nstages: {stages}\n{batch}{rest}"


TWO_STAGES = '[{name: one, where: pool == "image"}, {name: two, epochs: 2, replay: {one: 10%}}]'


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 30),
    st.sampled_from(["drop", "pad"]),
    st.sampled_from(["", ", stratify: level", ", modality: uniform"]),
    st.sampled_from(["[{name: s}]", TWO_STAGES]),
)
@example(29, "pad", ", modality: uniform", TWO_STAGES)
def test_every_stage_is_cut_or_filled_and_every_batch_keeps_its_promise(
    folder: Path, rows: int, remainder: str, promise: str, stages: str
) -> None:
    if remainder == "drop" and rows > min(KINDS.values()):
        rows = 5
    whole = compiled(folder, "", stages)
    found = compiled(folder, f"batch: {{rows: {rows}, remainder: {remainder}{promise}}}\n", stages)
    kinds = 3 if "uniform" in promise else 1
    for stage in whole["stage"].unique():
        before, after = whole.filter(stage=stage), found.filter(stage=stage)
        assert after.height % rows == 0
        assert abs(after.height - before.height) < rows * kinds
        padding = after.filter(rule=f"padding of {stage}")
        own = after.filter(pl.col("rule") != f"padding of {stage}")
        if remainder == "pad":
            assert after.height == before.height + padding.height
            assert set(padding["sample_id"]) <= set(before["sample_id"])
            assert Counter(own["sample_id"]) == Counter(before["sample_id"])
            for pool in set(padding["pool"]) if kinds == 3 else ():
                times = Counter(padding.filter(pool=pool)["sample_id"])
                there = before.filter(pool=pool)["sample_id"].n_unique()
                assert max(times.values()) - (min(times.values()) if len(times) == there else 0) <= 1
            assert kinds == 3 or len(set(padding["sample_id"])) == padding.height
        else:
            assert padding.height == 0
            assert Counter(own["sample_id"]) <= Counter(before["sample_id"])
        if not promise:
            kept = before.head(own.height) if remainder == "drop" else before
            assert own["sample_id"].to_list() == kept["sample_id"].to_list()
        for start in range(0, after.height, rows):
            assert_promised(folder, after, after.slice(start, rows), promise)


def modality(rows: pl.DataFrame) -> list[str]:
    return ["video" if v else "image" if i else "text" for i, v in rows.select("images", "videos").rows()]


def levels(folder: Path, rows: pl.DataFrame) -> list[int]:
    """The level of each draw, read back from its record."""
    data = {pool: (folder / f"{pool}.jsonl").read_bytes() for pool in KINDS}
    places = rows.select("pool", "offset", "length").rows()
    return [json.loads(data[pool][offset : offset + length])["level"] for pool, offset, length in places]


def assert_promised(folder: Path, stage: pl.DataFrame, batch: pl.DataFrame, promise: str) -> None:
    if "uniform" in promise:
        assert len(set(modality(batch))) == 1
    if "stratify" in promise:
        counts, held = Counter(levels(folder, stage)), Counter(levels(folder, batch))
        for value, count in counts.items():
            assert abs(held[value] - Fraction(count * batch.height, stage.height)) < 1


def test_batches_of_modalities_take_exact_turns_and_keep_their_order(folder: Path) -> None:
    whole = compiled(folder, "")
    rows = compiled(folder, "batch: {rows: 3, modality: uniform, remainder: drop}\n")
    turns = [modality(rows.slice(start, 3))[0] for start in range(0, rows.height, 3)]
    assert Counter(turns) == {kind: size // 3 for kind, size in KINDS.items()}
    for kind, size in KINDS.items():
        for time in range(1, len(turns) + 1):
            assert abs(turns[:time].count(kind) - Fraction(time * (size // 3), len(turns))) < 1
        kept = rows.filter(pool=kind)["sample_id"].to_list()
        assert kept == whole.filter(pool=kind)["sample_id"].to_list()[: len(kept)]


def test_anchored_micro_batches_have_an_image_and_all_other_draws_stay(folder: Path) -> None:
    whole = compiled(folder, "")
    rows = compiled(folder, "batch: {rows: 9, modality: anchored, micro: 3}\n")
    kinds = modality(rows)
    assert all(set(kinds[start : start + 3]) != {"text"} for start in range(0, rows.height, 3))
    lacking = sum(set(modality(whole.slice(start, 3))) == {"text"} for start in range(0, whole.height, 3))
    moved = sum(a != b for a, b in zip(whole["sample_id"], rows["sample_id"], strict=True))
    assert moved == 2 * lacking > 0


def test_strata_move_as_little_as_a_shuffled_order_needs(folder: Path) -> None:
    """In a mix by the same column every batch is nearly right: a draw moves into a neighbouring batch at most."""
    stages = "[{name: s, mix: {by: level}}]"
    whole = compiled(folder, "", stages)
    rows = compiled(folder, "batch: {rows: 10, stratify: level}\n", stages)
    place = {sample: at // 10 for at, sample in enumerate(whole["sample_id"])}
    assert max(abs(place[sample] - at // 10) for at, sample in enumerate(rows["sample_id"])) <= 1


def test_other_batches_leave_all_draws_but_the_last_where_they_were(folder: Path) -> None:
    one, other = (compiled(folder, f"batch: {{rows: {rows}, remainder: drop}}\n")["sample_id"] for rows in (7, 8))
    assert one.head(min(len(one), len(other))).equals(other.head(min(len(one), len(other))))


def test_padding_counts_against_the_limit_of_the_recipe(folder: Path) -> None:
    text = recipe("batch: {rows: 100, remainder: pad}\n", rest="repeat: {max: 1}\n")
    (found,) = rejected(folder, text)
    assert (found.code, "short of 10 draws" in found.headline) == ("execute.short", True)
    compile_text(folder, text.replace("max: 1", "max: 2"))
    assert draws(folder / "out")["repeat"].max() == 1


def test_rows_that_ask_for_nothing_change_no_order(folder: Path) -> None:
    assert compiled(folder, "").equals(compiled(folder, "batch: {rows: 7}\n"))
