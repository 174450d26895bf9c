"""Where things are on this machine: the root that paths are relative to, and the cache. Nothing here enters a manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

#: Told as work goes on: (what, bytes done, bytes in all).
Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The root of all paths of a recipe, and a folder for what can be computed again."""

    root: Path
    cache: Path
    progress: Progress = lambda _what, _done, _total: None

    def room(self, name: str) -> Path:
        """A folder of the cache, made if need be."""
        folder = self.cache / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
