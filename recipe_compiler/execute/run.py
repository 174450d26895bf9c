"""`run`: a bound plan -> a selection: which samples, how often, for which stage, and what became of all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute import frames
from recipe_compiler.execute.annotations import annotate
from recipe_compiler.execute.assign import assign
from recipe_compiler.execute.expressions import Lowering, holds
from recipe_compiler.execute.methods import take
from recipe_compiler.execute.recount import recount
from recipe_compiler.execute.state import State, way
from recipe_compiler.execute.task import Samples, Task
from recipe_compiler.execute.united import deduplicates, united
from recipe_compiler.execute.watch import Watch
from recipe_compiler.manifest.schema import Optimum, Request, Share, Step
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import describe
from recipe_compiler.resolve.bind import BoundPlan
from recipe_compiler.syntax.expression import Expression, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which samples are chosen, and the way to them.

    `frame` holds every sample of the training pools whose media are there, in canonical order, and `keys` tell them
    apart. Of each row, `times` says how often it may be drawn (0 where it is out), `stage` the number of the stage that
    takes it (-1 where none does), and `left_at` the step of the funnel that it left at (0 where it is in). `exits` says,
    for each step of the funnel, which node of the plan took samples away. `counted` says who counted tokens exactly.
    """

    bound: BoundPlan
    frame: pl.DataFrame
    keys: kernels.Keys
    times: kernels.Times
    stage: NDArray[np.signedinteger]
    left_at: NDArray[np.uint16]
    exits: tuple[nodes.Node | None, ...]
    stages: tuple[nodes.Node, ...]
    funnel: tuple[Step, ...]
    requests: tuple[Request, ...]
    strata: tuple[Share, ...]
    optima: tuple[Optimum, ...]
    counted: str | None


def run(bound: BoundPlan, checked: CheckedRecipe, findings: Findings, watch: Watch | None = None) -> Selection:
    """Carries out the plan's operations on rows, in order. Stops at the first whose findings are errors.

    A `watch` notes what the rules decide.
    """
    ((_, unite),) = bound.plan.select(nodes.Unite)
    state = _begun(bound, unite, checked, findings)
    annotations = {annotation.node.digest: annotation for annotation in bound.annotations}
    for node in bound.plan.nodes:
        match node.operation:
            case nodes.Recount():
                place = annotations[node.digest]
                state.frame, state.counted = recount(state.frame, state.keys.pool, place, checked, findings)
            case nodes.Annotate() as operation:
                annotation = annotations[node.digest]
                state.frame = annotate(state.frame, operation, annotation, state.annotated, checked, findings)
            case nodes.Filter() as operation:
                condition = Lowering(state.frame, findings, checked.expression_place(*node.at)).condition(
                    operation.where
                )
                findings.stop_if_errors()
                kept = state.alive & holds(state.frame, condition)
                _tell_unscored(state, node, operation.where, kept, checked, findings)
                if watch is not None:
                    watch.filtered(node, operation, state.frame, state.alive, kept)
                state.step(describe(operation), node, kept)
            case nodes.Deduplicate() as operation:
                kept = kernels.first_of_equals(state.keys, state.repeated, state.alive)
                if watch is not None:
                    watch.deduplicated(node, operation, state.frame, state.keys, state.alive, kept)
                state.step(describe(operation), node, kept)
            case nodes.Scan() | nodes.Unite() | nodes.Stage() | nodes.Cut():
                pass
            case operation:
                if node.at[0] == "stages":
                    # A stage chooses among what is left to it.
                    continue
                samples = Samples(frame=state.frame, keys=state.keys, alive=state.alive)
                task = Task(samples=samples, node=node, checked=checked, findings=findings, watch=watch)
                chosen = take(task, operation)
                findings.stop_if_errors()
                state.take(chosen.times)
                state.step(describe(operation), node, state.taken)
                state.chose(chosen)
        findings.stop_if_errors()
        if not isinstance(node.operation, nodes.Scan) and not state.alive.any():
            headline = f"no sample is left after `{describe(node.operation)}`"
            findings.error("execute.empty", headline, checked.span(*node.at), notes=way(state.funnel))
            findings.stop_if_errors()
    stages = tuple(node for node, _ in bound.plan.select(nodes.Stage))
    stage = assign(state, bound.plan, checked, findings, watch)
    return Selection(
        bound=bound,
        frame=state.frame,
        keys=state.keys,
        times=state.drawn(),
        stage=stage,
        left_at=state.left_at,
        exits=tuple(state.exits),
        stages=stages,
        funnel=tuple(state.funnel),
        requests=tuple(state.requests),
        strata=tuple(state.strata),
        optima=tuple(state.optima),
        counted=state.counted,
    )


