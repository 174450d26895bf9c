"""Where the units of a manifest begin: its packs, or its batches of tokens. Positions are numbers of draws, units of runs of
them; who reads which units is arithmetic again (`runtime.partition`)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler.manifest.schema import Manifest
from runtime.errors import StreamError


class Units:
    """The borders of a manifest's units. `column` gives the `unit` of every row of a shard, by the shard's number.

    A manifest says with which unit each shard begins, so that any border is found in one shard.
    """

    def __init__(self, manifest: Manifest, column: Callable[[int], NDArray[Any]]) -> None:
        self.manifest = manifest
        self.column = column
        self._positions = [shard.start for shard in manifest.shards]
        self._units = [shard.unit for shard in manifest.shards]
        self._count: int | None = None

    @property
    def count(self) -> int:
        """How many units there are."""
        if self._count is None:
            last = len(self._units) - 1
            self._count = int(self.column(last)[-1]) + 1 if self._units else 0
        return self._count

    def start(self, unit: int) -> int:
        """The position at which a unit begins; for their number, the end."""
        if unit >= self.count:
            return self.manifest.draws
        # The shard before the first one that begins with this unit or a later one holds its first draw, unless that is
        # the very first row behind it.
        shard = max(bisect_left(self._units, unit) - 1, 0)
        return self._positions[shard] + int(np.searchsorted(self.column(shard), np.uint64(unit)))

    def number(self, position: int) -> int:
        """The unit that begins at a position. A position inside a unit raises `StreamError`."""
        if position == self.manifest.draws:
            return self.count
        shard = bisect_right(self._positions, position) - 1
        unit = int(self.column(shard)[position - self._positions[shard]])
        if self.start(unit) != position:
            kind = self.manifest.units.kind if self.manifest.units is not None else "unit"
            raise StreamError(f"{position:,} draws end inside {kind} {unit:,}, which begins at {self.start(unit):,}")
        return unit
