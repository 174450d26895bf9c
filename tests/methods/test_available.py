"""What is available to a selection is what it could take: no sample without a score or a vector."""

from __future__ import annotations

import polars as pl
import pytest

from tests.choosing import Pools
from tests.support import questions, write_jsonl

HEAD = "recipe: 1\nname: mix\npools: {a: {source: a.jsonl}}\nannotations: [{source: scores.parquet, match: key}]\n"


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Pools:
    """Forty samples: 25 have a score, 3 an infinite one, 7 one that is no number, and 5 no row."""
    folder = tmp_path_factory.mktemp("scored")
    write_jsonl(folder / "a.jsonl", questions("a", 40))
    scores = [number / 24 for number in range(25)] + [float("inf")] * 3 + [float("nan")] * 7
    rows = {
        "key": [f"a-{number}" for number in range(35)],
        "quality": scores,
        "style": ["short"] * 35,
        "vector": [[float(number), 1.0] for number in range(35)],
    }
    pl.DataFrame(rows).write_parquet(folder / "scores.parquet")
    return Pools(folder, HEAD)


@pytest.mark.parametrize(
    ("select", "available"),
    [
        ("budget: {count: 3}", 40),
        ("method: top, score: quality, budget: {count: 3}", 25),
        ("method: top, score: quality, budget: 10%", 25),
        ("method: vote, scores: [quality], budget: {count: 3}", 25),
        ("method: top, score: quality, budget: {count: 3}, quotas: [{where: tokens > 0, min: {count: 1}}]", 25),
        ("method: k_center, embedding: vector, budget: {count: 3}", 35),
        ("method: mmr, score: quality, embedding: vector, budget: {count: 3}", 25),
        ("method: deita, score: quality, embedding: vector, budget: {count: 1}", 25),
        ("method: mmssr, capabilities: [quality], threshold: 0.5, budget: {count: 3}", 12),
        ("method: mmssr, capabilities: [quality], threshold: 0.5, budget: {count: 3}, fill: random", 40),
    ],
)
def test_available_is_what_could_be_taken(pools: Pools, select: str, available: int) -> None:
    found = pools.run(f"select: {{{select}}}\n")
    assert found.requests[0].available == available
