"""`run`: a bound plan -> a selection: which samples, how often, for which stage, and what became of all others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute import frames
from recipe_compiler.execute.annotations import annotate
from recipe_compiler.execute.expressions import Lowering
from recipe_compiler.execute.select import select
from recipe_compiler.execute.watch import Watch
from recipe_compiler.manifest.schema import Request, Share, Step
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import describe
from recipe_compiler.resolve.bind import BoundPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen samples in canonical order, with `times` (uses) and `stage` (its number), and the way to them.

    `universe` holds every sample of the training pools whose media are there, with the columns it had when the pools
    were united, and `left_at` the step of the funnel that each left at, 0 where it is among the chosen; `@row` of
    `frame` is the place in it. `exits` says, for each step of the funnel, which node of the plan took samples away.
    """

    bound: BoundPlan
    frame: pl.DataFrame
    universe: pl.DataFrame
    left_at: NDArray[np.uint16]
    exits: tuple[nodes.Node | None, ...]
    stages: tuple[nodes.Node, ...]
    funnel: tuple[Step, ...]
    requests: tuple[Request, ...]
    strata: tuple[Share, ...]


@dataclass(slots=True)
class _State:
    watch: Watch | None
    frame: pl.DataFrame = field(default_factory=pl.DataFrame)
    universe: pl.DataFrame = field(default_factory=pl.DataFrame)
    left_at: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, dtype=np.uint16))
    exits: list[nodes.Node | None] = field(default_factory=list)
    funnel: list[Step] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    strata: tuple[Share, ...] = ()
    annotated: set[str] = field(default_factory=set)

    def read(self, step: Step) -> None:
        """Notes a step that no node took."""
        self.funnel.append(step)
        self.exits.append(None)

    def step(self, what: str, node: nodes.Node | None, frame: pl.DataFrame) -> None:
        """Goes on with fewer rows, and notes which left and how many of each pool are left and gone."""
        self.exits.append(node)
        self.left_at[self.frame["@row"].to_numpy()] = len(self.funnel)
        self.left_at[frame["@row"].to_numpy()] = 0
        before, kept = frames.counts(self.frame), frames.counts(frame)
        dropped = {pool: num - kept.get(pool, 0) for pool, num in before.items() if num != kept.get(pool, 0)}
        self.funnel.append(Step(what=what, kept=kept, dropped=dropped))
        self.frame = frame


def run(bound: BoundPlan, checked: CheckedRecipe, findings: Findings, watch: Watch | None = None) -> Selection:
    """Carries out the plan's operations on rows, in order. Stops at the first whose findings are errors.

    A `watch` is told what becomes of the rows it follows.
    """
    state = _State(watch)
    annotations = {annotation.node.digest: annotation for annotation in bound.annotations}
    for node in bound.plan.nodes:
        match node.operation:
            case nodes.Unite() as operation:
                _unite(state, bound, operation, findings)
            case nodes.Annotate() as operation:
                annotation = annotations[node.digest]
                state.frame = annotate(state.frame, operation, annotation, state.annotated, checked, findings)
            case nodes.Filter() as operation:
                lowering = Lowering(state.frame, findings, checked.expression_place(*node.at))
                condition = lowering.condition(operation.where)
                findings.stop_if_errors()
                kept = state.frame.filter(condition)
                if watch is not None:
                    watch.filtered(node, operation, state.frame, kept)
                state.step(describe(operation), node, kept)
            case nodes.Deduplicate() as operation:
                kept = state.frame.filter(kernels.first_of_equals(frames.keys(state.frame)))
                if watch is not None:
                    watch.deduplicated(node, operation, state.frame, kept)
                state.step(describe(operation), node, kept)
            case nodes.Select() as operation:
                chosen = select(state.frame, node, operation, checked, findings, watch)
                findings.stop_if_errors()
                state.step(describe(operation), node, chosen.frame)
                state.requests += chosen.requests
                state.strata = chosen.strata
            case nodes.Scan() | nodes.Stage() | nodes.Cut():
                pass
        findings.stop_if_errors()
        if not isinstance(node.operation, nodes.Scan) and state.frame.height == 0:
            headline = f"no sample is left after `{describe(node.operation)}`"
            findings.error("execute.empty", headline, checked.span(*node.at))
            findings.stop_if_errors()
    if "times" not in state.frame.columns:
        state.frame = state.frame.with_columns(pl.lit(1, dtype=pl.UInt32).alias("times"))
    stages = tuple(node for node, _ in bound.plan.select(nodes.Stage))
    _assign(state, stages, checked, findings)
    return Selection(
        bound=bound,
        frame=state.frame,
        universe=state.universe,
        left_at=state.left_at,
        exits=tuple(state.exits),
        stages=stages,
        funnel=tuple(state.funnel),
        requests=tuple(state.requests),
        strata=state.strata,
    )


