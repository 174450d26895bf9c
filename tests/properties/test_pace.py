"""Difficulty pacing against a slow oracle with exact rationals, and what a compiled stage does with it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recipe_compiler import kernels
from tests.support import compile_text, draws, questions, write_jsonl

starts = st.fractions(min_value=Fraction(1, 1000), max_value=1, max_denominator=1000)


def is_enough(available: int, time: int, num: int, start: Fraction, *, root: bool) -> bool:
    """Whether `available` of `num` is at least the competence at a time: c(t) compared, not computed."""
    share = Fraction(available, num)
    if root:
        return share**2 >= time * (1 - start**2) / num + start**2
    return share >= time * (1 - start) / num + start


def slow(easiest: list[int], start: Fraction, *, root: bool) -> list[int]:
    num, drawn = len(easiest), list[int]()
    for time in range(num):
        available = next(count for count in range(num + 1) if is_enough(count, time, num, start, root=root))
        drawn.append(min(item for item in easiest[:available] if item not in drawn))
    return drawn


@settings(deadline=None)
@given(st.permutations(range(24)), st.integers(0, 24), starts, st.booleans())
@example(list(range(24)), 24, Fraction(1), True)
def test_pacing_is_what_the_oracle_does(items: list[int], num: int, start: Fraction, root: bool) -> None:
    easiest = [item for item in items if item < num]
    found = kernels.pace(np.array(easiest, dtype=np.uint32), start=start.as_integer_ratio(), root=root)
    assert found.tolist() == slow(easiest, start, root=root)
    assert sorted(found.tolist()) == list(range(num))


def test_a_million_draws_of_the_finest_start_are_exact() -> None:
    num = 10**6
    easiest = np.arange(num, dtype=np.uint32)[::-1].copy()
    found = kernels.pace(easiest, start=(1, 10**6), root=True)
    assert len(set(found.tolist())) == num
    # The hardest sample comes as soon as all are available, and not before: c(t) of 1 is reached beyond n - 1 only.
    assert int(np.flatnonzero(found == 0)[0]) == num - 1


def compiled(folder: Path, order: str, rest: str = "") -> pl.DataFrame:
    pools = "{p: {source: p.jsonl, fields: {columns: {level: 'level?'}}}}"
    stage = f"{{name: s, order: {order}{rest}}}"
    compile_text(folder, f"recipe: 1\nname: pace\nseed: 4\npools: {pools}\nstages: [{stage}]\n")
    return draws(folder / "out")


def levels(folder: Path, rows: pl.DataFrame) -> list[int | None]:
    data = (folder / "p.jsonl").read_bytes()
    records = (json.loads(data[at : at + size]) for at, size in rows.select("offset", "length").rows())
    return [record.get("level") for record in records]


def test_a_compiled_stage_draws_from_what_is_easy_first(tmp_path: Path) -> None:
    rows = questions("p", 60)
    write_jsonl(tmp_path / "p.jsonl", [{**row, "level": (7 * at) % 60} for at, row in enumerate(rows)])
    for descending in (False, True):
        for shape in ("root", "linear"):
            order = f"{{pace: level, start: 20%, shape: {shape}, descending: {str(descending).lower()}}}"
            found = levels(tmp_path, compiled(tmp_path, order))
            assert sorted(found) == list(range(60))
            assert found != sorted(found, reverse=descending)
            for time, level in enumerate(found):
                rank = 59 - level if descending else level
                # Its rank was available: one less would not have been enough.
                assert not is_enough(rank, time, 60, Fraction(1, 5), root=shape == "root")
    shuffled = compiled(tmp_path, "shuffle")
    everything = compiled(tmp_path, "{pace: level, start: 100%}")
    assert list(everything["sample_id"]) == list(shuffled["sample_id"])


def test_every_pass_is_paced_by_itself_and_missing_values_are_hardest(tmp_path: Path) -> None:
    records = [{**row, "level": at} if at % 4 else row for at, row in enumerate(questions("p", 20))]
    write_jsonl(tmp_path / "p.jsonl", records)
    rows = compiled(tmp_path, "{pace: level, start: 10%}", ", repeat: {max: 2}, draws: {count: 40}")
    assert list(rows["repeat"]) == [0] * 20 + [1] * 20
    found = levels(tmp_path, rows)
    for half in (found[:20], found[20:]):
        ranks = sorted(half, key=lambda level: (level is None, level or 0))
        first = half.index(None)
        assert not is_enough(ranks.index(None), first, 20, Fraction(1, 10), root=True)


def test_pacing_never_changes_who_is_drawn(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{**row, "level": at % 7} for at, row in enumerate(questions("p", 50))])
    drawn = {
        order: set(compiled(tmp_path, order, ", draws: {count: 30}")["sample_id"])
        for order in ("shuffle", "{pace: level}", "{pace: level, start: 50%, shape: linear}")
    }
    assert len(set(map(frozenset, drawn.values()))) == 1
