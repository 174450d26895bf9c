"""How often a sample is drawn: over the epochs of a stage, and over all stages of a recipe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler.diagnostics import Rejected
from tests.support import compile_text, draws, questions, write_jsonl


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "p.jsonl", questions("p", 30))
    write_jsonl(tmp_path / "q.jsonl", questions("q", 12))
    return tmp_path


def compiled(folder: Path, stages: str, rest: str = "", pools: str = "p") -> pl.DataFrame:
    named = ", ".join(f"{name}: {{source: {name}.jsonl}}" for name in pools)
    compile_text(folder, f"recipe: 1\nname: e\nseed: 8\npools: {{{named}}}\nstages: [{stages}]\n{rest}")
    return draws(folder / "out")


def epochs(rows: pl.DataFrame, num: int) -> list[list[bytes]]:
    size = rows.height // num
    return [rows["sample_id"].slice(start, size).to_list() for start in range(0, rows.height, size)]


@pytest.mark.parametrize(("count", "num"), [(7, 9), (10, 3), (29, 4), (30, 3), (31, 3), (45, 4), (60, 2)])
def test_epochs_draw_anew_until_all_are_drawn_and_stay_level(folder: Path, count: int, num: int) -> None:
    stage = f"{{name: s, draws: {{count: {count}}}, repeat: {{max: 2}}, epochs: {num}}}"
    found = epochs(compiled(folder, stage), num)
    single = compiled(folder, stage.replace(f"epochs: {num}", "epochs: 1"))
    assert found[0] == single["sample_id"].to_list()
    drawn = Counter[bytes]()
    for number, epoch in enumerate(found, start=1):
        assert len(epoch) == count
        drawn.update(epoch)
        assert max(drawn.values()) - (min(drawn.values()) if len(drawn) == 30 else 0) <= 1
        assert len(drawn) == min(30, number * count)
        assert max(Counter(epoch).values()) <= 2
    orders = {tuple(epoch) for epoch in found}
    assert len(orders) == num


def test_without_resampling_every_epoch_draws_the_same_in_an_order_of_its_own(folder: Path) -> None:
    found = epochs(compiled(folder, "{name: s, draws: {count: 12}, epochs: 3, resample: false}"), 3)
    assert len(set(map(frozenset, found))) == 1
    assert len(set(map(tuple, found))) == 3


def test_every_epoch_is_mixed_and_replays_anew(folder: Path) -> None:
    stages = '{name: one, where: pool == "p"}, {name: two, draws: {count: 8}, replay: {one: 20%}, epochs: 4}'
    rows = compiled(folder, stages, pools="pq").filter(stage="two")
    replayed = rows.filter(rule="replay one in two")
    assert (rows.height, replayed.height) == (40, 8)
    for start in range(0, 40, 10):
        assert Counter(rows["rule"].slice(start, 10)) == {"stage two": 8, "replay one in two": 2}
    assert max(Counter(replayed["sample_id"]).values()) == 1


def test_more_epochs_leave_the_earlier_ones_alone(folder: Path) -> None:
    stage = "{name: s, draws: {count: 11}, epochs: NUM}"
    three, five = (compiled(folder, stage.replace("NUM", num))["sample_id"].to_list() for num in ("3", "5"))
    assert five[:33] == three


@dataclass(frozen=True, slots=True)
class Case:
    """Stages over three pools of these sizes, and a limit over all of them."""

    sizes: tuple[int, ...]
    stages: tuple[dict[str, Any], ...]
    most: int

    def text(self, most: int | None = None) -> str:
        import json

        pools = {name: {"source": f"{name}.jsonl"} for name in "abc"}
        recipe = {"recipe": 1, "name": "c", "pools": pools, "stages": self.stages, "repeat": {"max": most or self.most}}
        return json.dumps(recipe)

    def demands(self) -> list[tuple[set[str], int, int]]:
        """(samples, how often each at most, draws) of every source in every epoch: stage `i` takes pool `i`."""
        of = {stage["name"]: {f"{stage['name']}-{at}" for at in range(size)} for stage, size in self.each()}
        found = []
        for stage, size in self.each():
            for _ in range(stage["epochs"]):
                own = stage.get("draws", {"count": size})["count"]
                limit = stage["repeat"]["max"]
                found.append((of[stage["name"]], limit, own))
                for name, amount in stage["replay"].items():
                    found.append((of[name], limit, amount["count"]))
        return found

    def each(self) -> list[tuple[dict[str, Any], int]]:
        return list(zip(self.stages, self.sizes, strict=True))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    sizes = draw(st.tuples(*[st.integers(1, 5)] * 3))
    stages: list[dict[str, Any]] = []
    for name, size in zip("abc", sizes, strict=True):
        limit = draw(st.integers(1, 3))
        replay = {
            earlier["name"]: {"count": draw(st.integers(1, limit * sizes[at]))}
            for at, earlier in enumerate(stages)
            if draw(st.booleans())
        }
        stages.append(
            {
                "name": name,
                "where": f'pool == "{name}"',
                "draws": {"count": draw(st.integers(1, limit * size))},
                "repeat": {"max": limit},
                "epochs": draw(st.integers(1, 3)),
                "replay": replay,
            }
        )
    return Case(sizes, tuple(stages), draw(st.integers(1, 6)))


def is_possible(case: Case) -> bool:
    """Whether all demands can be met: a flow from demands to samples, one augmenting path after another."""
    demands = case.demands()
    used: dict[tuple[int, str], int] = {}
    drawn = Counter[str]()

    def place(demand: int, seen: set[str]) -> bool:
        samples, limit, _ = demands[demand]
        for sample in sorted(samples - seen):
            if used.get((demand, sample), 0) == limit:
                continue
            seen.add(sample)
            others = [other for (other, of), count in used.items() if of == sample and count and other != demand]
            if drawn[sample] < case.most:
                drawn[sample] += 1
                used[demand, sample] = used.get((demand, sample), 0) + 1
                return True
            for other in others:
                if place(other, seen):
                    used[other, sample] -= 1
                    used[demand, sample] = used.get((demand, sample), 0) + 1
                    return True
        return False

    return all(place(demand, set()) for demand, (_, _, draws_) in enumerate(demands) for _ in range(draws_))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_limit_is_kept_wherever_it_can_be_and_refused_where_it_cannot(case: Case) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for pool, size in zip("abc", case.sizes, strict=True):
            write_jsonl(folder / f"{pool}.jsonl", questions(pool, size))
        try:
            compile_text(folder, case.text())
        except Rejected as rejected:
            assert not is_possible(case)
            found = rejected.findings.errors
            assert {error.code for error in found} == {"execute.short"}
            enough = int(found[0].help.split("`")[1].removeprefix("max: "))
            assert enough > case.most
            compile_text(folder, case.text(enough))
            assert max(Counter(draws(folder / "out")["sample_id"]).values()) == enough
            return
        assert is_possible(case)
        assert max(Counter(draws(folder / "out")["sample_id"]).values()) <= case.most
        total = sum(count for _, _, count in case.demands())
        assert draws(folder / "out").height == total


def test_a_limit_that_nothing_reaches_changes_no_stage_of_its_own(folder: Path) -> None:
    stage = "{name: s, draws: {count: 20}}"
    assert compiled(folder, stage).equals(compiled(folder, stage, "repeat: {max: 3}\n"))


def test_a_short_stage_is_named_with_what_it_lacks(folder: Path) -> None:
    stages = '{name: one, where: pool == "p"}, {name: two, replay: {one: {count: 5}}}'
    with pytest.raises(Rejected) as raised:
        compiled(folder, stages, "repeat: {max: 1}\n", pools="pq")
    (found,) = raised.value.findings.errors
    assert "stage `two` is short of 5 draws" in found.headline
    assert found.help.startswith("`max: 2` is enough")
