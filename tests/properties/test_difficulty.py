"""Classes of difficulty against their definitions in words, at every border; controls that match; votes."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tables import Table, carry_out, names, tie_breaks

CLASSES = ("easy", "medium", "hard", "unsolved")


def pism(level: str | None, solved: bool | None, *, asked: bool, inclusive: bool) -> str | None:
    """Section c.2 of the paper, by the decimal digits of the level."""
    if (asked and solved is False) or (level is not None and Decimal(level) == 0):
        return "unsolved"
    if level is None:
        return "easy" if solved or not asked else None
    if Decimal(level) <= Decimal("0.4"):
        return "hard"
    medium = Decimal(level) < Decimal("0.7") or (not inclusive and Decimal(level) == Decimal("0.7"))
    return "medium" if medium else "easy"


def cmab(rho: str | None, solved: bool | None) -> str | None:
    if solved is False:
        return "unsolved"
    if solved is None or rho is None:
        return None
    value = Decimal(rho)
    if value < Decimal("0.1") or value > Decimal("1.9"):
        return "easy"
    return "hard" if Decimal("0.4") <= value <= Decimal("1.6") else "medium"


def one(select: dict[str, Any], **columns: pl.Series) -> str | None:
    """The class of a single sample."""
    found = carry_out({"method": "difficulty", "keep": list(CLASSES), **select}, Table([(1, 0, "a")], columns, [True]))
    shares = {share.name: (share.available, share.realised) for share in found.chosen.strata}
    assert tuple(shares) == CLASSES
    classes = [name for name, counts in shares.items() if counts == (1, 1)]
    assert len(classes) == len(found.rows)
    return classes[0] if classes else None


LEVELS = [None, *(f"0.{tenth}" for tenth in range(10)), "1.0"]
RHOS = [
    None,
    "0",
    "0.0999999",
    "0.1",
    "0.1000001",
    "0.3999999",
    "0.4",
    "0.4000001",
    "1",
    "1.5999999",
    "1.6",
    "1.6000001",
]
RHOS += ["1.8999999", "1.9", "1.9000001", "250"]


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
@pytest.mark.parametrize("level", LEVELS)
def test_pism_at_every_level(level: str | None, dtype: type[pl.DataType]) -> None:
    column = pl.Series([None if level is None else float(level)], dtype=dtype)
    for inclusive in (True, False):
        select = {"pism": "level", "easy_inclusive": inclusive}
        assert one(select, level=column) == pism(level, None, asked=False, inclusive=inclusive)
        for solved in (True, False, None):
            found = one({**select, "solved": "ok"}, level=column, ok=pl.Series([solved], dtype=pl.Boolean))
            assert found == pism(level, solved, asked=True, inclusive=inclusive)


def test_a_level_that_was_summed_up_is_still_its_tenth() -> None:
    assert 0.1 + 0.1 + 0.1 != 0.3
    for times, wanted in ((3, "hard"), (4, "hard"), (6, "medium"), (7, "easy")):
        level = float(np.cumsum([0.1] * times)[-1])
        assert one({"pism": "level"}, level=pl.Series([level])) == wanted


@pytest.mark.parametrize("level", [0.45, 4.0, -0.1, 1.1])
def test_a_level_that_is_no_tenth_is_refused(level: float) -> None:
    found = carry_out(
        {"method": "difficulty", "pism": "level"}, Table([(1, 0, "a")], {"level": pl.Series([level])}, [True])
    )
    (error,) = found.findings.errors
    assert error.code == "execute.column-type"
    assert f"such as {level}" in error.headline


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
@pytest.mark.parametrize("rho", RHOS)
def test_cmab_at_every_border(rho: str | None, dtype: type[pl.DataType]) -> None:
    column = pl.Series([None if rho is None else float(rho)], dtype=dtype)
    for solved in (True, False, None):
        found = one({"cmab": "rho", "solved": "ok"}, rho=column, ok=pl.Series([solved], dtype=pl.Boolean))
        assert found == cmab(rho, solved)


def test_solved_may_be_a_number_of_right_answers() -> None:
    for right, wanted in ((0, "unsolved"), (1, "hard"), (10, "hard"), (None, "hard")):
        column = pl.Series([right], dtype=pl.Int64)
        assert one({"pism": "level", "solved": "right"}, level=pl.Series([0.2]), right=column) == wanted


@st.composite
def tables(draw: st.DrawFn) -> Table:
    drawn = draw(names())
    levels = draw(st.lists(st.sampled_from(LEVELS), min_size=len(drawn), max_size=len(drawn)))
    solved = draw(st.lists(st.sampled_from([True, True, False, None]), min_size=len(drawn), max_size=len(drawn)))
    alive = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=len(drawn), max_size=len(drawn)))
    columns = {
        "level": pl.Series([None if level is None else float(level) for level in levels], dtype=pl.Float64),
        "ok": pl.Series(solved, dtype=pl.Boolean),
    }
    return Table(drawn, columns, alive)


keeps = st.lists(st.sampled_from(CLASSES), min_size=1, max_size=4, unique=True)


def classes_of(table: Table) -> list[str | None]:
    values = zip(table.columns["level"], table.columns["ok"], strict=True)
    return [
        pism(None if level is None else f"{level:.1f}", solved, asked=True, inclusive=True) for level, solved in values
    ]


@settings(max_examples=150)
@given(tables(), keeps)
def test_a_selection_is_its_classes(table: Table, keep: list[str]) -> None:
    select = {"method": "difficulty", "pism": "level", "solved": "ok", "keep": keep}
    found = carry_out(select, table, watched=True)
    classes = classes_of(table)
    assert found.rows == {row for row, name in enumerate(classes) if table.alive[row] and name in keep}
    counts = Counter(name for name, alive in zip(classes, table.alive, strict=True) if alive)
    assert {share.name: share.available for share in found.chosen.strata} == {name: counts[name] for name in CLASSES}
    assert [share.realised for share in found.chosen.strata] == [counts[n] if n in keep else 0 for n in CLASSES]
    warned = [warning.code for warning in found.findings.diagnostics]
    assert warned == ["note.unscored"] * bool(counts[None])
    for row, met in enumerate(found.met):
        assert (met is not None) == table.alive[row]
        if met is not None:
            assert (met.verdict, met.values["class"]) == (
                "taken" if row in found.rows else "left out",
                classes[row] or "none",
            )


@settings(max_examples=150)
@given(tables(), keeps, st.booleans())
def test_a_control_is_the_first_of_the_keyed_order_of_all_that_are_offered(
    table: Table, keep: list[str], by_pool: bool
) -> None:
    select = {"method": "difficulty", "pism": "level", "solved": "ok", "keep": keep}
    wanted = carry_out(select, table).rows
    by = {"by": "pool"} if by_pool else {}
    found = carry_out({**select, "control": "random", **by}, table, watched=True)
    ties = tie_breaks(table)
    expected: set[int] = set()
    for pool in ("a", "b") if by_pool else (None,):
        inside = [row for row, name in enumerate(table.names) if pool in (None, name[2])]
        offered = sorted((row for row in inside if table.alive[row]), key=lambda row: ties[row])
        expected |= set(offered[: len(wanted & set(inside))])
    assert found.rows == expected
    assert len(found.rows) == len(wanted)
    realised = Counter(classes_of(table)[row] for row in found.rows)
    assert {share.name: share.realised for share in found.chosen.strata} == {name: realised[name] for name in CLASSES}
    for row, met in enumerate(found.met):
        if met is not None and met.rank is not None:
            assert (row in found.rows) == (met.rank <= (met.threshold or 0))


def test_a_control_says_what_each_class_has_of_it_on_average() -> None:
    columns = {"level": pl.Series([0.1, 0.1, 0.5, 0.0, 0.0, 0.0, 0.9, 0.9])}
    table = Table([(row, 0, "ab"[row % 2]) for row in range(8)], columns, [True] * 8)
    found = carry_out({"method": "difficulty", "pism": "level", "control": "random"}, table)
    # Three of eight, of which two are hard, one is medium, three are unsolved and two are easy.
    assert [share.requested for share in found.chosen.strata] == ["3/4", "3/8", "3/4", "9/8"]
    found = carry_out({"method": "difficulty", "pism": "level", "control": "random", "by": "pool"}, table)
    parts = [Fraction(share.requested) for share in found.chosen.strata]
    # Pool a: hard, medium, unsolved, easy, and two are taken. Pool b: hard, unsolved twice, easy, and one is taken.
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    assert parts == [half + quarter, half, half + quarter, half + 2 * quarter]


@settings(max_examples=80)
@given(tables(), st.integers(0, 30))
def test_a_sample_that_goes_changes_a_class_by_itself_and_a_control_by_its_count(table: Table, gone: int) -> None:
    gone %= len(table.names)
    fewer = table.without([gone])
    for select in ({"pism": "level"}, {"pism": "level", "control": "random"}):
        before = {table.names[row] for row in carry_out({"method": "difficulty", **select}, table).rows}
        after = {fewer.names[row] for row in carry_out({"method": "difficulty", **select}, fewer).rows}
        lost = before & {table.names[gone]}
        if "control" not in select:
            assert before - lost == after
        else:
            assert len(before ^ after) == len(lost) + abs(len(after) - len(before - lost))


# Votes


@st.composite
def ballots(draw: st.DrawFn) -> Table:
    drawn = draw(names())
    score = st.lists(st.sampled_from([None, 0.0, 0.5, 1.0, 2.0]), min_size=len(drawn), max_size=len(drawn))
    columns = {name: pl.Series(draw(score), dtype=pl.Float64) for name in ("x", "y", "z")}
    alive = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=len(drawn), max_size=len(drawn)))
    return Table(drawn, columns, alive)


def elected(table: Table, top: Fraction, count: int) -> tuple[list[int], list[dict[str, int]]]:
    """(rows by votes and keyed order, the votes of each row)."""
    ties = tie_breaks(table)
    votes: list[dict[str, int]] = [{} for _ in table.names]
    for name, column in table.columns.items():
        scored = [row for row in range(len(ties)) if table.alive[row] and column[row] is not None]
        scored.sort(key=lambda row: (-column[row], ties[row]))
        for place, row in enumerate(scored):
            votes[row][name] = int(place < int(len(scored) * top))
    able = [row for row in range(len(ties)) if votes[row]]
    able.sort(key=lambda row: (-sum(votes[row].values()), ties[row]))
    return able[:count], votes


TOPS = {"20%": Fraction(1, 5), "1/3": Fraction(1, 3), "100%": Fraction(1)}


@settings(max_examples=200)
@given(ballots(), st.sampled_from(sorted(TOPS)), st.integers(0, 24))
def test_votes_are_those_of_a_count_by_hand(table: Table, top: str, count: int) -> None:
    select = {"method": "vote", "budget": {"count": count}, "scores": ["x", "y", "z"], "top": top}
    found = carry_out(select, table, watched=True)
    wanted, votes = elected(table, TOPS[top], count)
    assert found.rows == set(wanted)
    short = [error.code for error in found.findings.errors]
    assert short == ["execute.short"] * (len(wanted) < count)
    for row, met in enumerate(found.met):
        assert (met is not None) == bool(votes[row])
        if met is not None:
            told = {name: met.values[f"vote of {name}"] for name in "xyz"}
            assert told == {name: votes[row].get(name, 0) for name in "xyz"}
            assert met.values["score"] == sum(votes[row].values())
            assert (row in found.rows) == ((met.rank or 0) <= (met.threshold or 0))


@settings(max_examples=120)
@given(ballots(), st.integers(0, 24), st.lists(st.integers(0, 23), min_size=1, max_size=3, unique=True))
def test_the_churn_of_votes_is_bounded(table: Table, count: int, gone: list[int]) -> None:
    def chosen(of: Table, budget: int) -> set[tuple[int, int, str]]:
        select = {"method": "vote", "budget": {"count": budget}, "scores": ["x", "y", "z"]}
        return {of.names[row] for row in carry_out(select, of).rows}

    assert chosen(table, count) <= chosen(table, count + 1)
    rows = [row for row in gone if row < len(table.names)]
    if len(rows) < len(table.names):
        fewer = table.without(rows)
        assert len(chosen(table, count) ^ chosen(fewer, count)) <= 2 * len(rows) * (3 + 1)
