"""Selections by vectors against greedy ones in Python's whole numbers: each step looks at everything again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler import kernels
from recipe_compiler.execute.methods import spread
from tests.support import REPOSITORY, compile_text, draws, questions, run_recipe, write_jsonl
from tests.tables import Table, carry_out, keyed_hashes, names, tie_breaks

Vector: TypeAlias = tuple[int, ...]
Near: TypeAlias = Callable[[int, int], int]
UNIT = 32_767
WHOLE = UNIT * UNIT

# The oracle


def rounded(numbers: Sequence[float | None] | None) -> Vector | None:
    """The vector of length `UNIT` in the same direction, each number rounded, half away from zero."""
    if not numbers or any(number is None or not np.isfinite(number) for number in numbers) or not any(numbers):
        return None
    with localcontext() as context:
        context.prec = 60
        exact = [Decimal(number) for number in numbers if number is not None]
        length = sum(number * number for number in exact).sqrt()
        return tuple(int((number / length * UNIT).quantize(Decimal(1), ROUND_HALF_UP)) for number in exact)


def similarity(one: Vector, other: Vector) -> int:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return max(-WHOLE, min(WHOLE, product))


def deita(rows: list[int], near: Near, threshold: Fraction) -> list[int]:
    """Rows by score, less those that are too near to a taken one."""
    taken: list[int] = []
    for row in rows:
        if all(near(row, other) <= threshold * WHOLE for other in taken):
            taken.append(row)
    return taken


def one_by_one(rows: list[int], price: Callable[[int, list[int]], Any]) -> list[int]:
    """Always the least price, given what is taken; `rows` stand in the order of ties."""
    taken: list[int] = []
    while len(taken) < len(rows):
        taken.append(min((row for row in rows if row not in taken), key=lambda row: price(row, taken)))
    return taken


def k_center(rows: list[int], near: Near) -> list[int]:
    return one_by_one(rows, lambda row, taken: max((near(row, other) for other in taken), default=0))


def mmr(rows: list[int], near: Near, scores: Sequence[float], relevance: Fraction) -> list[int]:
    def price(row: int, taken: list[int]) -> Fraction:
        worth = round(Fraction(scores[row]) * WHOLE)
        return (1 - relevance) * max((near(row, other) for other in taken), default=0) - relevance * worth

    return one_by_one(rows, price)


def facility(rows: list[int], near: Near, neighbours: int | None) -> list[int]:
    def counted(row: int, other: int) -> bool:
        """Whether `row` counts `other`: itself, or one of its nearest."""
        if neighbours is None or row == other:
            return True
        others = [one for one in rows if one != row]
        others.sort(key=lambda one: (-near(row, one), rows.index(one)))
        return other in others[:neighbours]

    counts = {(row, other) for row in rows for other in rows if counted(row, other)}

    def total(taken: list[int]) -> int:
        return sum(max([0, *(near(row, other) for other in taken if (row, other) in counts)]) for row in rows)

    return one_by_one(rows, lambda row, taken: -total([*taken, row]))


# Small tables


@st.composite
def tables(draw: st.DrawFn, most: int = 12) -> Table:
    """Samples with short vectors, many of which are equal, opposite, or missing."""
    drawn = draw(names(most))
    num, width = len(drawn), draw(st.integers(1, 3))
    vector = st.lists(st.integers(-2, 2).map(float), min_size=width, max_size=width)
    odd = st.sampled_from([None, [], [0.0] * width, [float("nan")] * width, [1.0] * (width - 1) + [None]])
    vectors = draw(st.lists(st.one_of(vector, vector, vector, vector, odd), min_size=num, max_size=num))
    inner = draw(st.sampled_from([pl.Float32, pl.Float64]))
    scores = draw(st.lists(st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]), min_size=num, max_size=num))
    alive = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=num, max_size=num))
    columns = {
        "v": pl.Series(vectors, dtype=pl.List(inner)),
        "score": pl.Series(scores, dtype=pl.Float64),
    }
    return Table(drawn, columns, alive)


METHODS: dict[str, dict[str, Any]] = {
    "deita": {"method": "deita", "score": "score"},
    "deita 50%": {"method": "deita", "score": "score", "threshold": "50%"},
    "deita 100%": {"method": "deita", "score": "score", "threshold": "100%"},
    "k_center": {"method": "k_center"},
    "mmr": {"method": "mmr", "score": "score"},
    "mmr 0%": {"method": "mmr", "score": "score", "relevance": "0%"},
    "mmr 70%": {"method": "mmr", "score": "score", "relevance": "70%"},
    "facility_location": {"method": "facility_location"},
    "facility_location 2": {"method": "facility_location", "neighbours": 2},
}


def sequence(name: str, table: Table) -> list[int]:
    """What the oracle takes, first to last, without a budget."""
    vectors = [rounded(numbers) for numbers in table.columns["v"].to_list()]
    scores = table.columns["score"].to_list()
    scored = METHODS[name].get("score") is not None
    ties = tie_breaks(table)
    able = [row for row, alive in enumerate(table.alive) if alive and vectors[row] is not None]
    rows = sorted((row for row in able if not scored or scores[row] is not None), key=lambda row: ties[row])

    def near(one: int, other: int) -> int:
        return similarity(vectors[one] or (), vectors[other] or ())

    kind, _, setting = name.partition(" ")
    part = Fraction(setting.removesuffix("%") or "50") / 100
    match kind:
        case "deita":
            rows.sort(key=lambda row: -scores[row])
            return deita(rows, near, part if setting else Fraction(9, 10))
        case "k_center":
            return k_center(rows, near)
        case "mmr":
            return mmr(rows, near, scores, part)
        case _:
            return facility(rows, near, int(setting) if setting else None)


def within(rows: list[int], table: Table, budget: dict[str, int]) -> list[int]:
    """The beginning of a sequence that a budget pays for."""
    if "count" in budget:
        return rows[: budget["count"]]
    tokens, left, taken = table.frame["tokens"], budget["tokens"], []
    for row in rows:
        if tokens[row] > left:
            break
        left -= tokens[row]
        taken.append(row)
    return taken


budgets = st.one_of(
    st.builds(lambda count: {"count": count}, st.integers(0, 13)),
    st.builds(lambda tokens: {"tokens": tokens}, st.integers(0, 30)),
)


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=100, deadline=None)
@given(table=tables(), budget=budgets)
def test_it_takes_what_the_oracle_takes(name: str, table: Table, budget: dict[str, int]) -> None:
    found = carry_out({**METHODS[name], "embedding": "v", "budget": budget}, table, watched=True)
    whole = sequence(name, table)
    wanted = within(whole, table, budget)
    assert found.rows == set(wanted)
    codes = [error.code for error in found.findings.errors]
    tokens = table.frame["tokens"].to_list()
    if "count" in budget:
        assert codes == ["execute.short"] * (len(wanted) < budget["count"])
    else:
        able = {row for row, met in enumerate(found.met) if met is not None}
        unused = budget["tokens"] - sum(tokens[row] for row in wanted)
        assert codes == ["execute.short"] * (unused >= max((tokens[row] for row in able), default=0))
    vectors = [rounded(numbers) for numbers in table.columns["v"].to_list()]
    for row, met in enumerate(found.met):
        if met is None:
            assert row not in found.rows
            continue
        assert (met.verdict == "taken") == (row in found.rows)
        assert met.rank == (wanted.index(row) + 1 if row in wanted else None)
        assert met.threshold == (len(wanted) if row in wanted else None)
        before = wanted[: wanted.index(row)] if row in wanted else wanted
        if before:
            nearest = max(similarity(vectors[row] or (), vectors[other] or ()) for other in before)
            assert met.values["similarity"] == round(nearest / WHOLE, 4)
        if name.startswith("deita") and row not in found.rows and row in sequence(name, table):
            assert met.note == "the budget is used up"


@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("facility")])
@settings(max_examples=40, deadline=None)
@given(table=tables(), count=st.integers(0, 12), gone=st.integers(0, 11))
def test_what_is_not_taken_can_go(name: str, table: Table, count: int, gone: int) -> None:
    select = {**METHODS[name], "embedding": "v", "budget": {"count": count}}
    before = carry_out(select, table).rows
    left = [row for row in range(len(table.names)) if row not in before]
    if left and (len(left) < len(table.names)):
        fewer = table.without([left[gone % len(left)]])
        after = carry_out(select, fewer).rows
        assert {table.names[row] for row in before} == {fewer.names[row] for row in after}


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=40, deadline=None)
@given(table=tables(), count=st.integers(0, 12))
def test_a_larger_budget_only_adds(name: str, table: Table, count: int) -> None:
    smaller = carry_out({**METHODS[name], "embedding": "v", "budget": {"count": count}}, table).rows
    larger = carry_out({**METHODS[name], "embedding": "v", "budget": {"count": count + 1}}, table).rows
    assert smaller <= larger
    assert len(larger) <= len(smaller) + 1


@settings(max_examples=100)
@given(tables())
def test_what_has_no_vector_is_counted(table: Table) -> None:
    found = carry_out({**METHODS["k_center"], "embedding": "v", "budget": {"count": 0}}, table)
    without = sum(
        alive and rounded(numbers) is None
        for alive, numbers in zip(table.alive, table.columns["v"].to_list(), strict=True)
    )
    warned = [warning.headline for warning in found.findings.diagnostics]
    assert [headline.split()[0] for headline in warned] == [str(without)] * bool(without)


# Larger ones: what is done together, in parts and in the cache gives what is done one by one


def many(rows: int, numbers: int) -> kernels.I16:
    """Vectors around a few centres, some of them equal, by a hash."""
    key = np.arange(rows, dtype=np.uint64)
    spread = keyed_hashes(
        1,
        high=np.repeat(key % (rows * 9 // 10), numbers),
        low=np.tile(np.arange(numbers, dtype=np.uint64), rows),
        turn=np.zeros(rows * numbers, dtype=np.uint64),
    )
    centre = keyed_hashes(
        2,
        high=np.repeat(key % 9, numbers),
        low=np.tile(np.arange(numbers, dtype=np.uint64), rows),
        turn=np.zeros(rows * numbers, dtype=np.uint64),
    )
    table = (spread >> 40).astype(np.float64) + (centre >> 39).astype(np.float64) - 3 * 2.0**23
    vectors, there = kernels.quantise(table.reshape(rows, numbers), np.arange(rows, dtype=np.uint32))
    assert there.all()
    return vectors


def gram(vectors: kernels.I16) -> kernels.I64:
    """All similarities. Sums of whole numbers below 2**53 are exact in floats."""
    return np.clip(vectors.astype(np.float64) @ vectors.T.astype(np.float64), -WHOLE, WHOLE).astype(np.int64)


def test_a_large_table_is_chosen_from_as_a_small_one() -> None:
    vectors = many(1500, 24)
    near, rows = gram(vectors), np.arange(1500)
    taken, closest = [0], near[0].copy()
    while len(taken) < 60:
        closest[taken] = WHOLE + 1
        taken.append(int(np.argmin(closest)))
        closest = np.maximum(closest, near[taken[-1]])
    assert kernels.k_center(vectors, (60, None)).tolist() == taken

    most = int(Fraction(9, 10) * WHOLE)
    accepted: list[int] = []
    blocked = np.full(1500, 2**32 - 1, dtype=np.uint32)
    for row in rows:
        over = np.flatnonzero(near[row, accepted] > most)
        if len(over):
            blocked[row] = accepted[int(over[0])]
        else:
            accepted.append(int(row))
    assert 9 < len(accepted) < 1400
    found, by = kernels.distinct(vectors, most, (1500, None))
    assert (found.tolist(), by.tolist()) == (accepted, blocked.tolist())

    for neighbours in (None, 20):
        counted = np.maximum(near, 0)
        if neighbours is not None:
            others = np.where(np.eye(1500, dtype=bool), -WHOLE - 1, near)
            nearest = np.argsort(-others, axis=1, kind="stable")[:, :neighbours]
            found_others, found_near = kernels.nearest(vectors, neighbours)
            assert (found_others == nearest).all()
            assert (found_near == np.take_along_axis(near, nearest, axis=1)).all()
            kept = np.eye(1500, dtype=bool)
            np.put_along_axis(kept, nearest, True, axis=1)
            counted = np.where(kept, counted, 0)
        cover, chosen = np.zeros(1500, dtype=np.int64), []
        for _ in range(40):
            added = np.maximum(counted - cover[:, None], 0).sum(axis=0)
            added[chosen] = -1
            chosen.append(int(np.argmax(added)))
            cover = np.maximum(cover, counted[:, chosen[-1]])
        assert kernels.facility(vectors, neighbours, (40, None)).tolist() == chosen


@pytest.mark.parametrize("name", METHODS)
def test_what_would_take_too_long_is_refused_with_its_cost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = [[float(row), 1.0, 2.0] for row in range(10)]
    columns = {"v": pl.Series(vectors), "score": pl.Series([0.5] * 10)}
    table = Table([(row, 0, "a") for row in range(10)], columns, [True] * 10)
    select = {**METHODS[name], "embedding": "v", "budget": {"count": 1}}
    pairs = {"facility_location": 100, "facility_location 2": 45}.get(name, 10)
    monkeypatch.setattr(spread, "MOST_PRODUCTS", pairs * 3)
    assert len(carry_out(select, table).rows) == 1
    monkeypatch.setattr(spread, "MOST_PRODUCTS", pairs * 3 - 1)
    (error,) = carry_out(select, table).findings.errors
    assert error.code == "execute.too-many"
    assert f"{pairs} pairs of vectors of 3 numbers" in error.headline
    assert ("count `neighbours` only" in error.help) == (name == "facility_location")


def test_lists_and_arrays_of_any_numbers_are_vectors(tmp_path: Path) -> None:
    """An annotation carries both, and two tables that give one column need not agree on its type."""
    write_jsonl(tmp_path / "a.jsonl", questions("a", 6))
    vectors = [[1, 0], [0, 1], [1, 1], [-1, 0], [2, 1], [1, 0]]
    first = pl.DataFrame(
        {"key": [f"a-{row}" for row in range(3)], "v": pl.Series(vectors[:3], dtype=pl.Array(pl.Float32, 2))}
    )
    second = pl.DataFrame(
        {"key": [f"a-{row}" for row in range(3, 6)], "v": pl.Series(vectors[3:], dtype=pl.List(pl.Float64))}
    )
    first.write_parquet(tmp_path / "first.parquet")
    second.write_parquet(tmp_path / "second.parquet")
    (tmp_path / "whole.jsonl").write_text(
        "".join(json.dumps({"key": f"a-{row}", "v": vector}) + "\n" for row, vector in enumerate(vectors))
    )
    found = []
    for number, sources in enumerate((["first.parquet", "second.parquet"], ["whole.jsonl"])):
        recipe = {
            "recipe": 1,
            "name": "mix",
            "pools": {"a": {"source": "a.jsonl"}},
            "annotations": [{"source": source, "match": "key"} for source in sources],
            "select": {"method": "k_center", "budget": {"count": 3}, "embedding": "v"},
        }
        compile_text(tmp_path, json.dumps(recipe), out=f"out{number}")
        found.append(draws(tmp_path / f"out{number}")["sample_id"].to_list())
    assert found[0] == found[1]
    assert len(found[0]) == 3
    ran = run_recipe("explain", "out1", "a-0", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "select 3 as centres by v" in ran.out
    assert "similarity" in ran.out


DIGEST = """
from recipe_compiler import kernels
from tests.properties.test_spread import many
import numpy as np
vectors = many(1200, 40)
worth = (np.arange(1200) * 7919 % 1200) * 10**5
found = [
    vectors, kernels.k_center(vectors, (90, None)), *kernels.distinct(vectors, 9 * 10**8, (300, None)),
    kernels.relevance(vectors, worth, (7, 10), (90, None)), *kernels.nearest(vectors, 11),
    kernels.facility(vectors, None, (30, None)), kernels.facility(vectors, 11, (90, None)),
]
print(kernels.digest_parts("spread", [part.ravel() for part in found]))
"""


def test_any_number_of_threads_takes_the_same() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "3", "8")
    }
    assert len(said) == 1
    # The same on every machine.
    assert said == {"5201fdafac7a6a4a729ec194790f0e54cc3531ce6735f8c64beeccd622817954\n"}
