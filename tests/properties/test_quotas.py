"""Joint quotas: met exactly where they can be, near the optimum, and otherwise refused with a smallest conflict."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from recipe_compiler.diagnostics import Diagnostic, Rejected
from recipe_compiler.execute.quotas.solver import relax, whole
from recipe_compiler.execute.quotas.system import Asked, Columns, Row, System
from recipe_compiler.execute.run import Selection
from tests.choosing import Pools
from tests.support import write_jsonl

NUM_POOLS, NUM_CAPABILITIES, NUM_STYLES = 37, 14, 9


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Pools:
    folder = tmp_path_factory.mktemp("quotas")
    chance = np.random.default_rng(4)
    names = [*(f"c{number}" for number in range(NUM_CAPABILITIES)), "style", "score", "real"]
    columns = ", ".join(f"{name}: {name}" for name in names)
    lines = []
    for pool in range(NUM_POOLS):
        rows = [
            {
                "id": f"{pool}-{number}",
                "question": f"What is {pool} {number}?" + " very" * int(chance.integers(0, 40)),
                "answer": "It is.",
                "style": f"s{chance.integers(0, NUM_STYLES)}",
                "score": int(chance.integers(0, 6)),
                "real": float(chance.normal()),
                **{f"c{number}": int(chance.integers(0, 6)) for number in range(NUM_CAPABILITIES)},
            }
            for number in range(int(chance.integers(10, 160)))
        ]
        write_jsonl(folder / f"p{pool}.jsonl", rows)
        lines.append(f"  p{pool}: {{source: p{pool}.jsonl, fields: {{columns: {{{columns}}}}}}}\n")
    return Pools(folder, "recipe: 1\nname: quotas\npools:\n" + "".join(lines))


@cache
def everything(pools: Pools) -> pl.DataFrame:
    return pools.run("").frame


@dataclass(frozen=True)
class Quota:
    """A quota as it is written, and what it means."""

    by: str | None
    where: tuple[str, str, Any] | None
    bounds: dict[str, str]

    @property
    def text(self) -> str:
        about = (
            f"by: {self.by}"
            if self.by is not None
            else f"where: {self.where[0]} {self.where[1]} {_text(self.where[2])}"
        )  # type: ignore[index]
        return f"    - {{{about}, {', '.join(f'{kind}: {amount}' for kind, amount in self.bounds.items())}}}\n"

    def masks(self, frame: pl.DataFrame) -> list[Any]:
        if self.by is not None:
            values = frame[self.by].cast(pl.String)
            return [(values == value).to_numpy() for value in sorted(values.unique().to_list())]
        name, operator, value = self.where  # type: ignore[misc]
        column = frame[name]
        found = {">=": column >= value, "==": column == value, "<=": column <= value}[operator]
        return [found.to_numpy()]


def _text(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def amount(text: str, budget: int, kind: str) -> int:
    """A bound as a number: at least rounds up, at most down."""
    if text.endswith("%"):
        exact = Fraction(text[:-1]) / 100 * budget
        return -(-exact.numerator // exact.denominator) if kind == "min" else int(exact)
    return int(re.sub(r"[^0-9]", "", text))


def random_quotas(chance: np.random.Generator, most: int) -> list[Quota]:
    quotas = []
    for _ in range(int(chance.integers(1, most + 1))):
        kind = str(chance.choice(["min", "max", "both"], p=[0.45, 0.45, 0.1]))
        if chance.random() < 0.15:
            by, where = str(chance.choice(["pool", "style"])), None
            share = 100 / (NUM_POOLS if by == "pool" else NUM_STYLES)
        elif chance.random() < 0.3:
            by, where, share = None, ("style", "==", f"s{chance.integers(0, NUM_STYLES)}"), 100 / NUM_STYLES
        else:
            level = int(chance.integers(1, 6))
            by, where = None, (f"c{chance.integers(0, NUM_CAPABILITIES)}", ">=", level)
            share = 100 * (6 - level) / 6
        low, high = sorted((round(share * chance.uniform(0.3, 1.25), 1), round(share * chance.uniform(0.8, 2.2), 1)))
        bounds = {"min": f"{min(low, 100)}%"} if kind in ("min", "both") else {}
        if kind in ("max", "both"):
            bounds["max"] = f"{min(high, 100)}%"
        quotas.append(Quota(by, where, bounds))
    return quotas


def system(
    frame: pl.DataFrame, quotas: Sequence[Quota], budget: int
) -> list[tuple[tuple[int, str], Any, float, float]]:
    """Every bound: (which quota and bound, the samples it counts, at least, at most)."""
    rows: list[tuple[tuple[int, str], Any, float, float]] = [
        ((-1, "budget"), np.ones(frame.height, bool), budget, budget)
    ]
    for number, quota in enumerate(quotas):
        for mask in quota.masks(frame):
            for kind, text in quota.bounds.items():
                bound = amount(text, budget, kind)
                rows.append(
                    ((number, kind), mask, bound if kind == "min" else -np.inf, bound if kind == "max" else np.inf)
                )
    return rows


def optimum(rows: Sequence[Any], scores: Any, kept: set[tuple[int, str]] | None = None) -> float | None:
    """The largest sum of (whole) scores, by another solver's whole numbers; None where the rows cannot be met."""
    rows = [row for row in rows if kept is None or row[0] in kept]
    signature = np.array([row[1] for row in rows] + [scores]).T
    cells, which = np.unique(signature, axis=0, return_inverse=True)
    sizes = np.bincount(which.ravel(), minlength=len(cells))
    found = milp(
        -cells[:, -1].astype(float),
        constraints=LinearConstraint(
            csr_array(cells[:, :-1].T.astype(float)), [row[2] for row in rows], [row[3] for row in rows]
        ),
        integrality=np.ones(len(cells)),
        bounds=(0, sizes),
        options={"mip_rel_gap": 1e-5},
    )
    return None if found.x is None else -float(found.fun)


