"""What mmSSR did with single samples: which capability and bin took it, or how far each came without taking it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recipe_compiler import kernels, table
from recipe_compiler.execute.methods.mmssr_bins import Bins
from recipe_compiler.execute.task import Task
from recipe_compiler.execute.watch import Met
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import describe


def scores_of(frame: pl.DataFrame, name: str) -> kernels.F64:
    """The scores of a capability; NaN where there is none, or none that is finite."""
    if frame.schema[name].is_integer() and not frame[name].null_count():
        return frame[name].to_numpy().astype(np.float64)
    number = pl.col(name).cast(pl.Float64)
    found = frame.select(pl.when(number.is_finite()).then(number).otherwise(float("nan")).alias("@score"))["@score"]
    return np.ascontiguousarray(found.to_numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The ranks of samples in the bins of a selection that is done."""

    task: Task
    operation: nodes.Mmssr
    key: int
    bins: Bins
    #: The cell of each row, made once: every sample that is asked for is looked up in it.
    cells: kernels.U32
    charged: kernels.Charged
    taken: kernels.Bools

    def met(self, row: int) -> list[Met]:
        """What took a sample; of one left out, what each capability has in each of its bins."""
        if not self.task.alive[row]:
            return []
        rule = describe(self.operation)
        capability = int(self.charged.capability[row]) - 1
        mine = self._bins(row)
        if capability >= 0:
            return [self._ranked(row, capability, mine[self.charged.place[row]], rule=rule, verdict="taken")]
        met = [
            self._ranked(row, number, bin_, rule=f"{name} in {self.bins.names[bin_]}", verdict="passed over")
            for number, name in enumerate(self.operation.capabilities)
            for bin_ in mine
        ]
        if self.taken[row]:
            note = "taken at random to fill the budget"
        else:
            note = "no capability came as far" if mine else f"it has no {self.operation.style}"
        verdict = "taken" if self.taken[row] else "left out"
        return [*met, Met(node=self.task.node, rule=rule, verdict=verdict, note=note)]

    def _bins(self, row: int) -> list[int]:
        cell = self.cells[row]
        start, end = self.bins.arrays.starts[cell : cell + 2].tolist()
        return [int(bin_) for bin_ in self.bins.arrays.bins[start:end]]

    def _ranked(self, row: int, capability: int, bin_: int, *, rule: str, verdict: str) -> Met:
        """Its rank among all that the bin has for the capability, and the rank of the last that was taken so."""
        name = self.operation.capabilities[capability]
        score = float(scores_of(self.task.frame, name)[row])
        values: dict[str, Any] = {"score": None if np.isnan(score) else score}
        if verdict == "taken":
            values = {"charged to": name, "bin": self.bins.names[bin_], **values}
        if not score > float(self.operation.threshold):
            note = "no score" if np.isnan(score) else f"{self.operation.threshold} is not exceeded"
            return Met(node=self.task.node, rule=rule, verdict=verdict, values=values, note=note)
        rows, places = self._members(capability, bin_)
        theirs = (self.charged.capability[rows] == capability + 1) & (self.charged.place[rows] == places)
        order = self._order(name, rows, places)
        last = np.flatnonzero(theirs[order])
        return Met(
            node=self.task.node,
            rule=rule,
            verdict=verdict,
            values=values,
            rank=int(np.flatnonzero(rows[order] == row)[0]) + 1,
            threshold=int(last[-1]) + 1 if len(last) else 0,
            of=len(rows),
        )

    def _members(self, capability: int, bin_: int) -> tuple[kernels.U32, kernels.U32]:
        """(rows that a bin has for a capability, the place of the bin among the bins of each)."""
        starts, of = self.bins.arrays.starts, np.flatnonzero(self.bins.arrays.bins == bin_)
        cells = np.searchsorted(starts, of, side="right") - 1
        place = np.full(len(starts) - 1, -1)
        place[cells] = of - starts[cells]
        places = place[self.cells]
        scores = scores_of(self.task.frame, self.operation.capabilities[capability])
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero(self.bins.able & (places >= 0) & (scores > float(self.operation.threshold)))
        return rows.astype(np.uint32), places[rows].astype(np.uint32)

    def _order(self, name: str, rows: kernels.U32, places: kernels.U32) -> kernels.I64:
        keys = table.keys_of(self.task.keys, rows)
        hashes = kernels.keyed_order(self.key, keys, turn=keys.occurrence.astype(np.uint64))
        (high,), (low,), occurrence, pool = keys
        ties = (pool, occurrence, low, high, hashes)
        worse = -scores_of(self.task.frame, name)[rows]
        return np.lexsort((*ties, worse, places) if self.operation.compat else (*ties, places, worse))
