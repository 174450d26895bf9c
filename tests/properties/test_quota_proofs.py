"""What quotas of very many samples rest on: programs that begin at a guess, proofs over all samples, bits of conditions."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, milp

from recipe_compiler import kernels
from recipe_compiler.execute.expressions import bits, holds
from recipe_compiler.execute.quotas.offer import Offer, cells_of, system_of
from recipe_compiler.execute.quotas.proof import excluded, fewest, part_of, plain, priced_of
from recipe_compiler.execute.quotas.requests import Part, Parts
from recipe_compiler.execute.quotas.settle import MOST, Settled, settle
from recipe_compiler.execute.quotas.solver import relax
from recipe_compiler.execute.quotas.system import INFINITY, Asked, Row
from tests.properties.test_quotas_large import ROWS, choose, samples

CONDITIONS = 6


def offer_of(chance: np.random.Generator, rows: int, *, in_tokens: bool = False) -> tuple[Offer, np.ndarray]:
    """Samples with conditions that hold by chance, and which hold for which."""
    held = chance.random((CONDITIONS, rows)) < chance.uniform(0.1, 0.7, (CONDITIONS, 1))
    marks = [kernels.Bits(np.packbits(one, bitorder="little"), 0, rows) for one in held]
    parts = tuple(Part(quota=number, name=f"c{number}", value=1) for number in range(CONDITIONS))
    high, low = (chance.integers(0, 2**63, rows, dtype=np.uint64) for _ in range(2))
    none = np.zeros(rows, dtype=np.uint32)
    value = np.round(chance.random(rows), 2)
    tokens = chance.integers(1, 90, rows).astype(np.uint64)
    return Offer(
        keys=kernels.Keys(high=high, low=low, occurrence=none, pool=none),
        able=np.ones(rows, dtype=np.bool_),
        value=value,
        worth=value * tokens if in_tokens else value,
        tokens=tokens,
        parts=Parts(codes=kernels.packed_codes(marks, [2] * CONDITIONS), parts=parts),
        in_tokens=in_tokens,
    ), held


def rows_of(chance: np.random.Generator, held: np.ndarray, budget: int) -> list[Row]:
    """A budget and bounds around what is there, some of them too far."""
    rows = [Row(Asked("budget"), "the budget", tokens=False, lower=budget, upper=budget, share=1.0)]
    for number, share in enumerate(held.mean(axis=1)):
        low = float(round(budget * share * chance.uniform(0.5, 1.6)))
        high = float(round(budget * share * chance.uniform(0.6, 2)))
        if at_least := chance.random() < 0.6:
            rows.append(Row(Asked("min", number), f"c{number}", tokens=False, lower=low, upper=INFINITY))
        if not at_least or chance.random() < 0.4:
            rows.append(Row(Asked("max", number), f"c{number}", tokens=False, lower=-INFINITY, upper=high))
    return rows


def met(rows: list[Row], held: np.ndarray) -> bool:
    """Whether another solver finds whole samples that meet the rows."""
    cells, sizes = np.unique(held.T, axis=0, return_counts=True)
    entries = [np.ones(len(cells)) if row.asked.kind == "budget" else cells[:, row.asked.quota] for row in rows]
    bounds = LinearConstraint(np.array(entries, dtype=float), [row.lower for row in rows], [row.upper for row in rows])
    found = milp(np.zeros(len(cells)), constraints=bounds, integrality=np.ones(len(cells)), bounds=(0, sizes))
    return found.x is not None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.0, 0.3, 5.0, 1e4]), in_tokens=st.booleans())
@example(seed=1727, size=5.0, in_tokens=True)
def test_a_guess_at_prices_changes_nothing(seed: int, size: float, in_tokens: bool) -> None:
    chance = np.random.default_rng(seed)
    offer, held = offer_of(chance, 300, in_tokens=in_tokens)
    rows = rows_of(chance, held, 90)
    system = system_of(offer, cells_of(offer.parts, offer.able), rows)
    plainly = relax(system)
    for guess in (size * chance.normal(size=len(rows)), plainly.prices):
        found = relax(system, guess)
        assert found.missed == plainly.missed
        if not found.missed:
            assert found.value == pytest.approx(plainly.value, rel=1e-7, abs=1e-6)
            assert system.sums(system.columns, found.amounts)[0] == pytest.approx(90, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_proved_to_exclude_each_other_does(seed: int) -> None:
    chance = np.random.default_rng(seed)
    offer, held = offer_of(chance, 3_000)
    rows = rows_of(chance, held, int(chance.integers(100, 2_000)))
    part = part_of(offer, 5)
    prices = excluded(offer, rows, part)
    # All but a few samples are in the part: what it does not prove is not far from possible.
    if prices is None:
        loose = [replace(row, lower=row.lower * 0.9, upper=row.upper * 1.1) for row in rows]
        assert met(loose, held)
        return
    assert not met(rows, held)
    left = priced_of(rows, fewest(offer, rows, part, prices))
    assert not met([row for row in rows if row.asked in left], held)
    for one in left:
        rest = [row for row in rows if row.asked in left and row.asked != one]
        loose = [replace(row, lower=row.lower * 0.9, upper=row.upper * 1.1) for row in rest]
        assert not rest or met(loose, held)


def test_a_proof_takes_no_account_of_targets() -> None:
    chance = np.random.default_rng(1)
    offer, _ = offer_of(chance, 40_000)
    rows = [
        Row(Asked("budget"), "the budget", tokens=False, lower=10_000, upper=10_000, share=1.0),
        Row(Asked("max", 0), "c0", tokens=False, lower=-INFINITY, upper=500),
        Row(Asked("target", 0), "c0", tokens=False, lower=9_000, upper=9_000),
        *(
            Row(Asked("min", number), f"c{number}", tokens=False, lower=0, upper=INFINITY)
            for number in range(1, CONDITIONS)
        ),
    ]
    assert excluded(offer, rows, part_of(offer, 5)) is None


def test_samples_that_are_all_worth_the_same_are_settled_in_the_keyed_order() -> None:
    chance = np.random.default_rng(8)
    offer, held = offer_of(chance, 12 * MOST)
    share = held.mean(axis=1)
    rows = [Row(Asked("budget"), "the budget", tokens=False, lower=9_000, upper=9_000, share=1.0)]
    rows += [
        Row(Asked("min", number), f"c{number}", tokens=False, lower=round(9_000 * share[number] * 1.1), upper=INFINITY)
        for number in range(CONDITIONS)
    ]
    found = settle(plain(offer), rows, 5)
    assert isinstance(found, Settled)
    assert found.fixed.sum() + found.optimum.amounts.sum() == 9_000
    # Few samples were left to the program.
    assert len(found.rows) <= 4 * MOST


@cache
def refusal(quotas: str) -> tuple[str, list[int]]:
    _, findings = choose(f"  budget: {{count: {ROWS // 5}}}\n{quotas}")
    (told,) = findings.errors
    assert told.code == "execute.quotas"
    lines = sorted(span.line for span in (told.span, *(place.span for place in told.places)) if span is not None)
    return told.help or "", lines


MANY = "  quotas:\n    - {by: pool, max: 20%}\n    - {by: style, min: 20%}\n" + "".join(
    f"    - {{where: c{number} >= 4, min: {35 + number}%}}\n" for number in range(6)
)


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ("    - {where: c0 <= 3, min: 70%}\n", [9, 15]),
        ("    - {where: c3 >= 5, max: 3%}\n    - {where: c3 == 4, max: 30%}\n", [12, 15, 16]),
        ("    - {by: style, min: 34%}\n", [15]),
    ],
)
def test_a_conflict_among_many_quotas_is_small_and_its_ways_out_work(more: str, lines: list[int]) -> None:
    help_, found = refusal(MANY + more)
    assert [line for line in found if line != 5] == lines
    options = help_.removeprefix("ask for ").split(", or for ")
    assert len(options) >= 1
    for option in options:
        text = f"recipe: 1\nname: large\npools: {{p: {{source: p.jsonl}}}}\nselect:\n  budget: {{count: {ROWS // 5}}}\n{MANY}{more}"
        changed = text.splitlines()
        for kind, written, line in re.findall(r"`(min|max|budget): ([^`]+)` in line (\d+)", option):
            changed[int(line) - 1] = re.sub(
                rf"{kind}: (\{{[^}}]*\}}|[^,}}]+)", f"{kind}: {written}", changed[int(line) - 1]
            )
        _, findings = choose("\n".join(changed[4:]) + "\n")
        assert not findings.errors, option


def test_bits_are_what_holds() -> None:
    frame = samples().frame.select("c0", "c1", "style").slice(3, 1_001)
    frame = frame.with_columns(gone=pl.when(pl.col("c0") > 1).then("c1"))
    frame = pl.concat([frame, frame.slice(5, 70)], rechunk=False)
    conditions = [
        pl.col("c0") >= 4,
        (pl.col("gone") <= 2).fill_null(False),
        pl.lit(True),
        pl.col("style").cast(pl.String) == "a",
    ]
    for condition, found in zip(conditions, bits(frame, conditions), strict=True):
        unpacked = np.unpackbits(found.packed, bitorder="little")[found.start : found.start + found.rows]
        assert unpacked.astype(bool).tolist() == holds(frame, condition).tolist()
    assert bits(frame, []) == []