def selected(pools: Pools, text: str) -> Selection | Diagnostic:
    try:
        return pools.run(text)
    except Rejected as error:
        (told,) = error.findings.errors
        return told


def recipe(quotas: Sequence[Quota], budget: str, method: str) -> str:
    return f"select:\n  method: {method}\n  budget: {budget}\n  quotas:\n" + "".join(quota.text for quota in quotas)


def members(told: Diagnostic) -> set[tuple[int, str]]:
    """The requests that a refusal points at."""
    found = set()
    for span in (told.span, *(place.span for place in told.places)):
        assert span is not None
        lines = span.source.text.splitlines()
        if "budget:" in lines[span.line - 1]:
            found.add((-1, "budget"))
        else:
            kind = re.findall(r"\b(min|max): ", lines[span.line - 1][: span.column - 1])[-1]
            found.add((span.line - 2 - lines.index("  quotas:"), kind))
    return found


def relaxed(text: str, option: str) -> str:
    """The recipe with what a refusal offers: ``min: 5%` in line 9 and ...`."""
    lines = text.splitlines()
    for kind, written, line in re.findall(r"`(min|max|budget): ([^`]+)` in line (\d+)", option):
        at = int(line) - 1
        lines[at] = re.sub(rf"{kind}: (\{{[^}}]*\}}|[^,}}]+)", f"{kind}: {written}", lines[at])
    return "\n".join(lines) + "\n"


