"""One side of a comparison: a manifest, its draws, and, where it could be compiled again, what became of every sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.manifest.schema import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A step at which samples left: the rule, the line of the recipe, and what the rule is made of."""

    rule: str
    line: str
    place: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fates:
    """What became of every sample of the training pools: `left_at[row]` is the step it left at, 0 where it was selected;
    `stage[row]` the stage that took it, if one did. A sample that left and is drawn all the same was drawn by the manifest
    that this one goes on from. `exits` are the steps by number, `stages` the stages by number."""

    left_at: NDArray[np.uint16]
    stage: NDArray[np.signedinteger]
    exits: Mapping[int, Exit]
    stages: tuple[Exit, ...]
    pool_lines: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """`keys` tell samples apart (`pool` numbers `pools`, the same on both sides); `draws` are rows of them, in order.

    Without `fates`, `why_not` says why the manifest could not be compiled again.
    """

    title: str
    manifest: Manifest
    pools: tuple[str, ...]
    keys: kernels.Keys
    draws: kernels.U32
    stage: kernels.U32
    column: Callable[[str], pl.Series | None]
    """The values of a column, one for each of the samples; None where there is no such column."""
    times: kernels.U64
    """How often each of the samples is drawn."""
    first: kernels.I64
    """The position at which each of the samples is drawn first; -1 where it is not drawn."""
    fates: Fates | None
    why_not: str

    def labels(self, name: str) -> dict[str, str]:
        """The value of a label (`pool`, `group`, `category`) for each pool."""
        if name == "pool":
            return {pool.name: pool.name for pool in self.manifest.pools}
        # What the recipe says of a pool comes after what an earlier one said.
        refs = (*self.manifest.pools, *self.manifest.own_pools)
        return {pool.name: getattr(pool, name) or "(none)" for pool in refs}
