"""Which stage takes each sample: the first whose condition holds for it and whose own selection takes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute.expressions import Lowering, holds
from recipe_compiler.execute.methods import take
from recipe_compiler.execute.state import State, way
from recipe_compiler.execute.task import Samples, Task
from recipe_compiler.execute.watch import Watch
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import describe
from recipe_compiler.plan.lower import Plan
from recipe_compiler.syntax.expression import Expression


def assign(
    state: State, plan: Plan, checked: CheckedRecipe, findings: Findings, watch: Watch | None
) -> NDArray[np.signedinteger]:
    """The number of the stage that takes each sample that is left; -1 for all others."""
    height = state.frame.height
    taken_by: NDArray[np.signedinteger] | None = None
    # A byte a row is enough for nearly all recipes.
    number_of = np.int8 if len(plan.nodes) <= np.iinfo(np.int8).max else np.int16
    left, num_left = state.alive, int(np.count_nonzero(state.alive))
    # Which selection of a stage refused a sample last; -1 where none did.
    chooses = any(node.at[0] == "stages" and not isinstance(node.operation, nodes.Stage) for node in plan.nodes)
    refused_by = np.full(height if chooses else 0, -1, dtype=np.int32)
    refusals: list[nodes.Node] = []
    stages: list[nodes.Node] = []
    waiting: list[nodes.Node] = []
    samples: list[int] = []
    for node in plan.nodes:
        operation = node.operation
        if not isinstance(operation, nodes.Stage):
            if node.at[0] == "stages":
                waiting.append(node)
            continue
        able = left if operation.where is None else left & _holds(operation.where, node, state, checked, findings)
        if watch is not None:
            watch.offered(node, operation, state.frame, left, able, chosen=bool(waiting))
        for selection in waiting:
            able = _chosen(selection, able, state, checked, findings, watch, refused_by, len(refusals))
            refusals.append(selection)
        # It was -1: what a stage is offered is left by all before it.
        own = able.view(np.int8)
        taken_by = own - number_of(1) if taken_by is None else taken_by + own * number_of(len(stages) + 1)
        samples.append(num_left if able is left else int(np.count_nonzero(able)))
        num_left -= samples[-1]
        # A stage without a condition and a selection of its own takes all that is left.
        left = np.zeros(height, dtype=np.bool_) if able is left else left > able
        stages.append(node)
        waiting = []
    for number, node in enumerate(refusals):
        refused = left & (refused_by == number)
        if refused.any():
            left = left & ~refused
            num_left -= int(np.count_nonzero(refused))
            stage = next(stage for stage in stages if stage.at == node.at[: len(stage.at)])
            assert isinstance(stage.operation, nodes.Stage)
            state.step(f"{describe(node.operation)} in stage {stage.operation.name}", node, state.alive & ~refused)
    if num_left:
        findings.warn("note.unassigned", f"{num_left:,} samples belong to no stage and are left out")
        state.step("no stage takes them", None, state.alive & ~left)
    for node, num in zip(stages, samples, strict=True):
        if num == 0:
            assert isinstance(node.operation, nodes.Stage)
            headline = f"stage `{node.operation.name}` has no samples"
            notes = way(state.funnel, [pool for pool, count in state.funnel[-1].kept.items() if count])
            findings.error("execute.empty", headline, checked.span(*node.at), notes=notes)
    findings.stop_if_errors()
    assert taken_by is not None
    return taken_by


def _holds(
    where: Expression, node: nodes.Node, state: State, checked: CheckedRecipe, findings: Findings
) -> kernels.Bools:
    condition = Lowering(state.frame, findings, checked.expression_place(*node.at, "where")).condition(where)
    findings.stop_if_errors()
    return holds(state.frame, condition)


def _chosen(
    node: nodes.Node,
    able: kernels.Bools,
    state: State,
    checked: CheckedRecipe,
    findings: Findings,
    watch: Watch | None,
    refused_by: NDArray[np.int32],
    number: int,
) -> kernels.Bools:
    """What a selection of a stage takes of the samples it is offered; it marks those that it refuses."""
    operation = node.operation
    assert not isinstance(operation, nodes.NOT_TAKING)
    samples = Samples(frame=state.frame, keys=state.keys, alive=able)
    chosen = take(Task(samples=samples, node=node, checked=checked, findings=findings, watch=watch), operation)
    findings.stop_if_errors()
    taken: kernels.Bools = chosen.times > 0
    state.multiply(chosen.times, taken)
    state.chose(chosen)
    refused_by[able & ~taken] = number
    return taken