def _begun(bound: BoundPlan, operation: nodes.Unite, checked: CheckedRecipe, findings: Findings) -> State:
    """What is known of every sample before the first rule."""
    found = united(bound, operation)
    frame, ids, most = found.frame, found.ids, np.iinfo(np.uint32).max
    if found.most > most:
        headline = f"a sample counts for {found.most:,} tokens; {most:,} is the most there can be"
        findings.error("execute.too-many", headline, checked.span("tokens"), help="let an image or a video cost less")
        findings.stop_if_errors()
    read = {pool.scan.pool: pool.samples for pool in bound.pools}
    gone = {name: num - found.kept.get(name, 0) for name, num in sorted(read.items()) if num > found.kept.get(name, 0)}
    funnel = [Step(what="read", kept=dict(sorted(read.items())), dropped={})]
    keys = kernels.Keys(high=ids.high, low=ids.low, occurrence=ids.occurrence, pool=found.codes)
    alive = np.ones(frame.height, dtype=np.bool_)
    if gone:
        kept = frames.counts_of(frame, keys.pool, alive)
        funnel.append(Step(what="holdouts and missing media", kept=kept, dropped=gone))
    if not deduplicates(bound):
        _tell_duplicates(bound.repeats, findings)
    _tell_unanswered(found.unanswered, findings)
    return State(
        frame=frame,
        keys=keys,
        repeated=ids.repeated,
        alive=alive,
        left_at=table.zeros(frame.height, np.uint16),
        taken=alive,
        funnel=funnel,
        exits=[None] * len(funnel),
    )


def _tell_duplicates(num: int, findings: Findings) -> None:
    if num:
        noun = "sample repeats" if num == 1 else "samples repeat"
        headline = f"{num:,} {noun} another one exactly"
        findings.warn("note.duplicates", headline, help="drop them with `dedup: {exact: true}`")


def _tell_unscored(
    state: State, node: nodes.Node, where: Expression, kept: kernels.Bools, checked: CheckedRecipe, findings: Findings
) -> None:
    """Samples that a filter drops because a number is missing. A text that is missing is not told: it is none of those that are asked for."""
    frame = state.frame
    named = dict.fromkeys(column.name for column in columns(where))
    scores = [name for name in named if frame.schema[name].is_numeric() and frame[name].null_count()]
    if not scores:
        return
    unknown = Lowering(frame, findings, checked.expression_place(*node.at)).condition(where, known=False).is_null()
    dropped = state.alive & ~kept & holds(frame, unknown)
    without = int(np.count_nonzero(dropped))
    if without:
        gone = frame.select(scores).filter(pl.Series(dropped))
        listed = " or ".join(f"`{name}`" for name in scores if gone[name].null_count())
        noun = "sample has" if without == 1 else "samples have"
        headline = f"{without:,} {noun} no {listed} and cannot be kept"
        way_out = f"say what becomes of them with `{scores[0]} != null` or `{scores[0]} == null`"
        findings.warn("note.unscored", headline, checked.span(*node.at), help=way_out)


def _tell_unanswered(counts: dict[str, int], findings: Findings) -> None:
    if counts:
        listed = ", ".join(f"{pool} {num:,}" for pool, num in counts.items())
        headline = f"{sum(counts.values()):,} samples have no assistant turn ({listed})"
        findings.warn("note.no-answer", headline, help="keep them out with `filter: [answers > 0]`")
