"""What is known of every sample while a plan is carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute import frames
from recipe_compiler.execute.task import Chosen
from recipe_compiler.manifest.schema import Optimum, Request, Share, Step
from recipe_compiler.plan import nodes


@dataclass(slots=True)
class State:
    """All samples of the training pools, and which of them are still alive: nothing is copied when some leave."""

    frame: pl.DataFrame
    keys: kernels.Keys
    alive: kernels.Bools
    left_at: NDArray[np.uint16]
    times: kernels.U32
    funnel: list[Step]
    exits: list[nodes.Node | None]
    requests: list[Request] = field(default_factory=list)
    strata: list[Share] = field(default_factory=list)
    optima: list[Optimum] = field(default_factory=list)
    annotated: set[str] = field(default_factory=set)
    counted: str | None = None

    def chose(self, chosen: Chosen) -> None:
        """Notes what a selection was asked for and what came of it."""
        self.requests += chosen.requests
        self.strata += chosen.strata
        self.optima += chosen.optima

    def step(self, what: str, node: nodes.Node | None, alive: kernels.Bools) -> None:
        """Goes on with fewer rows, and notes which left and how many of each pool are left and gone."""
        gone = self.alive & ~alive
        self.exits.append(node)
        self.left_at[gone] = len(self.funnel)
        kept, dropped = (frames.counts_of(self.frame, self.keys.pool, rows) for rows in (alive, gone))
        self.funnel.append(Step(what=what, kept=kept, dropped=dropped))
        self.alive = alive


def way(funnel: Sequence[Step], pools: Sequence[str] = ()) -> list[str]:
    """How many samples each step left, and of which pools there are some in the end."""
    steps = "; ".join(f"{step.what}: {sum(step.kept.values()):,}" for step in funnel)
    return [f"samples after each step: {steps}", *([f"what is left is of {', '.join(pools[:8])}"] if pools else [])]