def check_one(pools: Pools, seed: int) -> str:
    chance = np.random.default_rng(seed)
    frame = everything(pools)
    quotas = random_quotas(chance, 60 if seed % 5 == 0 else 8)
    count = int(frame.height * chance.uniform(0.05, 0.6))
    scored = bool(chance.random() < 0.6)
    text = recipe(quotas, f"{{count: {count}}}", "top\n  score: score" if scored else "random")
    rows = system(frame, quotas, count)
    scores = frame["score"].to_numpy()
    best = optimum(rows, scores if scored else np.zeros(frame.height))
    found = selected(pools, text)
    if best is None:
        assert isinstance(found, Diagnostic), f"seed {seed}: met what cannot be met"
        assert found.code == "execute.quotas"
        conflict = members(found)
        nothing = np.zeros(frame.height)
        assert optimum(rows, nothing, conflict) is None, f"seed {seed}: what is told is no conflict"
        for member in conflict:
            assert optimum(rows, nothing, conflict - {member}) is not None, f"seed {seed}: {member} is not needed"
        options = (found.help or "").removeprefix("ask for ").split(", or for ")
        assert options and options[0].startswith("`"), f"seed {seed}: no way out"
        for option in options:
            again = selected(pools, relaxed(pools.head + text, option).removeprefix(pools.head))
            assert isinstance(again, Selection), f"seed {seed}: {option} does not help: {again}"
        return "refused"
    assert isinstance(found, Selection), f"seed {seed}: {found}"
    taken = found.times > 0
    for asked, mask, lower, upper in rows:
        assert lower <= (taken & mask).sum() <= upper, f"seed {seed}: {asked}"
    if scored:
        had = float(scores[taken].sum())
        assert best - had <= 1e-3 * max(best, 1), f"seed {seed}: {had} of {best}"
        (told,) = found.optima
        assert float(told.realised) == pytest.approx(had, rel=1e-5)
        assert float(told.bound) >= best * (1 - 1e-5)
    return "met"


def test_a_bound_does_not_pay_for_targets_out_of_reach() -> None:
    rows = (
        Row(Asked("budget"), "the budget", tokens=False, lower=5, upper=5, share=1),
        Row(Asked("max", 0), "some", tokens=False, lower=-np.inf, upper=2),
        Row(Asked("target", 1), "some", tokens=False, lower=4, upper=4),
    )
    one = np.ones(2)
    columns = Columns(cell=np.arange(2), width=10 * one, slope=np.array([1.0, 2.0]), samples=one, tokens=one)
    bending = System(rows=rows, starts=np.array([0, 3, 4]), members=np.array([0, 1, 2, 0]), columns=columns, whole=True)
    found = whole(bending, relax(bending))
    assert found is not None
    assert found.amounts.tolist() == [2, 3]
    assert found.bound == pytest.approx(2 * 1 + 3 * 2)


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_a_bound_is_of_what_is_as_far_from_its_targets(pools: Pools, seed: int, scored: bool) -> None:
    frame = everything(pools)
    count = int(frame.height * (0.1 + 0.1 * seed))
    mask = frame[f"c{seed % NUM_CAPABILITIES}"].to_numpy() >= 4
    cap = Quota(None, (f"c{seed % NUM_CAPABILITIES}", ">=", 4), {"max": "20%"})
    wanted = Quota(None, (f"c{seed % NUM_CAPABILITIES}", ">=", 4), {"target": "90%"})
    text = recipe([cap, wanted], f"{{count: {count}}}", "top\n  score: score" if scored else "random")
    found = selected(pools, text)
    assert isinstance(found, Selection)
    taken = found.times > 0
    most = int(Fraction(20, 100) * count)
    assert int((taken & mask).sum()) == min(most, int(mask.sum()))
    (told,) = found.optima
    had, bound = float(told.realised), float(told.bound)
    if scored:
        scores = frame["score"].to_numpy()
        rows = [*system(frame, [cap], count), ((1, "target"), mask, (taken & mask).sum(), np.inf)]
        best = optimum(rows, scores)
        assert best is not None
        assert had == pytest.approx(float(scores[taken].sum()), rel=1e-5)
        assert best * (1 - 1e-5) <= bound <= best * (1 + 1e-3)
    else:
        assert 0 <= bound <= had <= bound * (1 + 1e-3) + 1


@pytest.mark.parametrize("block", range(3))
def test_systems_are_met_exactly_or_refused_with_reason(pools: Pools, block: int) -> None:
    outcomes = [check_one(pools, seed) for seed in range(block * 8, (block + 1) * 8)]
    assert {"met", "refused"} == set(outcomes)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("block", range(20))
