"""Multiple choice: which of the options an answer means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.evaluate.matching import normal
from runtime.evaluate.verdict import WRONG, Reference, Verdict

_ALONE = re.compile(r"[\s(\[*]*([A-Za-z])[\s)\].:,*]*")
_LABEL = re.compile(r"[\s*]*(?:\(([A-Za-z])\)|([A-Z])\*{0,2}(?:[.):]|(?=\n|\Z)))(?:\s|\*|$)")
_CLAIM = re.compile(
    r"\b(?i:answer|option|choice)\b(?:\s+is)?(?:\s+(?i:option|choice))?\s*\*{0,2}:?\*{0,2}\s*"
    r"(?:\(([A-Za-z])\)|\*{0,2}([A-Z])(?![\w'\u2019-]))"
)
#: What goes on after a letter: `A or B`, `(A), (B)`.
_MORE = re.compile(r"\s*(?:,|/|&|\bor\b|\band\b)\s*(?:\(([A-Za-z])\)|\*{0,2}([A-Z])(?![\w'\u2019-]))")
_BRACKETED = re.compile(r"\(([A-Z])\)")
#: `A` and `I` are words too where a word in small letters follows.
_CAPITAL = re.compile(r"(?<![\w'\u2019-])([B-HJ-Z]|[AI](?!\s+(?!or\b|and\b)[a-z]))(?![\w'\u2019-])")
_SHOWN = (
    re.compile(r"^[ \t]*\(([A-Z])\)[ \t]*(.*?)[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*([A-Z])[.):][ \t]*(.*?)[ \t]*$", re.MULTILINE),
    re.compile(r"\(([A-Z])\)[ \t]*([^\n]*?)\s*(?=\([A-Z]\)|\n|\Z)"),
)


def choice(answer: str, reference: Reference) -> Verdict:
    """1 if the answer means the option that the reference means, 0 if it means another or none. Our own reading, strict:

    what `meant` finds no option or several in is malformed, where MMMU's scorer would guess at random.
    """
    golds = {meant(gold, reference.options) for gold in reference.answers}
    read = meant(answer, reference.options)
    return Verdict(float(read in golds), read) if read is not None else WRONG


def meant(answer: str, options: Sequence[tuple[str, str]]) -> str | None:
    """The letter of the one option that an answer means, or None. The first of these that says anything decides:

    1. the whole answer is the letter of an option: `B`, `(b)`, `B.`
    2. the whole answer is the text of an option (after `normal`)
    3. claims, `the answer is B`, `Answer: (B)`, `option B`, and labels, `B. text`, `(B) text`, of the first and the last line
    4. letters in brackets, `(B)`
    5. capital letters of options that stand alone, but for `A` and `I` as words
    6. texts of options within the answer as whole words, but for those within another one that is there

    Several different letters in that step, or a letter that no option has, mean none. Without options, A to Z are.
    """
    letters = {letter.upper() for letter, _ in options} or set(map(chr, range(ord("A"), ord("Z") + 1)))
    text = answer.strip()
    alone = _ALONE.fullmatch(text)
    if alone and alone[1].upper() in letters:
        return alone[1].upper()
    whole = normal(text)
    texts = [(letter.upper(), named) for letter, option in options if (named := normal(option))]
    for found in (
        {letter for letter, named in texts if named == whole},
        _claimed(text),
        set(_BRACKETED.findall(text)),
        letters.intersection(_CAPITAL.findall(text)),
        _within(whole, texts),
    ):
        if found:
            return next(iter(found)) if len(found) == 1 and found <= letters else None
    return None


def _claimed(text: str) -> set[str]:
    claimed = set()
    labels = _LABEL.match(text), _LABEL.match(text, text.rfind("\n") + 1)
    for found in (*_CLAIM.finditer(text), *(label for label in labels if label)):
        another: re.Match[str] | None = found
        while another is not None:
            claimed.add((another[1] or another[2]).upper())
            another = _MORE.match(text, another.end())
    return claimed


def _within(whole: str, texts: Sequence[tuple[str, str]]) -> set[str]:
    here = [(letter, named) for letter, named in texts if named in whole and _is_word_of(named, whole)]
    return {letter for letter, named in here if not any(named != other and named in other for _, other in here)}


def _is_word_of(named: str, whole: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(named)}(?!\w)", whole) is not None


def shown(question: str) -> list[tuple[str, str]]:
    """The options that a question shows: lines `A. text` or `(A) text`, or `(A) text (B) text` in a row, from A on.

    The last such run counts, and the longest of the three forms; empty where there are not at least two.
    """
    return max((_run(pattern.findall(question)) for pattern in _SHOWN), key=len)


def _run(options: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The last run A, B, C, ... of at least two."""
    run: list[tuple[str, str]] = []
    last: list[tuple[str, str]] = []
    for letter, text in options:
        if letter == "A":
            run = []
        if letter == chr(ord("A") + len(run)):
            run.append((letter, text))
            if len(run) >= 2:
                last = run
    return last
