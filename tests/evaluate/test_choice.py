"""Which option an answer means: by construction, in every form that was named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.evaluate.choice import choice, meant, shown
from runtime.evaluate.verdict import Reference

OPTIONS = [("A", "a cat"), ("B", "dog"), ("C", "black dog"), ("D", "Vitamin C")]

FORMS = (
    "{0}",
    " {0}.\n",
    "({0})",
    "{0})",
    "**{0}**",
    "{0}. {1}",
    "({0}) {1}",
    "{0}) because of what is seen",
    "The answer is {0}",
    "The answer is {0}.",
    "The correct answer is: ({0})",
    "Answer: {0}",
    "I would say option {0}, by far",
    "After a long look it must be ({0}) {1}.",
    "{1}",
    "{1}.",
    "First I look at it.\n\n**{0}. {1}**",
    "**Answer:** {0}. {1}",
    "All in all, the right one is:\n\n{0}",
)
MALFORMED = (
    "",
    "   ",
    "I do not know.",
    "{0} or {2}",
    "The answer is {0} or {2}.",
    "({0}), ({2})",
    "Z",
    "The answer is Z.",
)


@given(st.sampled_from(FORMS), st.integers(0, 3), st.integers(0, 3))
def test_every_form_is_read(form: str, told: int, right: int) -> None:
    letter, text = OPTIONS[told]
    verdict = choice(form.format(letter, text), Reference([OPTIONS[right][0]], OPTIONS))
    assert (verdict.read, verdict.score) == (letter, float(told == right))


@given(st.sampled_from(MALFORMED), st.integers(0, 3), st.integers(1, 3))
def test_what_is_ambiguous_or_empty_is_malformed_and_wrong(form: str, first: int, step: int) -> None:
    other = OPTIONS[(first + step) % 4][0]
    verdict = choice(form.format(OPTIONS[first][0], "", other), Reference([OPTIONS[first][0]], OPTIONS))
    assert verdict.malformed and verdict.score == 0.0


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("it is a cat", "A"),
        ("a black dog, I think", "C"),
        ("I see a cat and a dog", None),
        ("the answer is a dog", "B"),
        ("A dog", "B"),
        ("vitamin c", "D"),
        ("The answer is A. No, the answer is B.", None),
        ("I think B is right", "B"),
        ("concatenate", None),
    ],
)
def test_words_are_read_as_words(answer: str, letter: str | None) -> None:
    assert meant(answer, OPTIONS) == letter


@given(st.text(max_size=30), st.permutations(OPTIONS))
def test_the_order_of_options_does_not_matter(answer: str, options: list[tuple[str, str]]) -> None:
    assert meant(answer, options) == meant(answer, OPTIONS)


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Which?\nA. one\nB. two", [("A", "one"), ("B", "two")]),
        ("Which? Options: (A) one two (B) two (C) three", [("A", "one two"), ("B", "two"), ("C", "three")]),
        ("Q\nOptions: (A) $6\n(B) $7\nThe answer is", [("A", "$6"), ("B", "$7")]),
        ("From (A) to (B)?\nA) left\nB) right\nC) back", [("A", "left"), ("B", "right"), ("C", "back")]),
        ("No options. A. Only one", []),
        ("", []),
    ],
)
def test_options_are_found_in_the_question(question: str, options: list[tuple[str, str]]) -> None:
    assert shown(question) == options
