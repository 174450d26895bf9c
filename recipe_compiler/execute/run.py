"""`run`: a bound plan -> a selection: which samples, how often, for which stage, and what became of all others."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute import frames
from recipe_compiler.execute.annotations import annotate
from recipe_compiler.execute.assign import assign
from recipe_compiler.execute.equals import Alike, Ids
from recipe_compiler.execute.expressions import Lowering, holds
from recipe_compiler.execute.methods import take
from recipe_compiler.execute.recount import recount
from recipe_compiler.execute.state import State, way
from recipe_compiler.execute.task import Samples, Task
from recipe_compiler.execute.watch import Watch
from recipe_compiler.manifest.schema import Optimum, Request, Share, Step
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import describe
from recipe_compiler.resolve.bind import BoundPlan
from recipe_compiler.syntax.expression import Expression, columns

#: Pools that are looked at at once.
_THREADS = 4


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
    state = _unite(bound, unite, checked, findings)
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


def _unite(bound: BoundPlan, operation: nodes.Unite, checked: CheckedRecipe, findings: Findings) -> State:
    """All samples of the training pools whose media are there."""
    labels = frames.Labels.of(bound.pools).literals(bound.pools)
    firsts = itertools.accumulate((len(pool.files) for pool in bound.pools), initial=0)
    numbers = frames.small_type(sum(len(pool.files) for pool in bound.pools))
    # What a holdout carries is no column, and does not decide the type of one.
    trained = [of for of in zip(bound.pools, firsts, labels, strict=False) if of[0].scan.role != "holdout"]
    pools = [pool for pool, *_ in trained]
    deduplicates = any(isinstance(node.operation, nodes.Deduplicate) for node in bound.plan.nodes)
    repeats = deduplicates or any(pool.repeats for pool in bound.pools)
    seen: dict[str, int] = {}
    for name, mask in (item for pool in pools for file in pool.files for item in file.index.seen.items()):
        seen[name] = seen.get(name, 0) | mask
    read = {pool.scan.pool: pool.samples for pool in bound.pools}
    gone = {pool.scan.pool: pool.samples for pool in bound.pools if pool.scan.role == "holdout"}
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(_THREADS) as threads:
        # Equals are sought, and then numbered, while tables are made of everything else.
        alike = thread.submit(Alike.of, pools, repeats=repeats)
        parts = list(threads.map(lambda of: frames.pool_frame(of[0], of[1], numbers, of[2]), trained))
        numbered = thread.submit(lambda: Ids.of(alike.result(), parts))
        present, there = [], parts
        if any(pool.missing_media for pool in pools):
            present = [frames.with_media(part, pool.missing_media) for part, pool in zip(parts, pools, strict=True)]
            there = [part.filter(kept) for part, kept in zip(parts, present, strict=True)]
        frame, most = frames.unite(there, seen, per_image=operation.per_image, per_video=operation.per_video)
        codes = table.codes(frames.pieces(frame["pool"].to_physical()))
        unanswered = _unanswered(frame, codes)
        ids = numbered.result()
    for pool, part in zip(pools, there, strict=True):
        if part.height < pool.samples:
            gone[pool.scan.pool] = pool.samples - part.height
    funnel = [Step(what="read", kept=dict(sorted(read.items())), dropped={})]
    if there is not parts:
        # Samples are numbered before any is left out.
        ids = ids.only(np.concatenate(present))
    frame = frame.hstack([frames.series("occurrence", ids.occurrence)])
    if most > np.iinfo(np.uint32).max:
        headline = f"a sample counts for {most:,} tokens; {np.iinfo(np.uint32).max:,} is the most there can be"
        findings.error("execute.too-many", headline, checked.span("tokens"), help="let an image or a video cost less")
        findings.stop_if_errors()
    keys = kernels.Keys(high=ids.high, low=ids.low, occurrence=ids.occurrence, pool=codes)
    alive = np.ones(frame.height, dtype=np.bool_)
    if gone:
        kept = frames.counts_of(frame, keys.pool, alive)
        funnel.append(Step(what="holdouts and missing media", kept=kept, dropped=dict(sorted(gone.items()))))
    if not deduplicates:
        _tell_duplicates(bound.repeats, findings)
    _tell_unanswered(unanswered, findings)
    return State(
        frame=frame,
        keys=keys,
        repeated=ids.repeated,
        alive=alive,
        left_at=np.zeros(frame.height, dtype=np.uint16),
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


def _unanswered(frame: pl.DataFrame, codes: kernels.U32) -> dict[str, int]:
    """How many samples of each pool have no assistant turn."""
    if frame["answers"].min() != 0:
        return {}
    return frames.counts_of(frame, codes, (frame["answers"] == 0).to_numpy())


def _tell_unanswered(counts: dict[str, int], findings: Findings) -> None:
    if counts:
        listed = ", ".join(f"{pool} {num:,}" for pool, num in counts.items())
        headline = f"{sum(counts.values()):,} samples have no assistant turn ({listed})"
        findings.warn("note.no-answer", headline, help="keep them out with `filter: [answers > 0]`")
