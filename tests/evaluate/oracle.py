"""The metrics once more, slowly, from the papers: no code and no library of the product's scorers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction


def distance(first: str, second: str) -> int:
    """Levenshtein's, by the whole table."""
    table = [[row + column for column in range(len(second) + 1)] for row in range(len(first) + 1)]
    for row, letter in enumerate(first, 1):
        for column, other in enumerate(second, 1):
            table[row][column] = min(
                table[row - 1][column] + 1,
                table[row][column - 1] + 1,
                table[row - 1][column - 1] + (letter != other),
            )
    return table[-1][-1]


def anls(answer: str, golds: Iterable[str]) -> Fraction:
    """The smallest normalised distance over the golds; similarity where that is at least one half."""
    answer = " ".join(answer.strip().lower().split())
    if not answer:
        return Fraction(0)
    nearest = min(
        Fraction(distance(answer, gold), max(len(answer), len(gold)))
        for gold in (" ".join(gold.strip().lower().split()) for gold in golds)
    )
    return 1 - nearest if 1 - nearest >= Fraction(1, 2) else Fraction(0)


def number(text: str) -> Fraction | None:
    """A decimal number, exactly; a percentage is a hundredth."""
    body = text.strip()
    percent = body.endswith("%")
    body = body.rstrip("%").strip()
    digits = body.lstrip("+-")
    if not digits or digits.count(".") > 1 or not digits.replace(".", "").isdigit() or not digits.isascii():
        return None
    return Fraction(body) / (100 if percent else 1)


def relaxed(answer: str, gold: str) -> bool:
    """Within a twentieth where both are numbers and the gold is not zero, else the same text but for case."""
    said, right = number(answer), number(gold)
    if said is not None and right:
        return 20 * abs(said - right) <= abs(right)
    return bool(answer.strip()) and answer.strip().lower() == gold.strip().lower()


def vqa(answer: str, people: Sequence[str]) -> Fraction:
    """Leaving out each person in turn: a third for each of the others who said it, at most one; the mean of these."""
    shares = []
    for left_out in range(len(people)):
        others = [said for person, said in enumerate(people) if person != left_out]
        shares.append(min(Fraction(1), Fraction(sum(said == answer for said in others), 3)))
    return sum(shares, Fraction(0)) / len(shares)


def pope(answers: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """POPE's scorer: the first sentence without commas; `no` and `not` are no, and all else is yes."""
    said = []
    for answer in answers:
        words = answer.split(".")[0].replace(",", "").split(" ")
        said.append("no" if "No" in words or "not" in words or "no" in words else "yes")
    pairs = list(zip(said, labels, strict=True))
    tp, fp = pairs.count(("yes", "yes")), pairs.count(("yes", "no"))
    tn, fn = pairs.count(("no", "no")), pairs.count(("no", "yes"))
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return {
        "accuracy": (tp + tn) / len(pairs),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
        "yes_ratio": said.count("yes") / len(said),
    }
