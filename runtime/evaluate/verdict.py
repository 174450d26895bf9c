"""What a metric says of one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score from 0 to 1. `read` is what the answer was understood as, None where it could not be: it is malformed."""

    score: float
    read: str | None

    @property
    def malformed(self) -> bool:
        """Whether the answer has no form that the metric can read. It counts as wrong."""
        return self.read is None


@dataclass(frozen=True, slots=True)
class Reference:
    """What an answer is judged by: the accepted answers, and the options (letter, text) of a multiple choice."""

    answers: Sequence[str]
    options: Sequence[tuple[str, str]] = ()


WRONG = Verdict(0.0, None)
