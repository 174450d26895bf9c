"""Answers that are compared as text: exact match, VQA accuracy, relaxed accuracy, ANLS."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from recipe_compiler.errors import PackageMissing
from runtime.evaluate.verdict import WRONG, Reference, Verdict

_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
} | {"none": "0"}
_ARTICLES = frozenset(("a", "an", "the"))
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
#: ANLS: answers that share less than this are wrong.
ANLS_THRESHOLD = 0.5
#: Relaxed accuracy: a number may be off by this share of the reference.
RELAXED_TOLERANCE = 0.05
#: VQA accuracy: as many people as this must have said it.
VQA_AGREEMENT = 3


def normal(text: str) -> str:
    """NFKC, lower case (`casefold`), runs of white space as one space, none at the ends, and no full stop at the end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".").rstrip()


def exact(answer: str, reference: Reference) -> Verdict:
    """1 if the answer is one of the references after `normal`, else 0. The normalisation is our own."""
    read = normal(answer)
    return Verdict(float(any(read == normal(gold) for gold in reference.answers)), read) if read else WRONG


def relaxed(answer: str, reference: Reference) -> Verdict:
    """ChartQA's relaxed accuracy (arXiv 2203.10244, section 5.1), as its scorer reads numbers; the best of the references.

    Where both are numbers and the reference is not zero: 1 if they differ by at most 5% of the reference. Otherwise 1 if
    they are equal but for case. A number is what `float` reads; `62%` is 0.62. White space at the ends is taken off first.
    """
    read = answer.strip()
    if not read:
        return WRONG
    number, lowered = _number(read), read.lower()
    for gold in reference.answers:
        target = _number(gold.strip())
        if number is not None and target:
            if abs(number - target) / abs(target) <= RELAXED_TOLERANCE:
                return Verdict(1.0, read)
        elif lowered == gold.strip().lower():
            return Verdict(1.0, read)
    return Verdict(0.0, read)


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None


def anls(answer: str, reference: Reference) -> Verdict:
    """ANLS of DocVQA (arXiv 1905.13648, 2007.00398), as the challenge's scorer computes it; the best of the references.

    Both sides lower case, runs of white space as one space. The score is 1 - Levenshtein distance / the longer length in
    characters, and 0 where that is less than 0.5. (The paper's formula gives 0 at exactly 0.5 too; its scorer does not.)
    """
    try:
        from rapidfuzz.distance import Levenshtein
    except ModuleNotFoundError:
        raise PackageMissing("rapidfuzz", "evaluate") from None
    read = " ".join(answer.lower().split())
    if not read:
        return WRONG
    best = 0.0
    for gold in reference.answers:
        target = " ".join(gold.lower().split())
        longer = max(len(read), len(target))
        score = 1.0 - Levenshtein.distance(read, target, score_cutoff=longer // 2) / longer
        best = max(best, score)
    return Verdict(best if best >= ANLS_THRESHOLD else 0.0, read)


def vqa(answer: str, reference: Reference) -> Verdict:
    """VQA accuracy (arXiv 1505.00468): the mean over people of min(1, others who said the answer / 3).

    The references are what people said, ten of them in VQA, TextVQA and VizWiz. With fewer than four people, an answer
    that one of them gave counts 1. Both sides go through `spoken`.
    """
    read = spoken(answer)
    if not read:
        return WRONG
    said = [spoken(gold) == read for gold in reference.answers]
    num_said = sum(said)
    if len(said) <= VQA_AGREEMENT:
        return Verdict(float(num_said > 0), read)
    # Leaving one out who said it leaves one fewer; leaving out one who did not leaves them all.
    left = num_said * min(VQA_AGREEMENT, num_said - 1) + (len(said) - num_said) * min(VQA_AGREEMENT, num_said)
    return Verdict(left / (VQA_AGREEMENT * len(said)), read)


@lru_cache(maxsize=4096)  # People say the same thing ten times.
def spoken(text: str) -> str:
    """The normalisation of VQA's scorer: lower case, no punctuation, numbers to ten as digits, no articles.

    A mark of punctuation becomes a space, or nothing where it stands beside a space somewhere in the text, or where the
    text has a number such as `1,000`. In place of the scorer's list of contractions apostrophes are taken off both sides.
    """
    text = " ".join(text.lower().split()).replace("'", "").replace("\u2019", "")
    cleaned = text
    has_comma_in_number = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        if mark in text:
            beside = f"{mark} " in text or f" {mark}" in text
            cleaned = cleaned.replace(mark, "" if beside or has_comma_in_number else " ")
    words = [_NUMBERS.get(word, word) for word in _PERIOD.sub("", cleaned).split()]
    return " ".join(word for word in words if word not in _ARTICLES)
