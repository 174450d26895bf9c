"""Joint quotas over more samples than go into one program: those near the border do, and prices settle the others."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

from recipe_compiler import kernels, pipeline
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute.methods import take
from recipe_compiler.execute.quotas.settle import MOST
from recipe_compiler.execute.task import Chosen, Samples, Task
from recipe_compiler.resolve.texts import KeptTexts

ROWS = 15 * MOST + 777
QUOTAS = """  quotas:
    - {by: pool, max: 20%}
    - {by: style, min: 20%}
    - {where: c0 >= 4, min: 45%}
    - {where: c1 <= 1, max: 25%}
    - {where: c2 == 5, min: 20%}
"""


@cache
def samples() -> Samples:
    chance = np.random.default_rng(3)
    names, styles = [f"p{number}" for number in range(7)], ["a", "b", "c"]
    pool = np.sort(chance.integers(0, len(names), ROWS)).astype(np.uint32)
    high, low = (chance.integers(0, 2**63, ROWS, dtype=np.uint64) for _ in range(2))
    none = np.zeros(ROWS, dtype=np.uint32)
    frame = pl.DataFrame(
        {
            "tokens": np.clip(chance.lognormal(6, 0.7, ROWS), 16, 16_384).astype(np.uint32),
            "quality": chance.random(ROWS),
            **{f"c{number}": chance.integers(0, 6, ROWS).astype(np.int8) for number in range(6)},
        }
    ).with_columns(
        pool=pl.Series(names).cast(pl.Enum(names)).gather(pool),
        style=pl.Series(styles).cast(pl.Enum(styles)).gather(chance.integers(0, 3, ROWS)),
    )
    keys = kernels.Keys(high=[high], low=[low], occurrence=none, pool=pool)
    return Samples(frame=frame, keys=keys, alive=chance.random(ROWS) < 0.97)


def choose(select: str) -> tuple[Chosen, Findings]:
    findings = Findings()
    text = f"recipe: 1\nname: large\npools: {{p: {{source: p.jsonl}}}}\nselect:\n{select}"
    checked = pipeline.check_texts(KeptTexts({"recipe.yaml": text}), "recipe.yaml", findings)
    (node,) = (node for node in checked.plan.nodes if node.at[0] == "select")
    task = Task(samples=samples(), node=node, checked=checked.recipe, findings=findings, watch=None)
    return take(task, node.operation), findings  # type: ignore[arg-type]


def shares(taken: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    frame, total = samples().frame, float(weight[taken].sum())
    found = {
        f"{column} {value}": (frame[column] == value).to_numpy()
        for column in ("pool", "style")
        for value in frame[column].unique().to_list()
    }
    found |= {
        "c0": (frame["c0"] >= 4).to_numpy(),
        "c1": (frame["c1"] <= 1).to_numpy(),
        "c2": (frame["c2"] == 5).to_numpy(),
    }
    return {name: float(weight[taken & mask].sum()) / total for name, mask in found.items()}


def assert_met(found: dict[str, float], slack: float) -> None:
    assert max(share for name, share in found.items() if name.startswith("pool")) <= 0.2 + slack
    assert min(share for name, share in found.items() if name.startswith("style")) >= 0.2 - slack
    assert found["c0"] >= 0.45 - slack
    assert found["c1"] <= 0.25 + slack
    assert found["c2"] >= 0.2 - slack


@pytest.mark.parametrize("score", ["", "  method: top\n  score: quality\n", "  method: top\n  score: c3\n"])
def test_they_are_met_exactly_and_near_the_bound(score: str) -> None:
    count = ROWS // 5
    chosen, findings = choose(f"  budget: {{count: {count}}}\n{score}{QUOTAS}")
    taken = chosen.times > 0
    assert not findings.errors
    assert taken.sum() == count
    assert not (taken & ~samples().alive).any()
    assert_met(shares(taken, np.ones(ROWS)), 1e-12)
    (optimum,) = chosen.optima
    assert float(optimum.realised) == pytest.approx(float(optimum.bound), rel=1e-3)
    if "quality" in score:
        assert float(optimum.realised) == pytest.approx(
            float(samples().frame["quality"].to_numpy()[taken].sum()), rel=1e-5
        )


@pytest.mark.parametrize("score", ["", "  method: top\n  score: quality\n"])
def test_tokens_are_met_within_one_sample(score: str) -> None:
    tokens = samples().frame["tokens"].to_numpy().astype(np.int64)
    budget = int(tokens.sum()) // 5
    chosen, findings = choose(f"  budget: {{tokens: {budget}}}\n{score}{QUOTAS}")
    taken = chosen.times > 0
    assert not findings.errors
    assert 0 <= budget - tokens[taken].sum() < tokens.max()
    assert_met(shares(taken, tokens), float(tokens.max()) / budget)


def test_a_maximum_of_tokens_beside_a_budget_of_samples_is_kept() -> None:
    tokens = samples().frame["tokens"].to_numpy().astype(np.int64)
    inside = (samples().frame["c0"] >= 4).to_numpy()
    count = ROWS // 5
    for most in (3_000_000, 1_000_003, 50_001):
        quotas = f"  quotas:\n    - {{where: c0 >= 4, max: {{tokens: {most}}}}}\n"
        chosen, findings = choose(f"  budget: {{count: {count}}}\n{quotas}")
        taken = chosen.times > 0
        assert not findings.errors
        assert taken.sum() == count
        assert tokens[taken & inside].sum() <= most


def test_equal_scores_are_settled_in_the_keyed_order() -> None:
    """A score that more samples share than are taken: what is had of it is all that can be."""
    count = ROWS // 10
    chosen, findings = choose(f"  budget: {{count: {count}}}\n  method: top\n  score: c4\n{QUOTAS}")
    taken = chosen.times > 0
    assert not findings.errors
    assert taken.sum() == count
    assert_met(shares(taken, np.ones(ROWS)), 1e-12)
    (optimum,) = chosen.optima
    assert float(optimum.realised) == float(optimum.bound) == samples().frame["c4"].to_numpy()[taken].sum()


def test_what_cannot_be_met_is_refused_and_the_ways_out_work() -> None:
    count = ROWS // 5
    impossible = QUOTAS + "    - {where: c0 <= 3, min: 60%}\n"
    _, findings = choose(f"  budget: {{count: {count}}}\n{impossible}")
    (told,) = findings.errors
    assert told.code == "execute.quotas"
    lines = [span.line for span in (told.span, *(place.span for place in told.places)) if span is not None]
    assert sorted(lines) in ([5, 9, 12], [9, 12])
    assert "`min: 40%` in line 9" in (told.help or "")
    _, mended = choose(f"  budget: {{count: {count}}}\n{impossible.replace('min: 45%', 'min: 40%')}")
    assert not mended.errors
