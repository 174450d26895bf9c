"""What was measured, as values: a line says how many times better than something else we are, and what was promised."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Repeated figures; smaller is better."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        return cls(median=statistics.median(figures), least=min(figures), most=max(figures))

    def times(self, factor: float) -> Spread:
        return Spread(median=self.median * factor, least=self.least * factor, most=self.most * factor)

    def text(self) -> str:
        if self.least == self.most:
            return _short(self.median)
        return f"{_short(self.median)} ({_short(self.least)}-{_short(self.most)})"


def _short(figure: float) -> str:
    return f"{figure:.3g}" if abs(figure) < 1000 else f"{figure:,.0f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Ours against theirs. The ratio is theirs / ours: twice is twice as good. Without a target it only informs."""

    what: str
    ours: Spread
    against: str
    theirs: Spread | str | None
    """None where a peer is not installed; a text where there is nothing to set beside for another reason."""
    unit: str
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.theirs.median / self.ours.median if isinstance(self.theirs, Spread) and self.ours.median else None

    @property
    def met(self) -> bool | None:
        return None if self.target is None or self.ratio is None else self.ratio >= self.target

    def cells(self) -> list[str]:
        theirs = self.theirs.text() if isinstance(self.theirs, Spread) else self.theirs or "not installed"
        ratio = "-" if self.ratio is None else f"{_short(self.ratio)}x"
        target = "-" if self.target is None else f">= {_short(self.target)}x"
        met = {True: "yes", False: "MISSED", None: "-"}[self.met]
        return [self.what, self.unit, self.ours.text(), self.against, theirs, ratio, target, met]

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def limit(bound: float) -> Spread:
    """A bound that is ours alone to keep, as the other side of a line: met from a ratio of 1."""
    return Spread.of([bound])


def table(lines: Sequence[Line]) -> str:
    """The lines under their headings, aligned."""
    heading = ["what", "unit", "ours", "against", "theirs", "ratio", "target", "met"]
    rows = [heading, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
