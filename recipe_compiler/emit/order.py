"""The global order: the draws of each stage, exactly mixed.

A stage has sources: the values of the column it is mixed by, and the stages it replays. Each source has a sequence of
its own (shuffled, sorted or listed; pass after pass where it repeats), and the interleave decides whose turn it is. What
every batch is to hold comes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.emit.batches import StageBatcher
from recipe_compiler.emit.drawn import Drawn, StageDrawer
from recipe_compiler.emit.sources import Planned, StagePlanner
from recipe_compiler.emit.tables import read_tables
from recipe_compiler.emit.uses import Exposure, Uses, places_of
from recipe_compiler.execute.expressions import require_column
from recipe_compiler.execute.run import Selection
from recipe_compiler.execute.watch import Watch
from recipe_compiler.execute.weights import Tables
from recipe_compiler.manifest.schema import Request, Share, StageRef
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import batch_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Every draw, in order: its row of the selection, `stage`, `rule` and `repeat`; the rules by number; the stages; and
    what was asked of the order, beside what came of it."""

    rows: kernels.U32
    stage: kernels.U32
    rule: kernels.U32
    repeat: kernels.U32
    rules: tuple[str, ...]
    stages: tuple[StageRef, ...]
    requests: tuple[Request, ...]


def order(selection: Selection, checked: CheckedRecipe, findings: Findings, watch: Watch | None = None) -> Ordered:
    """Puts the selection in order. A `watch` is told which uses were drawn where not all were."""
    _check_columns(selection, checked, findings)
    tables = read_tables(selection.bound, checked, findings)
    findings.stop_if_errors()
    first = selection.stages[0].operation
    assert isinstance(first, nodes.Stage)
    run = _Run(selection, tables, checked, findings, watch, first.most)
    ordered = run.ordered()
    if run.short and not findings.errors:
        # What would be enough is how often a sample is drawn where there is no limit.
        free = _Run(selection, tables, checked, Findings(), None, _NO_LIMIT)
        free.ordered()
        needed = int(free.exposure.drawn.max(initial=0))
        for stage, missing in run.short.items():
            findings.error(
                "execute.short",
                f"stage `{stage}` is short of {missing:,} draws, because no sample may be drawn more than "
                f"{'once' if first.most == 1 else f'{first.most:,} times'}",
                checked.span("repeat", "max"),
                help=f"`max: {needed}` is enough; or let stages draw less",
            )
    findings.stop_if_errors()
    assert ordered is not None
    return ordered


#: A limit that no recipe reaches: those drawn less often come first all the same.
_NO_LIMIT = 2**31


