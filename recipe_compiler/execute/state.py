"""What is known of every sample while a plan is carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.execute import frames
from recipe_compiler.execute.task import Chosen
from recipe_compiler.manifest.schema import Optimum, Request, Share, Step
from recipe_compiler.plan import nodes


@dataclass(slots=True)
class State:
    """All samples of the training pools, and which of them are still alive: nothing is copied when some leave.

    `repeated` are the rows of which another one has the same id, where any rule asks for them.
    `times` says how often each of those that were `taken` may be drawn, some of which may have left since; once without.
    """

    frame: pl.DataFrame
    keys: kernels.Keys
    repeated: kernels.Repeated
    alive: kernels.Bools
    left_at: NDArray[np.uint16]
    taken: kernels.Bools
    funnel: list[Step]
    exits: list[nodes.Node | None]
    requests: list[Request] = field(default_factory=list)
    strata: list[Share] = field(default_factory=list)
    optima: list[Optimum] = field(default_factory=list)
    times: kernels.Times | None = None
    annotated: set[str] = field(default_factory=set)
    counted: str | None = None

    def take(self, times: kernels.Times) -> None:
        """A selection decided how often each sample may be drawn."""
        self.times, self.taken = times, times.view(np.bool_) if times.dtype == np.uint8 else times > 0

    def multiply(self, times: kernels.Times, rows: kernels.Bools) -> None:
        """The selection of a stage decided how often each of these may be drawn, as often as the recipe's own lets it."""
        own = np.ones(len(times), dtype=np.uint32) if self.times is None else self.times
        self.times = np.where(rows, own * times, own)

    def drawn(self) -> kernels.Times:
        """How often each sample may be drawn: 0 where it is out."""
        if self.times is None:
            return self.alive.view(np.uint8)
        return self.times if self.alive is self.taken else self.times * self.alive

    def chose(self, chosen: Chosen) -> None:
        """Notes what a selection was asked for and what came of it."""
        self.requests += chosen.requests
        self.strata += chosen.strata
        self.optima += chosen.optima

    def step(self, what: str, node: nodes.Node | None, alive: kernels.Bools) -> None:
        """Goes on with fewer rows, and notes which left and how many of each pool are left and gone."""
        names = frames.pool_names(self.frame)
        numbers = np.arange(len(names), dtype=np.uint32)
        ends = np.searchsorted(self.keys.pool, numbers, side="right").astype(np.uint64)
        kept, dropped = table.leave(ends, before=self.alive, after=alive, left_at=self.left_at, step=len(self.funnel))
        self.exits.append(node)
        self.funnel.append(Step(what=what, kept=frames.by_name(names, kept), dropped=frames.by_name(names, dropped)))
        self.alive = alive


def way(funnel: Sequence[Step], pools: Sequence[str] = ()) -> list[str]:
    """How many samples each step left, and of which pools there are some in the end."""
    steps = "; ".join(f"{step.what}: {sum(step.kept.values()):,}" for step in funnel)
    return [f"samples after each step: {steps}", *([f"what is left is of {', '.join(pools[:8])}"] if pools else [])]
