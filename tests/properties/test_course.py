"""Weights that move along a stage: exact in every block, against the ideal computed the slow way."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from math import isqrt
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recipe_compiler.emit.course import block_counts, integrals, progress
from recipe_compiler.execute.apportion import half_cosine
from tests.properties.test_interleave import GREEDY_BREAKS
from tests.support import compile_text, draws, questions, rejected, write_jsonl

SIZES = {"a": 120, "b": 60, "c": 40}


def shares(weights: list[int]) -> list[Fraction]:
    return [Fraction(weight, sum(weights)) for weight in weights]


pairs = st.integers(1, 9).flatmap(
    lambda num: st.tuples(*[st.lists(st.integers(0, 20), min_size=num, max_size=num).filter(any)] * 2)
)


@settings(deadline=None)
@given(pairs, st.integers(1, 400), st.integers(1, 60), st.sampled_from(["linear", "cosine"]))
@example(([1, 0], [0, 1]), 1, 1, "linear")
@example(([1] * 9, [1] * 9), 10, 60, "cosine")
def test_every_block_is_exact_and_every_source_within_one_draw(
    pair: tuple[list[int], list[int]], total: int, blocks: int, shape: str
) -> None:
    start, end = map(shares, pair)
    ends, gone = progress(total, blocks, shape)  # type: ignore[arg-type]
    counts = block_counts(integrals(start, end, ends, gone), ends)
    assert len(counts) == len(ends) == min(blocks, total)
    # The slow way: every draw has the weights of its block's middle.
    ideal, had = [Fraction(0)] * len(start), [0] * len(start)
    for (before, border), part, block in zip(pairwise([0, *ends]), gone, counts, strict=True):
        middle = Fraction(before + border, 2 * total)
        assert part == (middle if shape == "linear" else half_cosine(middle))
        for _ in range(before, border):
            ideal = [done + (1 - part) * a + part * b for done, a, b in zip(ideal, start, end, strict=True)]
        assert min(block) >= 0
        had = [done + more for done, more in zip(had, block, strict=True)]
        assert sum(had) == border
        assert all(abs(done - wanted) < 1 for done, wanted in zip(had, ideal, strict=True))
    assert ends[-1] == sum(had) == total


def test_deadlines_meet_what_largest_deficits_miss() -> None:
    ends = list(range(1, sum(GREEDY_BREAKS) + 1))
    ideal = [[share * end for end in ends] for share in shares(GREEDY_BREAKS)]
    had = [0] * len(ideal)
    for number, block in enumerate(block_counts(ideal, ends)):
        had = [done + more for done, more in zip(had, block, strict=True)]
        assert all(abs(done - values[number]) < 1 for done, values in zip(had, ideal, strict=True))
    assert had == GREEDY_BREAKS


def test_the_cosine_is_rounded_right() -> None:
    assert [half_cosine(Fraction(*part)) for part in ((0, 1), (1, 3), (1, 2), (2, 3), (1, 1))] == [
        Fraction(0),
        Fraction(1, 4),
        Fraction(1, 2),
        Fraction(3, 4),
        Fraction(1),
    ]
    # (1 - cos(pi / 4)) / 2 = (2 - sqrt(2)) / 4, of which an integer root gives the digits.
    exact = Fraction((2 << 256) - isqrt(2 << 512), 4 << 256)
    assert half_cosine(Fraction(1, 4)) == Fraction(round(exact * 2**64), 2**64)
    for tenth in range(11):
        assert half_cosine(Fraction(tenth, 10)) + half_cosine(Fraction(10 - tenth, 10)) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, size in SIZES.items():
        write_jsonl(tmp_path / f"{name}.jsonl", questions(name, size))
    return tmp_path


def recipe(stage: str, rest: str = "") -> str:
    pools = "\n".join(f"  {name}: {{source: {name}.jsonl}}" for name in SIZES)
    return f"recipe: 1\nname: course\nseed: 3\npools:\n{pools}\n{rest}stages:\n  - {stage}\n"


def test_a_compiled_mix_moves_from_one_division_to_the_other(folder: Path) -> None:
    weights = "{from: {values: {a: 1, b: 0, c: 0}}, to: {values: {a: 0, b: 1, c: 1}}, shape: cosine, blocks: 10}"
    built = compile_text(folder, recipe(f"{{name: s, mix: {{by: pool, weights: {weights}}}, draws: {{count: 80}}}}"))
    rows = draws(folder / "out")
    (stage,) = built.manifest.stages
    realised = Counter(rows["pool"])
    ends, gone = progress(80, 10, "cosine")
    one, two = shares([1, 0, 0]), shares([0, 1, 1])
    ideal = integrals(one, two, ends, gone)
    for share, name, values in zip(stage.shares, SIZES, ideal, strict=True):
        assert (share.name, Fraction(share.requested), share.realised) == (name, values[-1], realised[name])
        for number, end in enumerate(ends):
            drawn = int((rows["pool"][:end] == name).sum())
            assert abs(drawn - values[number]) < 1
    assert set(rows["pool"][:8]) == {"a"}
    assert rows["repeat"].max() == 0


def test_a_replay_beside_weights_that_move_is_exact(folder: Path) -> None:
    first = '{name: one, where: pool == "a"}\n  - '
    weights = "{from: equal, to: {values: {b: 3, c: 1}}, blocks: 7}"
    compile_text(
        folder,
        recipe(
            f"{first}{{name: s, mix: {{by: pool, weights: {weights}}}, draws: {{count: 60}}, replay: {{one: 25%}}}}"
        ),
    )
    rows = draws(folder / "out").filter(stage="s")
    assert Counter(rows["rule"]) == {"stage s": 60, "replay one in s": 20}
    for end in progress(80, 7, "linear")[0]:
        replayed = int(rows["rule"][:end].str.starts_with("replay").sum())
        assert abs(replayed - Fraction(end, 4)) < 1


def test_weights_that_move_are_refused_beyond_the_supply_with_a_way_out_that_works(folder: Path) -> None:
    text = recipe(
        "{name: s, mix: {by: pool, weights: {from: equal, to: {values: {a: 0, b: 1, c: 9}}}}, draws: {count: 90}}"
    )
    (found,) = rejected(folder, text)
    assert found.code == "execute.short"
    most = found.help.split("count: ")[1].split("}")[0]
    compile_text(folder, text.replace("count: 90", f"count: {most}"))
    assert rejected(folder, text.replace("count: 90", f"count: {int(most) + 1}"))
    repeat = found.help.split("`")[1]
    compile_text(folder, text.replace("draws:", f"{repeat}, draws:"))


def test_weights_that_move_nowhere_are_those_weights(folder: Path) -> None:
    moving, still = (
        recipe(f"{{name: s, mix: {{by: pool, weights: {weights}}}, draws: {{count: 90}}}}")
        for weights in ("{from: equal, to: equal, blocks: 1}", "equal")
    )
    one, other = (compile_text(folder, text).manifest for text in (moving, still))
    assert one.ids.order == other.ids.order