class _Run:
    """Puts all stages in order, one after another. `short` says how many draws a limit keeps each stage from."""

    def __init__(
        self,
        selection: Selection,
        tables: Tables,
        checked: CheckedRecipe,
        findings: Findings,
        watch: Watch | None,
        most: int | None,
    ) -> None:
        self.selection = selection
        self.tables = tables
        self.checked = checked
        self.findings = findings
        self.watch = watch
        self.exposure = Exposure(selection.frame.height, most)
        self.short: dict[str, int] = {}

    def ordered(self) -> Ordered | None:
        """The order, or None where the findings or `short` say why there is none."""
        selection = self.selection
        times = selection.times
        taken = np.flatnonzero(times).astype(np.uint32)
        parts = places_of(selection.stage[taken].astype(np.uint32), len(selection.stages))
        by_stage = [taken] if len(parts) == 1 else [taken[places] for places in parts]
        pools: dict[str, Uses] = {}
        done: list[tuple[nodes.Stage, Planned, Drawn]] = []
        for node, members in zip(selection.stages, by_stage, strict=True):
            stage = node.operation
            assert isinstance(stage, nodes.Stage)
            own = pools[stage.name] = Uses.of(members, times[members])
            planner = StagePlanner(stage, node, selection.frame, own, pools, self.tables, self.checked, self.findings)
            planned = planner.planned()
            if planned is None or self.findings.errors:
                continue
            drawn = self.drawn(node, stage, planned)
            if drawn is not None:
                done.append((stage, planned, drawn))
        return None if self.findings.errors or self.short else self.joined(done)

    def drawn(self, node: nodes.Node, stage: nodes.Stage, planned: Planned) -> Drawn | None:
        """The draws of one stage, in batches."""
        drawer = StageDrawer(node, stage, self.selection, self.exposure, self.watch)
        drawn = drawer.drawn(planned)
        missing = drawer.short
        if stage.batch is not None and not missing:
            batcher = StageBatcher(
                node,
                stage,
                stage.batch,
                self.selection,
                self.exposure,
                self.checked,
                self.findings,
                self.watch,
                is_last=node is self.selection.stages[-1],
            )
            batched = batcher.batched(drawn, len(planned.sources))
            missing = batcher.short
        else:
            batched = drawn
        if missing:
            self.short[stage.name] = missing
            return None
        return batched

    def joined(self, done: list[tuple[nodes.Stage, Planned, Drawn]]) -> Ordered:
        """The draws of all stages as one order."""
        height = self.selection.frame.height
        rule: list[kernels.U32] = []
        rules: list[str] = []
        stages: list[StageRef] = []
        start = 0
        for stage, planned, drawn in done:
            realised = np.bincount(drawn.source, minlength=len(planned.sources)).tolist()
            rule.append(drawn.source + np.uint32(len(rules)))
            rules += [source.rule for source in planned.sources]
            padding = realised[len(planned.sources) :]
            rules += [f"padding of {stage.name}"] * len(padding)
            shares = [
                Share(
                    name=source.name,
                    requested=str(source.requested * stage.epochs),
                    available=len(source.uses),
                    realised=count,
                )
                for source, count in zip(planned.sources, realised, strict=False)
            ]
            samples = _num_different(drawn.rows, height)
            shares += [
                Share(name="padding", requested=str(Fraction(count)), available=samples, realised=count)
                for count in padding
            ]
            stages.append(
                StageRef(name=stage.name, start=start, draws=len(drawn), samples=samples, shares=tuple(shares))
            )
            start += len(drawn)
        whole = np.concatenate([drawn.rows for _, _, drawn in done])
        return Ordered(
            rows=whole,
            stage=np.repeat(np.arange(len(stages), dtype=np.uint32), [stage.draws for stage in stages]),
            rule=np.concatenate(rule),
            repeat=kernels.earlier_equals(whole, height),
            rules=tuple(rules),
            stages=tuple(stages),
            requests=tuple(self.requests(done)),
        )

    def requests(self, done: list[tuple[nodes.Stage, Planned, Drawn]]) -> Iterator[Request]:
        """What was asked of the order of stages, and of all of them."""
        for stage, planned, drawn in done:
            if isinstance(stage.weights, nodes.Course):
                blocks, wanted = len(planned.blocks), f"weights {stage.weights}"
                yield Request(
                    what=f"mix of {stage.name}", requested=wanted, available=blocks, realised=blocks, unit="blocks"
                )
            if stage.batch is not None:
                batches = -(-len(drawn) // stage.batch.rows)
                text = batch_text(stage.batch)
                yield Request(
                    what=f"order of {stage.name}", requested=text, available=batches, realised=batches, unit="batches"
                )
        if self.exposure.most is not None:
            most = int(self.exposure.drawn.max(initial=0))
            text = f"at most {self.exposure.most:,} of a sample"
            yield Request(what="repeat", requested=text, available=self.exposure.most, realised=most, unit="draws")


def _num_different(rows: kernels.U32, height: int) -> int:
    seen = np.zeros(height, dtype=np.bool_)
    seen[rows] = True
    return int(seen.sum())


def _check_columns(selection: Selection, checked: CheckedRecipe, findings: Findings) -> None:
    """Every column that a stage is ordered or batched by is there; rows without a value to order by are counted."""
    frame = selection.frame
    batch = next((batch for node in selection.stages if (batch := _stage(node).batch) is not None), None)
    if batch is not None and batch.stratify is not None:
        require_column(frame, batch.stratify, findings, checked.span("batch", "stratify"))
    for number, node in enumerate(selection.stages):
        stage = _stage(node)
        column = stage.order.by
        if column is None or not require_column(
            frame, column, findings, checked.span(*node.at, "order", stage.order.kind)
        ):
            continue
        missing = frame[column].is_null().to_numpy()
        without = int((missing & (selection.stage == number)).sum())
        if without:
            has, come = ("sample has", "comes") if without == 1 else ("samples have", "come")
            headline = f"{without:,} {has} no `{column}` and {come} last in `{stage.name}`"
            findings.warn("note.unsorted", headline)


def _stage(node: nodes.Node) -> nodes.Stage:
    stage = node.operation
    assert isinstance(stage, nodes.Stage)
    return stage
