"""The shared score of a pool, from what a model measured and from the texts (GDO; papers, section b.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.goals.traits import Traits, number
from recipe_compiler.execute.task import Task
from recipe_compiler.plan import nodes

#: Columns that are read under their own names where the recipe names no others.
METRICS = (
    "loss_visual",
    "loss_blind",
    "frame_diversity",
    "vds",
    "quality",
    "ppl",
    "flow",
    "consistency",
    "tnc",
    "coverage",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """`rho` is the score of each row, `vds3` its visual dependence; `measured` is whether a model measured anything."""

    rho: kernels.F64
    vds3: kernels.F64
    measured: kernels.Bools


def scores(task: Task, operation: nodes.GoalDriven, traits: Traits) -> Scores | None:
    """The shared score of all rows that are able; None where the findings say why.

    Statistics are those of the rows that can be chosen. What is missing is missing, and no 0.
    """
    found = {name: number(task, operation.columns.get(name, name), name) for name in METRICS}
    if task.findings.errors:
        return None
    # A picture does not move, and its frames do not differ.
    still = traits.kind != 1
    vds = found["vds"]
    vds = np.where(np.isnan(vds), found["loss_blind"] - found["loss_visual"], vds)
    if np.isnan(found["quality"]).all():
        found["quality"] = kernels.goal_quality(
            (
                vds,
                _or(found["frame_diversity"], 0.0, still),
                found["consistency"],
                found["ppl"],
                _or(found["flow"], 0.0, still),
                np.where(np.isnan(found["tnc"]), (traits.temporal == 2).astype(np.float64), found["tnc"]),
                found["coverage"],
            ),
            traits.able,
        )
    if np.isnan(vds[traits.able]).all():
        told = "no sample has a visual dependence, so that the score is one of lengths and fields"
        way_out = "join `vds`, or `loss_visual` and `loss_blind`, with `annotations`, or name them in `columns`"
        task.findings.warn("note.unmeasured", told, task.span("goal"), help=way_out)
    rho, vds3, measured = kernels.goal_scores(
        rows=(traits.able, traits.kind, traits.temporal),
        lengths=(traits.question, traits.answer, traits.distinct),
        fields=traits.fields,
        source=traits.source,
        metrics=(found["loss_visual"], found["loss_blind"], found["frame_diversity"], vds, found["quality"]),
        without=("vds" in operation.without, "ppl" in operation.without, "sc" in operation.without),
    )
    return Scores(rho=rho, vds3=vds3, measured=measured)


def _or(values: kernels.F64, instead: float, where: kernels.Bools) -> kernels.F64:
    """The values, and another one where they are missing and that is known."""
    return np.where(np.isnan(values) & where, instead, values)
