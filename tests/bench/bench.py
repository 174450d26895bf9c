"""How large a run is, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A run. `scale` shrinks every size; each figure is the median of so many `repeats`."""

    folder: Path
    repeats: int
    scale: float

    def size(self, full: int) -> int:
        """A size of the full run, as large as this run has it."""
        return max(1000, int(full * self.scale))
