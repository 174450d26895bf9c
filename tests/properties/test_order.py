"""The order of stages against slow, obvious oracles in plain Python; all four schedules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipe_compiler.execute.apportion import apportion, temperature, unimax
from recipe_compiler.execute.task import order_key
from tests.support import compile_text, draws, questions, rejected, write_jsonl
from tests.tables import keyed_hashes

SIZES = {"general": 90, "reasoning": 40, "ocr": 25}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        rows = questions(name, size)
        write_jsonl(tmp_path / f"{name}.jsonl", [{**row, "level": (7 * at) % 11} for at, row in enumerate(rows)])
    return tmp_path


def recipe(rest: str) -> str:
    pools = "\n".join(
        f"  {name}: {{source: {name}.jsonl, group: {name}, fields: {{columns: {{level: level}}}}}}" for name in SIZES
    )
    return f"recipe: 1\nname: order\nseed: 9\npools:\n{pools}\n{rest}"


def shuffled(rows: pl.DataFrame, seed: int, rule: str, turn: int = 0) -> list[bytes]:
    """The oracle of a shuffle: sample ids sorted by keyed hash, then id."""
    key = order_key(seed, "order", rule)
    hashed = []
    for sample_id in rows["sample_id"].to_list():
        high, low = (
            np.array([int.from_bytes(half, "big")], dtype=np.uint64) for half in (sample_id[:8], sample_id[8:])
        )
        mark = np.array([turn << 32], dtype=np.uint64)
        hashed.append((int(keyed_hashes(key, high=high, low=low, turn=mark)[0]), sample_id))
    return [sample_id for _, sample_id in sorted(hashed)]


def ids(rows: pl.DataFrame) -> list[bytes]:
    return list(rows["sample_id"])


def test_mixed_is_one_shuffle_of_everything(folder: Path) -> None:
    compile_text(folder, recipe("schedule: mixed\n"))
    rows = draws(folder / "out")
    assert ids(rows) == shuffled(rows, 9, "stage mixed")
    assert Counter(rows["pool"]) == SIZES


@pytest.mark.parametrize(
    ("kind", "sequence"),
    [("curriculum", ["general", "reasoning", "ocr"]), ("reverse", ["ocr", "reasoning", "general"])],
)
def test_a_curriculum_runs_through_the_groups(folder: Path, kind: str, sequence: list[str]) -> None:
    compile_text(folder, recipe(f"schedule: {kind}\n"))
    rows = draws(folder / "out")
    assert list(rows["pool"]) == [name for name in sequence for _ in range(SIZES[name])]
    for name in sequence:
        part = rows.filter(pl.col("pool") == name)
        assert ids(part) == shuffled(part, 9, f"stage {name}")


def test_balanced_draws_groups_equally_and_repeats_the_small_ones_pass_by_pass(folder: Path) -> None:
    compile_text(folder, recipe("schedule: balanced\n"))
    rows = draws(folder / "out")
    total = sum(SIZES.values())
    assert rows.height == total
    assert_prefixes(rows, {name: Fraction(1, 3) for name in SIZES})
    for name, size in SIZES.items():
        part = rows.filter(pl.col("pool") == name)
        for start in range(0, part.height, size):
            turn = ids(part.slice(start, size))
            assert len(set(turn)) == len(turn)
        assert list(part["repeat"]) == [position // size for position in range(part.height)]


def assert_prefixes(rows: pl.DataFrame, shares: dict[str, Fraction]) -> None:
    """Within one draw of the realised counts at every prefix, and those within one of the shares."""
    realised = Counter(rows["pool"])
    for name, share in shares.items():
        assert abs(realised[name] - rows.height * share) < 1
        drawn = 0
        for time, pool in enumerate(rows["pool"], start=1):
            drawn += pool == name
            assert abs(drawn - Fraction(time * realised[name], rows.height)) < 1


def weight_cases() -> Iterator[tuple[str, list[Fraction], int]]:
    sizes = [SIZES[name] for name in sorted(SIZES)]
    yield "proportional", [Fraction(size) for size in sizes], 60
    yield "equal", [Fraction(1)] * 3, 60
    yield "{temperature: 2}", temperature(sizes, Fraction(2)), 60
    yield "{unimax: 2}", unimax(120, sizes, Fraction(2)), 120
    yield "{values: {general: 1/3, ocr: 0.5, reasoning: 1/6}}", [Fraction(1, 3), Fraction(1, 2), Fraction(1, 6)], 48


@pytest.mark.parametrize(("weights", "expected", "total"), list(weight_cases()))
def test_a_mix_is_exact_under_every_kind_of_weight(
    folder: Path, weights: str, expected: list[Fraction], total: int
) -> None:
    mix = f"{{by: pool, weights: {weights}}}"
    compile_text(folder, recipe(f"stages:\n  - {{name: s, mix: {mix}, draws: {{count: {total}}}}}\n"))
    rows = draws(folder / "out")
    counts = dict(zip(sorted(SIZES), apportion(total, expected), strict=True))
    assert Counter(rows["pool"]) == counts
    whole = sum(expected)
    assert_prefixes(rows, {name: share / whole for name, share in zip(sorted(SIZES), expected, strict=True)})


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(1, 25), min_size=3, max_size=3),
    total=st.integers(3, 24),
)
def test_any_rational_weights_keep_every_prefix_exact(folder: Path, counts: list[int], total: int) -> None:
    values = ", ".join(f"{name}: {count}/7" for name, count in zip(sorted(SIZES), counts, strict=True))
    mix = f"{{by: pool, weights: {{values: {{{values}}}}}}}"
    compile_text(folder, recipe(f"stages:\n  - {{name: s, mix: {mix}, draws: {{count: {total}}}}}\n"))
    shares = {name: Fraction(count, sum(counts)) for name, count in zip(sorted(SIZES), counts, strict=True)}
    assert_prefixes(draws(folder / "out"), shares)


def levels(folder: Path, rows: pl.DataFrame) -> list[int]:
    """The level of each draw, read back from the pool by the locator."""
    found = []
    pools = dict(enumerate(sorted(SIZES)))
    data = {name: (folder / f"{name}.jsonl").read_bytes() for name in SIZES}
    for source, offset, length in rows.select("source", "offset", "length").rows():
        found.append(json.loads(data[pools[source]][offset : offset + length])["level"])
    return found


def test_sort_is_by_the_column_and_ties_by_the_keyed_order(folder: Path) -> None:
    compile_text(folder, recipe("stages:\n  - {name: s, order: {sort: level, descending: true}}\n"))
    rows = draws(folder / "out")
    found = levels(folder, rows)
    assert found == sorted(found, reverse=True)
    rank = {sample_id: at for at, sample_id in enumerate(shuffled(rows, 9, "stage s"))}
    for level in set(found):
        ranks = [
            rank[sample_id] for sample_id, found_level in zip(ids(rows), found, strict=True) if found_level == level
        ]
        assert ranks == sorted(ranks)


def test_a_window_sorts_inside_runs_of_the_shuffle(folder: Path) -> None:
    compile_text(folder, recipe("stages:\n  - {name: s, order: {sort: level, window: 16}}\n"))
    rows = draws(folder / "out")
    order, found = shuffled(rows, 9, "stage s"), levels(folder, rows)
    for start in range(0, rows.height, 16):
        assert set(ids(rows)[start : start + 16]) == set(order[start : start + 16])
        assert found[start : start + 16] == sorted(found[start : start + 16])


def test_a_shuffle_window_shuffles_inside_runs_of_the_sorted_order(folder: Path) -> None:
    compile_text(folder, recipe("stages:\n  - {name: s, order: {sort: level, shuffle_window: 16}}\n"))
    rows = draws(folder / "out")
    found = levels(folder, rows)
    whole = sorted(found)
    for start in range(0, rows.height, 16):
        assert sorted(found[start : start + 16]) == whole[start : start + 16]
    assert found != whole
    rank = {sample_id: at for at, sample_id in enumerate(shuffled(rows, 9, "stage s"))}
    for start in range(0, rows.height, 16):
        ranks = [rank[sample_id] for sample_id in ids(rows)[start : start + 16]]
        assert ranks == sorted(ranks)


def test_listed_is_by_pool_file_and_place(folder: Path) -> None:
    compile_text(folder, recipe("stages:\n  - {name: s, order: listed}\n"))
    rows = draws(folder / "out")
    assert rows.select("source", "offset").rows() == sorted(rows.select("source", "offset").rows())


def test_replay_is_an_exact_share_of_the_stage_and_draws_earlier_samples(folder: Path) -> None:
    stages = """
    stages:
      - {name: first, where: group == "general"}
      - {name: second, where: group == "reasoning", replay: {first: 20%}}
      - {name: third, replay: {first: 10%, second: {count: 5}}}
    """
    compile_text(folder, recipe(stages.replace("\n    ", "\n").lstrip()))
    rows = draws(folder / "out")
    second, third = (rows.filter(pl.col("stage") == name) for name in ("second", "third"))
    assert (second.height, Counter(second["pool"])["general"]) == (50, 10)
    assert Counter(third["rule"]) == {"stage third": 25, "replay first in third": 3, "replay second in third": 5}
    replayed = rows.filter(pl.col("rule").str.starts_with("replay"))
    earlier = rows.filter(~pl.col("rule").str.starts_with("replay"))
    assert set(ids(replayed)) <= set(ids(earlier))
    assert (replayed["repeat"] > 0).all()
    assert_prefixes(second, {"general": Fraction(1, 5), "reasoning": Fraction(4, 5)})


def test_a_sample_belongs_to_the_first_stage_that_takes_it(folder: Path) -> None:
    compile_text(folder, recipe('stages:\n  - {name: one, where: group == "ocr"}\n  - {name: two}\n'))
    rows = draws(folder / "out")
    assert Counter(rows["stage"]) == {"one": 25, "two": 130}
    assert len(set(ids(rows))) == rows.height


def test_a_mix_beyond_its_supply_is_refused_with_a_way_out_that_works(folder: Path) -> None:
    text = recipe("stages:\n  - {name: s, mix: {by: pool, weights: equal}}\n")
    (found,) = rejected(folder, text)
    assert found.code == "execute.short"
    assert "`repeat: {max: 3}`" in found.help
    assert "`draws: {count: 76}`" in found.help
    for way_out in ("repeat: {max: 3}", "draws: {count: 76}"):
        compile_text(folder, text.replace("equal}", f"equal}}, {way_out}"))
    assert rejected(folder, text.replace("equal}", "equal}, repeat: {max: 2}"))
    assert rejected(folder, text.replace("equal}", "equal}, draws: {count: 77}"))


def test_repeats_of_a_selection_come_after_everyone_s_first_use(folder: Path) -> None:
    compile_text(folder, recipe("select: {budget: {share: 150%}, repeat: {max: 2}}\nschedule: mixed\n"))
    rows = draws(folder / "out")
    total = sum(SIZES.values())
    assert rows.height == total * 3 // 2
    assert list(rows["repeat"]) == [0] * total + [1] * (rows.height - total)


@pytest.mark.parametrize("num", [100, 300])
def test_each_of_many_stages_draws_its_own_samples(tmp_path: Path, num: int) -> None:
    # On both sides of what fits into a byte.
    own = [{**row, "level": at % num} for at, row in enumerate(questions("q", 2 * num))]
    write_jsonl(tmp_path / "q.jsonl", own)
    stages = "".join(f"  - {{name: s{at}, where: level == {at}}}\n" for at in range(num))
    pool = "pools: {q: {source: q.jsonl, fields: {columns: {level: level}}}}"
    built = compile_text(tmp_path, f"recipe: 1\nname: many\n{pool}\nstages:\n{stages}")
    assert len(built.selection.stages) == num
    assert np.array_equal(built.selection.stage, built.selection.frame["level"].to_numpy())
    assert draws(tmp_path / "out")["stage"].to_list() == [f"s{at}" for at in range(num) for _ in range(2)]
