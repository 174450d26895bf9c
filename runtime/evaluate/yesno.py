"""Yes or no: POPE's figures, and HallusionBench's consistency."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from runtime.evaluate.verdict import WRONG, Reference, Verdict

_WORDS = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_YES = frozenset(("yes", "true"))
_NO = frozenset(("no", "not", "false"))
_ALONE = {"1": "yes", "0": "no"}
#: What tells HallusionBench's questions and figures apart, as columns of its pool; `kind` is its `category`.
HALLUSION = ("kind", "subcategory", "set_id", "figure_id", "question_id")


def yesno(answer: str, reference: Reference) -> Verdict:
    """1 if the answer says what the reference says. One that says neither, or both, is malformed and wrong.

    Both are read by `said`. POPE's scorer (arXiv 2305.10355) looks at the first sentence for `no` and `not` and takes all
    else for a yes, an empty answer too; on answers that say one of them in their first sentence, both agree.
    """
    read = said(answer)
    return Verdict(float(any(said(gold) == read for gold in reference.answers)), read) if read is not None else WRONG


def said(text: str) -> str | None:
    """`yes` or `no`, or None: by the first word if it is one of them, else by all words of the first sentence.

    Words for no are `no`, `not` and `false`, for yes `yes` and `true`; a `1` or `0` alone is one too.
    """
    sentence = text.strip().partition(".")[0].partition("\n")[0].lower()
    words = _WORDS.findall(sentence)
    if not words:
        return None
    if len(words) == 1 and words[0] in _ALONE:
        return _ALONE[words[0]]
    first = words[0]
    if first in _YES:
        return "yes"
    if first in _NO:
        return "no"
    # `not true` is a no, `is not` too, and `yes and no` is neither.
    says_no, says_yes = not _NO.isdisjoint(words), "yes" in words or ("true" in words and _NO.isdisjoint(words))
    return None if says_no == says_yes else "no" if says_no else "yes"


def pope(pairs: Iterable[tuple[str | None, str]]) -> dict[str, float]:
    """POPE's figures of (what was read, what is right): accuracy, precision, recall, F1 (for yes), and the share of yes.

    An answer that says neither is no yes and no no: it is wrong, is missed by recall, and is in no precision. A figure
    with nothing to divide by is 0.
    """
    counts: dict[tuple[str | None, str], int] = defaultdict(int)
    for pair in pairs:
        counts[pair] += 1
    total, hits = sum(counts.values()), counts["yes", "yes"]
    num_said = hits + counts["yes", "no"]
    num_true = sum(number for (_, right), number in counts.items() if right == "yes")
    return {
        "accuracy": _share(hits + counts["no", "no"], total),
        "precision": _share(hits, num_said),
        "recall": _share(hits, num_true),
        "f1": _share(2 * hits, num_said + num_true),
        "yes_ratio": _share(num_said, total),
    }


def hallusion(rows: Sequence[tuple[Mapping[str, str | None], bool]]) -> dict[str, float]:
    """HallusionBench's accuracies (arXiv 2310.14566) of (columns, right): per question `all`, per `figure`, per `question`.

    A figure counts where every question about it is right, and a question where it is right about every figure. Questions
    of kind VS with figure 0 have no figure and count for no figure. The benchmark's own judge, a language model, lets
    "uncertain" pass on these; here it is malformed and wrong.
    """
    figures: dict[tuple[str | None, ...], list[bool]] = defaultdict(list)
    questions: dict[tuple[str | None, ...], list[bool]] = defaultdict(list)
    for columns, right in rows:
        kind, subcategory, group, figure, question = (columns[name] for name in HALLUSION)
        questions[kind, subcategory, group, question].append(right)
        if not (kind == "VS" and figure == "0"):
            figures[kind, subcategory, group, figure].append(right)
    return {
        "all": _share(sum(right for _, right in rows), len(rows)),
        "figure": _share(sum(map(all, figures.values())), len(figures)),
        "question": _share(sum(map(all, questions.values())), len(questions)),
    }


def _share(part: int, whole: int) -> float:
    return float(Fraction(part, whole)) if whole else 0.0
