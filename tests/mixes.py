"""Small random recipes over small pools, for laws about what a recipe does with any sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support import write_jsonl

POOLS = ("a", "b", "c")
LEVELS = 3


@dataclass(frozen=True, slots=True)
class Mix:
    """A recipe and the records of its pools, by their numbers: equal numbers are equal samples, whatever their pool."""

    recipe: Mapping[str, Any]
    records: Mapping[str, Sequence[int]]

    def write(self, folder: Path, name: str = "recipe.yaml") -> Path:
        """Writes the pools and the recipe, a setting a line; returns the recipe's path."""
        for pool, numbers in self.records.items():
            write_jsonl(folder / f"{pool}.jsonl", [record(pool, number) for number in numbers])
        path = folder / name
        path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in self.recipe.items()))
        return path


def record(pool: str, number: int) -> dict[str, Any]:
    """A record with a key of its own."""
    words = " very" * (number % 5)
    return {
        "id": f"{pool}-{number}",
        "question": f"What is {number}?",
        "answer": f"It is{words} {number}.",
        "level": number % LEVELS,
    }


_filters = st.sampled_from(["level <= 1", "not (level == 0)", 'pool in ["a", "b"] or level > 0', "tokens < 15"])
_weights = st.sampled_from(["proportional", "equal", {"temperature": 2}, {"values": {"0": 1, "1": 0, "2": "1/2"}}])
_mix_weights = st.one_of(_weights, st.builds(lambda a, b: {"from": a, "to": b, "blocks": 3}, _weights, _weights))
_batches = st.sampled_from(
    [
        {"rows": 4, "remainder": "drop"},
        {"rows": 4, "remainder": "pad", "modality": "uniform"},
        {"rows": 3, "remainder": "drop", "stratify": "level"},
    ]
)


@st.composite
def _selects(draw: st.DrawFn) -> dict[str, Any]:
    repeat = draw(st.sampled_from([1, 1, 2]))
    select: dict[str, Any] = {"budget": {"share": f"{draw(st.integers(20, 90)) * repeat}%"}}
    if repeat > 1:
        select["repeat"] = {"max": repeat}
    kind = draw(st.sampled_from(["random", "stratified", "capped", "top", "best", "quotas", "band"]))
    if kind in ("top", "best", "quotas", "band"):
        select.pop("repeat", None)
        select["budget"] = {"share": f"{draw(st.integers(20, 90))}%"}
    if kind in ("top", "best"):
        select |= {"method": "top", "score": draw(st.sampled_from(["level", "-tokens / 2"]))}
    if kind == "best":
        select["by"] = "pool"
    if kind == "band":
        select = {"method": "band", "score": "tokens", "low": "10%", "high": f"{draw(st.integers(20, 90))}%"}
    if kind == "quotas":
        select["quotas"] = [{"where": "level == 1", "min": "30%"}, {"by": "pool", "max": "80%"}]
    if kind == "stratified":
        select |= {"method": "stratified", "by": draw(st.sampled_from(["pool", "level"]))}
    if kind == "capped":
        select["caps"] = [{"by": "level", "max": "60%"}]
    return select


@st.composite
def _stages(draw: st.DrawFn) -> list[dict[str, Any]]:
    first: dict[str, Any] = {"name": "first", "repeat": {"max": "any"}}
    if draw(st.booleans()):
        first["draws"] = {"count": draw(st.integers(1, 12))}
    if draw(st.booleans()):
        first["mix"] = {"by": "level", "weights": draw(_mix_weights)}
    if draw(st.booleans()):
        first |= {"epochs": draw(st.integers(2, 3)), "resample": draw(st.booleans())}
    if draw(st.booleans()):
        first["order"] = {"pace": "level", "start": "30%"}
    if draw(st.booleans()):
        return [first]
    first["where"] = draw(st.sampled_from(['pool == "a"', "level > 0"]))
    second: dict[str, Any] = {"name": "second", "repeat": {"max": "any"}}
    if draw(st.booleans()):
        second["where"] = "not (level == 2)"
    if draw(st.booleans()):
        second["replay"] = {"first": draw(st.sampled_from(["20%", {"count": 2}]))}
    return [first, second]


@st.composite
def mixes(draw: st.DrawFn, records: Mapping[str, Sequence[int]] | None = None) -> Mix:
    """Any mix; with `records`, over these pools. It may ask for more than there is, which a compile refuses."""
    if records is None:
        records = draw(pools())
    pools_: dict[str, dict[str, Any]] = {
        name: {"source": f"{name}.jsonl", "group": name, "fields": {"columns": {"level": "level"}}} for name in records
    }
    if len(pools_) == len(POOLS) and draw(st.booleans()):
        pools_["c"]["role"] = "holdout"
    recipe: dict[str, Any] = {"recipe": 1, "name": "mix", "seed": draw(st.integers(0, 3)), "pools": pools_}
    if draw(st.booleans()):
        recipe["filter"] = draw(st.lists(_filters, min_size=1, max_size=2, unique=True))
    if draw(st.booleans()):
        recipe["dedup"] = {"exact": True}
    if draw(st.booleans()):
        recipe["select"] = draw(_selects())
    if draw(st.booleans()):
        recipe["stages"] = draw(_stages())
    if draw(st.sampled_from([False, False, True])):
        recipe["repeat"] = {"max": draw(st.integers(1, 4))}
    if draw(st.booleans()):
        recipe["batch"] = draw(_batches)
    return Mix(recipe, records)


@st.composite
def pools(draw: st.DrawFn) -> dict[str, list[int]]:
    """Two or three pools of different samples each, which may share some."""
    names = POOLS[: draw(st.integers(2, 3))]
    return {name: draw(st.lists(st.integers(0, 30), min_size=3, max_size=14, unique=True)) for name in names}
