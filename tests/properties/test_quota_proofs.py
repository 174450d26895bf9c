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
from recipe_compiler.execute.quotas import cooling, standing
from recipe_compiler.execute.quotas.offer import Offer, cells_of, system_of
from recipe_compiler.execute.quotas.proof import decided, fewest, gathered, plain, priced_of, proved
from recipe_compiler.execute.quotas.requests import Part, Parts
from recipe_compiler.execute.quotas.settle import MOST, Settled, Unsettled, settle
from recipe_compiler.execute.quotas.solver import relax
from recipe_compiler.execute.quotas.standing import MOST_NEAR, Standing
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
        keys=kernels.Keys(high=[high], low=[low], occurrence=none, pool=none),
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
@given(seed=st.integers(0, 2**32 - 1), near=st.sampled_from([40, MOST_NEAR]))
def test_whether_rows_can_be_met_is_what_another_solver_says(seed: int, near: int) -> None:
    """Also where few cells are near at a time, so that most are on a side and many change places."""
    chance = np.random.default_rng(seed)
    offer, held = offer_of(chance, 3_000)
    rows = rows_of(chance, held, int(chance.integers(100, 2_000)))
    cells, counted = gathered(offer, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "MOST_NEAR", near)
        found = decided(cells, counted, 5)
        if isinstance(found, Standing):
            assert split(rows, held)
            return
        assert not split(rows, held)
        fewer = fewest(cells, counted, 5, found)
    left = priced_of(rows, fewer.prices)
    assert not split([row for row in rows if row.asked in left], held)
    for one in left:
        assert split([row for row in rows if row.asked in left and row.asked != one], held)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), near=st.sampled_from([12, 40]), off=st.integers(-2, 2), in_tokens=st.booleans())
def test_bounds_that_are_met_or_missed_by_a_hair(seed: int, near: int, off: int, in_tokens: bool) -> None:
    """The last bound is as far as another solver says that it can be, or one or two samples or tokens on."""
    chance = np.random.default_rng(seed)
    offer, held = offer_of(chance, 2_000, in_tokens=in_tokens)
    units = offer.tokens if in_tokens else np.ones(2_000)
    rows = [replace(row, tokens=in_tokens) for row in tight(chance, held, units)]
    far = farthest(rows, held, units)
    if far is None:
        return
    rows[-1] = replace(rows[-1], lower=float(np.floor(far + 1e-6)) + off)
    cells, counted = gathered(offer, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "MOST_NEAR", near)
        patch.setattr(cooling, "_PART", 20)
        found = decided(cells, counted, 5)
    assert isinstance(found, Standing) == (off <= 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_many_samples_are_settled_by_a_hair(seed: int, off: int) -> None:
    chance = np.random.default_rng(seed)
    offer, held = offer_of(chance, 6 * MOST)
    rows = tight(chance, held, np.ones(6 * MOST))
    far = farthest(rows, held, np.ones(6 * MOST))
    assert far is not None
    rows[-1] = replace(rows[-1], lower=float(np.floor(far + 1e-6)) + off)
    found = settle(offer, rows, 5)
    if off > 0:
        assert isinstance(found, Unsettled)
        assert found.why is not None
        return
    assert isinstance(found, Settled)
    total = found.system.sums(found.system.columns, found.optimum.amounts)
    assert total == pytest.approx(np.round(total))
    for number, row in enumerate(rows):
        fixed = found.fixed if row.asked.kind == "budget" else found.fixed & held[row.asked.quota]
        assert row.lower <= fixed.sum() + round(total[number]) <= row.upper
    best = scored(offer, rows, held)
    had = float(offer.value[found.fixed].sum() + found.system.columns.slope @ found.optimum.amounts)
    assert had <= best + 1e-6 <= found.bound + 1e-3
    assert best - had <= 1e-3 * best


def tight(chance: np.random.Generator, held: np.ndarray, units: np.ndarray) -> list[Row]:
    """A budget, and at least so much of each condition: between its share and the farthest that those before it leave."""
    total = float(units.sum())
    budget = float(int(total * chance.uniform(0.1, 0.6)))
    rows = [Row(Asked("budget"), "the budget", tokens=False, lower=budget, upper=budget, share=1.0)]
    for number in range(CONDITIONS):
        rows.append(Row(Asked("min", number), f"c{number}", tokens=False, lower=0.0, upper=INFINITY))
        far = farthest(rows, held, units)
        share = budget * float(units[held[number]].sum()) / total
        assert far is not None
        rows[-1] = replace(rows[-1], lower=float(int(max(share + (far - share) * chance.uniform(0.2, 0.8), 0))))
    return rows


def entries(rows: list[Row], cells: np.ndarray) -> np.ndarray:
    ones = np.ones(len(cells))
    return np.array([ones if row.asked.kind == "budget" else cells[:, row.asked.quota] for row in rows], dtype=float)


def split(rows: list[Row], held: np.ndarray) -> bool:
    """Whether another solver finds parts of samples that meet the rows."""
    if not rows:
        return True
    cells, sizes = np.unique(held.T, axis=0, return_counts=True)
    bounds = LinearConstraint(entries(rows, cells), [row.lower for row in rows], [row.upper for row in rows])
    return milp(np.zeros(len(cells)), constraints=bounds, bounds=(0, sizes)).x is not None


def farthest(rows: list[Row], held: np.ndarray, units: np.ndarray) -> float | None:
    """The most that the last row can have beside the others, by another solver."""
    cells, which = np.unique(held.T, axis=0, return_inverse=True)
    sizes = np.bincount(which.ravel(), weights=units)
    *others, last = rows
    bounds = LinearConstraint(entries(others, cells), [row.lower for row in others], [row.upper for row in others])
    found = milp(-entries([last], cells)[0], constraints=bounds, bounds=(0, sizes))
    return None if found.x is None else -float(found.fun)


def scored(offer: Offer, rows: list[Row], held: np.ndarray) -> float:
    """The most that split samples can be worth, by another solver."""
    cells, sizes = np.unique(np.vstack([held, offer.value]).T, axis=0, return_counts=True)
    bounds = LinearConstraint(entries(rows, cells), [row.lower for row in rows], [row.upper for row in rows])
    return -float(milp(-cells[:, -1], constraints=bounds, bounds=(0, sizes)).fun)


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
    assert isinstance(decided(*gathered(offer, rows), 5), Standing)


def test_a_proof_is_of_whole_numbers() -> None:
    """Prices that are nearly right prove what is missed by a sample, and never what is met."""
    chance = np.random.default_rng(2)
    offer, held = offer_of(chance, 40_000)
    rows = [
        Row(Asked("max", 2), "c2", tokens=False, lower=-INFINITY, upper=INFINITY),
        Row(Asked("min", 0), "c0", tokens=False, lower=float(held[0].sum()), upper=INFINITY),
    ]
    prices = np.array([0.0, -1.0 / 3])
    assert proved(offer, [rows[0], replace(rows[1], lower=rows[1].lower + 1)], prices) is not None
    assert proved(offer, rows, prices) is None


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
