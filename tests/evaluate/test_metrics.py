"""Metrics against a slow oracle, and the laws they keep."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recipe_compiler.manifest.schema import PoolRef
from runtime.evaluate.matching import anls, exact, normal, relaxed, spoken, vqa
from runtime.evaluate.metrics import METRICS, Choice, automatic
from runtime.evaluate.verdict import Reference
from runtime.evaluate.yesno import pope, said, yesno
from tests.evaluate import oracle

WORDS = st.text(alphabet=string.ascii_letters + string.digits + " .,%()-'\n\u00e9\u4e2d", max_size=24)
NUMBERS = st.decimals(min_value=-1000, max_value=1000, places=2).map(str)


@given(WORDS, st.lists(WORDS, min_size=1, max_size=4), st.sampled_from(sorted(METRICS)))
@example("", ["a"], "anls")
@example(" \n", [" "], "exact")
def test_scores_are_between_0_and_1_and_empty_answers_are_malformed(answer: str, golds: list[str], name: str) -> None:
    verdict = METRICS[name](answer, Reference(golds, [("A", "one"), ("B", golds[0])]))
    assert 0.0 <= verdict.score <= 1.0
    assert not (verdict.malformed and verdict.score)
    assert answer.strip() or verdict.malformed


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_anls_is_the_slow_one(answer: str, golds: list[str]) -> None:
    assert anls(answer, Reference(golds)).score == pytest.approx(float(oracle.anls(answer, golds)), abs=1e-12)


@given(WORDS, WORDS)
def test_anls_is_symmetric(one: str, other: str) -> None:
    if one.strip() and other.strip():
        assert anls(one, Reference([other])).score == anls(other, Reference([one])).score


@given(NUMBERS | WORDS, NUMBERS | WORDS, st.booleans(), st.booleans())
@example("105", "100", False, False)
@example("105.01", "100", False, False)
@example("0", "0.0", False, False)
@example("62%", "0.62", False, False)
@example("-5", "5", False, False)
def test_relaxed_is_the_slow_one(answer: str, gold: str, percent: bool, percent_gold: bool) -> None:
    answer, gold = answer + "%" * percent, gold + "%" * percent_gold
    right, told = oracle.number(gold), oracle.number(answer)
    if right and told is not None and abs(20 * abs(told - right) - abs(right)) < abs(right) / 10**9:
        return  # On the border a float decides, as it does in the original.
    try:
        float(answer.rstrip("%")), float(gold.rstrip("%"))
        if told is None or right is None:
            return  # `1_0` and the like: numbers to Python alone.
    except ValueError:
        pass
    assert relaxed(answer, Reference([gold])).score == float(oracle.relaxed(answer, gold))


@given(
    st.lists(st.sampled_from(["red", "blue", "2", "cat"]), min_size=4, max_size=12), st.sampled_from(["red", "2", "x"])
)
def test_vqa_is_the_slow_one(people: list[str], answer: str) -> None:
    assert vqa(answer, Reference(people)).score == pytest.approx(float(oracle.vqa(answer, people)), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("The Two dogs!", "2 dogs"),
        ("1,000 dollars", "1000 dollars"),
        ("don't", "dont"),
        ("black-and-white", "black and white"),
        ("black - white", "black white"),
        ("3.5 m.", "3.5 m"),
        ("none", "0"),
        ("A", ""),
    ],
)
def test_what_vqa_compares(text: str, normalised: str) -> None:
    assert spoken(text) == normalised


@given(WORDS)
def test_exact_is_reflexive_and_blind_to_case_and_space(text: str) -> None:
    if normal(text):
        assert (
            exact(f"  {text.upper().lower()} \n", Reference([text])).score
            == exact(text.lower(), Reference([text])).score
        )
        assert exact(text, Reference([text])).score == 1.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["Yes", "yes, it is.", "No.", "no", "No, there is not one"]), st.booleans()),
        min_size=1,
    )
)
def test_well_formed_answers_get_popes_figures(rows: list[tuple[str, bool]]) -> None:
    labels = ["yes" if right else "no" for _, right in rows]
    told = [said(answer) for answer, _ in rows]
    if "yes" in told and "yes" in labels and any(pair == ("yes", "yes") for pair in zip(told, labels, strict=True)):
        expected = oracle.pope([answer for answer, _ in rows], labels)
        assert pope(zip(told, labels, strict=True)) == pytest.approx(expected)


def test_malformed_yes_or_no_is_wrong_and_no_yes() -> None:
    figures = pope([("yes", "yes"), (None, "yes"), (None, "no"), ("no", "no")])
    assert figures == {"accuracy": 0.5, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "yes_ratio": 0.25}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Yes", "yes"),
        ("yes, there is no dog", "yes"),
        ("There is no dog.", "no"),
        ("It is not.", "no"),
        ("True", "yes"),
        ("not true", "no"),
        ("1", "yes"),
        ("1 dog", None),
        ("maybe", None),
        ("either yes or no", None),
        ("", None),
        ("eyes", None),
    ],
)
def test_what_is_a_yes(text: str, read: str | None) -> None:
    assert said(text) == read
    assert yesno(text, Reference(["yes"])).score == float(read == "yes")


OPTIONS = [("A", "yes"), ("B", "no")]


@pytest.mark.parametrize(
    ("name", "golds", "options", "reads"),
    [
        ("choice", ["maybe"], OPTIONS, False),
        ("choice", ["maybe", "No."], OPTIONS, True),
        ("choice", ["red"], [], False),
        ("choice", ["C"], [], True),
        ("choice", ["C"], OPTIONS, False),
        ("yesno", ["red"], [], False),
        ("yesno", ["red", "false"], [], True),
        ("exact", ["red"], [], True),
        ("exact", [], [], False),
    ],
)
def test_a_metric_is_for_references_that_it_can_read(
    name: str, golds: list[str], options: list[tuple[str, str]], reads: bool
) -> None:
    pool = PoolRef(
        name="p",
        role="holdout",
        group=None,
        category=None,
        license=None,
        tags=(),
        media=None,
        preset="qa",
        fields={},
        samples=1,
        digest="",
    )
    assert Choice(name).of(pool, Reference(golds, options)) == (name if reads else None)
    # Of references that it cannot read none is ever met.
    assert reads or METRICS[name](golds[0] if golds else "x", Reference(golds, options)).score == 0.0


def test_the_metric_follows_from_what_is_known() -> None:
    assert automatic("Chart", Reference(["14"])) == "relaxed"
    assert automatic("chart", Reference(["B"], [("A", "x"), ("B", "y")])) == "choice"
    assert automatic("document", Reference(["14"])) == "anls"
    assert automatic(None, Reference(["No"])) == "yesno"
    assert automatic(None, Reference(["1"])) == "exact"
    assert automatic(None, Reference(["red"] * 10)) == "vqa"
    assert automatic("scene", Reference(["a red square"])) == "exact"
