"""The global order: the draws of each stage, exactly mixed.

A stage has sources: the values of the column it is mixed by, and the stages it replays. Each source has a sequence of
its own (shuffled, sorted or listed; pass after pass where it repeats), and the interleave decides whose turn it is. What
every batch is to hold comes last.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from recipe_compiler import table
from recipe_compiler.diagnostics import Findings
from recipe_compiler.emit.batches import StageBatcher
from recipe_compiler.emit.drawn import Drawn, StageDrawer
from recipe_compiler.emit.ordered import Ordered, ordered
from recipe_compiler.emit.packs import StagePacker
from recipe_compiler.emit.remainder import Made, Part, split
from recipe_compiler.emit.sources import Planned, StagePlanner
from recipe_compiler.emit.tables import read_tables
from recipe_compiler.emit.uses import Exposure, Uses, places_of
from recipe_compiler.execute.expressions import require_column
from recipe_compiler.execute.run import Selection
from recipe_compiler.execute.watch import Watch
from recipe_compiler.execute.weights import Tables
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes


def order(
    selection: Selection,
    checked: CheckedRecipe,
    findings: Findings,
    watch: Watch | None = None,
    prefix: Prefix | None = None,
) -> Ordered:
    """Puts the selection in order: as a whole, or what is left of it after the draws of a prefix.

    A `watch` is told which uses were drawn where not all were.
    """
    _check_columns(selection, checked, findings)
    first = _stage(selection.stages[0])
    if prefix is not None and first.batch is not None:
        _check_position(prefix, first.batch, checked, findings)
    tables = read_tables(selection.bound, checked, findings)
    findings.stop_if_errors()
    run = _Run(selection, tables, checked, findings, watch, first.most, prefix)
    found = run.ordered()
    if run.short and not findings.errors:
        # What would be enough is how often a sample is drawn where there is no limit.
        free = _Run(selection, tables, checked, Findings(), None, _NO_LIMIT, prefix)
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
    assert found is not None
    _tell_estimated(first, selection, findings)
    return found


def _check_position(prefix: Prefix, batch: nodes.Batch, checked: CheckedRecipe, findings: Findings) -> None:
    """What is gone on from ends where a batch of draws ends; where packs or batches of tokens end, a stream ends anyway."""
    rows = batch.size
    below = prefix.position // rows * rows
    if batch.measure != "rows" or not prefix.counts_draws or below == prefix.position:
        return
    ends = [end for end in (below, below + rows) if 0 < end <= prefix.manifest.draws]
    findings.error(
        "execute.batch",
        f"goes on after {prefix.position:,} draws, which is inside a batch of {rows:,}",
        checked.span("batch", "rows"),
        help=f"go on after {' or '.join(f'{end:,}' for end in ends)}" if ends else "take smaller batches",
    )


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
        prefix: Prefix | None,
    ) -> None:
        self.selection = selection
        self.tables = tables
        self.checked = checked
        self.findings = findings
        self.watch = watch
        self.prefix = prefix
        self.made = None if prefix is None else Made(prefix, selection)
        self.exposure = Exposure(selection.frame.height, most)
        self.short: dict[str, int] = {}

    def ordered(self) -> Ordered | None:
        """The order, or None where the findings or `short` say why there is none."""
        selection = self.selection
        taken = table.taken_rows(selection.times)
        by_stage = [taken]
        if len(selection.stages) > 1:
            numbers = selection.stage[taken].astype(np.uint32)
            by_stage = [taken[own] for own in places_of(numbers, len(selection.stages))]
        pools: dict[str, Uses] = {}
        parts: list[Part] = []
        for node, members in zip(selection.stages, by_stage, strict=True):
            stage = _stage(node)
            own = pools[stage.name] = Uses.of(members, selection.times)
            planner = StagePlanner(stage, node, selection.frame, own, pools, self.tables, self.checked, self.findings)
            planned = planner.planned()
            if planned is None or self.findings.errors:
                continue
            part = self.part(node, stage, planned)
            if part is not None:
                parts.append(part)
        if self.findings.errors or self.short:
            return None
        if self.made is not None:
            parts = self.remainder(parts, self.made)
        if self.findings.errors or self.short:
            return None
        return ordered(parts, self.selection, self.exposure.most, self.prefix, self.made)

    def part(self, node: nodes.Node, stage: nodes.Stage, planned: Planned) -> Part | None:
        """The draws of one stage, in batches."""
        drawer = StageDrawer(node, stage, self.selection, self.exposure, self.watch)
        listed = drawer.drawn(planned)
        if drawer.short:
            self.short[stage.name] = drawer.short
            return None
        # What is worth knowing of batches that are made anew later is not told.
        told = self.findings if self.made is None else Findings()
        drawn = self.batched(node, stage, planned, listed, told)
        if drawn is None:
            self.findings.diagnostics += [] if self.made is None else told.diagnostics
            return None
        return Part(node=node, stage=stage, planned=planned, listed=listed, drawn=drawn, earlier=[], told=told)

    def batched(
        self,
        node: nodes.Node,
        stage: nodes.Stage,
        planned: Planned,
        listed: Drawn,
        told: Findings,
        *,
        goes_on: bool = False,
    ) -> Drawn | None:
        """The draws of one stage in batches, or None where the findings or `short` say why not."""
        if stage.pack is not None or (stage.batch is not None and stage.batch.counts_tokens):
            packer = StagePacker(node, stage, self.selection, self.checked, told, self.watch, goes_on=goes_on)
            return packer.packed(listed)
        if stage.batch is None:
            return listed
        batcher = StageBatcher(
            node,
            stage,
            stage.batch,
            self.selection,
            self.exposure,
            self.checked,
            told,
            self.watch,
            is_last=node is self.selection.stages[-1],
            goes_on=goes_on,
        )
        drawn = batcher.batched(listed, len(planned.sources))
        if batcher.short:
            self.short[stage.name] = batcher.short
        return drawn

    def remainder(self, parts: list[Part], made: Made) -> list[Part]:
        """The stages without the draws that were made already; where batches lose some of theirs, they are made anew."""
        height = self.selection.frame.height
        left = []
        for part, gone, keeps in split(parts, made):
            if keeps:
                self.findings.diagnostics += part.told.diagnostics
                left.append(part.without(part.drawn, gone))
                continue
            # Draws that were added to fill batches are not made.
            self.exposure.drawn -= np.bincount(part.padding, minlength=height).astype(np.uint32)
            self.exposure.drawn = np.maximum(self.exposure.drawn, made.times)
            rest = part.without(part.listed, gone)
            drawn = self.batched(part.node, part.stage, part.planned, rest.drawn, self.findings, goes_on=True)
            left += [] if drawn is None else [dataclasses.replace(rest, drawn=drawn)]
        return left


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


def _tell_estimated(first: nodes.Stage, selection: Selection, findings: Findings) -> None:
    """What is filled to a number of tokens is as full as their counts are right."""
    batch = first.batch
    if selection.counted is not None or (first.pack is None and (batch is None or not batch.counts_tokens)):
        return
    what = "packs" if first.pack is not None else "batches"
    findings.warn(
        "note.estimated",
        f"{what} are filled by estimated tokens, and some will hold more or fewer",
        help="count them with `recipe count`, and name the table with `tokens: {counts: ...}`",
    )


def _stage(node: nodes.Node) -> nodes.Stage:
    stage = node.operation
    assert isinstance(stage, nodes.Stage)
    return stage