def _unite(state: _State, bound: BoundPlan, operation: nodes.Unite, findings: Findings) -> None:
    labels = frames.Labels.of(bound.pools)
    parts: list[pl.DataFrame] = []
    seen: dict[str, int] = {}
    read: dict[str, int] = {}
    gone: dict[str, int] = {}
    num_sources = 0
    for pool in bound.pools:
        num_samples = read[pool.scan.pool] = pool.samples
        if pool.scan.role == "holdout":
            gone[pool.scan.pool] = num_samples
        else:
            # What a holdout carries is no column, and does not decide the type of one.
            for file in pool.files:
                for name, mask in file.index.seen.items():
                    seen[name] = seen.get(name, 0) | mask
            frame = frames.pool_frame(pool, num_sources, labels)
            present = frames.without_missing_media(frame, pool.missing_media)
            if present.height < num_samples:
                gone[pool.scan.pool] = num_samples - present.height
            parts.append(present)
        num_sources += len(pool.files)
    state.read(Step(what="read", kept=dict(sorted(read.items())), dropped={}))
    united = frames.unite(parts, seen, per_image=operation.per_image, per_video=operation.per_video)
    state.universe = state.frame = united.with_row_index("@row")
    state.left_at = np.zeros(united.height, dtype=np.uint16)
    if gone:
        kept = frames.counts(state.frame)
        state.read(Step(what="holdouts and missing media", kept=kept, dropped=dict(sorted(gone.items()))))
    _tell_duplicates(state.frame, bound, findings)
    _tell_unanswered(state.frame, findings)


def _tell_duplicates(frame: pl.DataFrame, bound: BoundPlan, findings: Findings) -> None:
    if any(isinstance(node.operation, nodes.Deduplicate) for node in bound.plan.nodes):
        return
    num = frame.height - int(kernels.first_of_equals(frames.keys(frame)).sum())
    if num:
        noun = "sample repeats" if num == 1 else "samples repeat"
        headline = f"{num:,} {noun} another one exactly"
        findings.warn("note.duplicates", headline, help="drop them with `dedup: {exact: true}`")


def _tell_unanswered(frame: pl.DataFrame, findings: Findings) -> None:
    counts = frames.counts(frame.filter(pl.col("answers") == 0))
    if counts:
        listed = ", ".join(f"{pool} {num:,}" for pool, num in counts.items())
        headline = f"{sum(counts.values()):,} samples have no assistant turn ({listed})"
        findings.warn("note.no-answer", headline, help="keep them out with `filter: [answers > 0]`")


def _assign(state: _State, stages: tuple[nodes.Node, ...], checked: CheckedRecipe, findings: Findings) -> None:
    """Gives each sample to the first stage that takes it."""
    stage = pl.lit(None, dtype=pl.UInt32)
    conditions: list[pl.Expr] = []
    for number, node in reversed(list(enumerate(stages))):
        operation = node.operation
        assert isinstance(operation, nodes.Stage)
        if operation.where is None:
            condition = pl.lit(True)
        else:
            place = checked.expression_place(*node.at, "where")
            condition = Lowering(state.frame, findings, place).condition(operation.where)
        conditions.insert(0, condition)
        stage = pl.when(condition).then(pl.lit(number, dtype=pl.UInt32)).otherwise(stage)
    findings.stop_if_errors()
    assigned = state.frame.with_columns(stage.alias("stage"))
    taken = assigned.filter(pl.col("stage").is_not_null())
    left = assigned.height - taken.height
    if state.watch is not None:
        state.watch.assigned(stages, conditions, assigned)
    state.frame = assigned
    if left:
        state.step("no stage takes them", None, taken)
        findings.warn("note.unassigned", f"{left:,} samples belong to no stage and are left out")
    state.frame = taken
    for number, node in enumerate(stages):
        if taken.filter(pl.col("stage") == number).height == 0:
            assert isinstance(node.operation, nodes.Stage)
            headline = f"stage `{node.operation.name}` has no samples"
            findings.error("execute.empty", headline, checked.span(*node.at))
    findings.stop_if_errors()