def test_two_thousand_systems(pools: Pools, block: int) -> None:
    for seed in range(1000 + block * 100, 1000 + (block + 1) * 100):
        check_one(pools, seed)


def check_tokens(pools: Pools, seed: int) -> str:
    """Quotas in tokens are met within one sample, and refused only where no split of samples would do."""
    chance = np.random.default_rng(seed)
    frame = everything(pools)
    tokens = frame["tokens"].to_numpy().astype(np.int64)
    quotas = random_quotas(chance, 8)
    budget = int(tokens.sum() * chance.uniform(0.1, 0.6))
    scored = bool(chance.random() < 0.5)
    found = selected(pools, recipe(quotas, f"{{tokens: {budget}}}", "top\n  score: real" if scored else "random"))
    rows = system(frame, quotas, budget)
    signature, which = np.unique(np.array([row[1] for row in rows]).T, axis=0, return_inverse=True)
    sizes = np.bincount(which.ravel(), weights=tokens, minlength=len(signature))
    lower, upper = (np.array([row[side] for row in rows]) for side in (2, 3))
    members_ = signature.T.astype(float)
    bounded = [np.isfinite(upper), np.isfinite(lower)]
    split = linprog(
        np.zeros(len(sizes)),
        A_ub=np.vstack([members_[bounded[0]], -members_[bounded[1]]]),
        b_ub=np.concatenate([upper[bounded[0]], -lower[bounded[1]]]),
        bounds=[(0, size) for size in sizes],
    )
    if split.status == 2:
        assert isinstance(found, Diagnostic), f"seed {seed}: met what cannot be met"
        return "refused"
    assert isinstance(found, Selection), f"seed {seed}: {found}"
    taken = found.times > 0
    largest = int(tokens.max())
    for asked, mask, least, most in rows:
        realised = int(tokens[taken & mask].sum())
        assert least - largest < realised <= most, f"seed {seed}: {asked} has {realised}"
    return "met"


@pytest.mark.parametrize("block", range(2))
def test_tokens_are_met_within_one_sample(pools: Pools, block: int) -> None:
    outcomes = [check_tokens(pools, seed) for seed in range(block * 10, (block + 1) * 10)]
    assert {"met", "refused"} == set(outcomes)


@pytest.mark.parametrize("seed", range(6))
def test_quotas_in_tokens_beside_a_budget_of_samples(pools: Pools, seed: int) -> None:
    """The bounds are drawn around a selection that there is, so that they can be met."""
    chance = np.random.default_rng(seed)
    frame = everything(pools)
    tokens = frame["tokens"].to_numpy().astype(np.int64)
    count = int(frame.height * chance.uniform(0.2, 0.5))
    there = np.zeros(frame.height, bool)
    there[chance.choice(frame.height, count, replace=False)] = True
    quotas, rows = "", []
    for capability in chance.choice(NUM_CAPABILITIES, 4, replace=False).tolist():
        level = int(chance.integers(2, 6))
        mask = (frame[f"c{capability}"] >= level).to_numpy()
        middle = int(tokens[there & mask].sum() * chance.uniform(0.9, 1.1))
        least, most = int(middle * 0.97), int(middle * 1.03)
        if not least <= tokens[there & mask].sum() <= most:
            least, most = min(least, int(tokens[there & mask].sum())), max(most, int(tokens[there & mask].sum()))
        quotas += f"    - {{where: c{capability} >= {level}, min: {{tokens: {least}}}, max: {{tokens: {most}}}}}\n"
        rows.append((mask, least, most))
    found = selected(pools, f"select:\n  budget: {{count: {count}}}\n  quotas:\n{quotas}")
    assert isinstance(found, Selection), found
    taken = found.times > 0
    assert taken.sum() == count
    for mask, least, most in rows:
        assert least - int(tokens.max()) < tokens[taken & mask].sum() <= most
