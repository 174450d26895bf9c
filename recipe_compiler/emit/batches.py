"""What every global batch of a stage is to hold: full batches, shares of strata, one modality, an image in reach."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.emit.drawn import Drawn
from recipe_compiler.emit.modality import MODALITIES, by_modality, in_turns, modality
from recipe_compiler.emit.packs import windows
from recipe_compiler.emit.uses import Exposure, Source, Uses, candidates
from recipe_compiler.execute import frames
from recipe_compiler.execute.run import Selection
from recipe_compiler.execute.task import order_key
from recipe_compiler.execute.watch import Watch
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes

#: Values of a column by which batches are stratified: each is looked at for every batch.
MOST_STRATA = 1000
_FULL = "say `remainder: drop` or `remainder: pad`"


class StageBatcher:
    """Brings the draws of one stage to batches that count rows. Each guarantee moves what it needs to, and nothing else:

    `drop` leaves out the last draws, and `pad` adds draws behind them. Of a stage that `goes_on`, whose first draws were
    made by another manifest, all may be left out. With `stratify`, draws of one value keep their
    order among themselves, and so do those of one batch. With `similar`, draws stay in their window, and those of a batch
    keep their order. With `uniform`, draws of one modality keep theirs. With
    `anchored`, two draws move for each micro-batch that had neither an image nor a video, which is the fewest that can.
    """

    def __init__(
        self,
        node: nodes.Node,
        stage: nodes.Stage,
        batch: nodes.Batch,
        selection: Selection,
        exposure: Exposure,
        checked: CheckedRecipe,
        findings: Findings,
        watch: Watch | None,
        *,
        is_last: bool,
        goes_on: bool = False,
    ) -> None:
        self.node = node
        self.stage = stage
        self.batch = batch
        self.selection = selection
        self.exposure = exposure
        self.checked = checked
        self.findings = findings
        self.watch = watch
        self.is_last = is_last
        self.goes_on = goes_on
        self.short = 0

    def batched(self, drawn: Drawn, padding: int) -> Drawn | None:
        """The draws in batches, or None where the findings say why not; `padding` is the number of that source."""
        match self.batch.remainder:
            case "drop":
                drawn = self.cut(drawn)
            case "pad":
                drawn = self.padded(drawn, padding)
        if self.findings.errors or self.short:
            return None
        if not len(drawn):
            return drawn
        positions = self.arranged(drawn)
        return None if positions is None else drawn[positions]

    def cut(self, drawn: Drawn) -> Drawn:
        """Without the draws at the end that fill no batch."""
        groups, rows = self.groups(drawn), self.batch.size
        kept = np.sort(np.concatenate([group[: len(group) // rows * rows] for group in groups]))
        left = len(drawn) - len(kept)
        if not len(kept) and not self.goes_on:
            headline = f"{len(drawn):,} draws, which fill no batch of {rows:,}"
            self.refused(headline, "rows", "say `remainder: pad`, or take smaller batches")
        elif left:
            fills = "draws fills no batch and is" if left == 1 else "draws fill no batch and are"
            headline = f"stage `{self.stage.name}`: {left:,} of {len(drawn):,} {fills} left out"
            self.findings.warn("note.remainder", headline)
        if left and self.watch is not None:
            out = np.delete(drawn.rows, kept)
            self.watch.drawn(
                self.node,
                f"full batches of {self.stage.name}",
                np.concatenate([drawn.rows[kept], out]),
                len(kept),
                at=("batch", "remainder"),
            )
        return drawn[kept]

    def padded(self, drawn: Drawn, padding: int) -> Drawn:
        """With draws of the stage's samples behind it, by their keyed order, until the last batch is full."""
        name, parts = f"padding of {self.stage.name}", []
        for group in self.groups(drawn):
            rows = np.unique(drawn.rows[group])
            source = Source(
                name=name,
                rule=name,
                uses=Uses(rows=rows, use=np.zeros(len(rows), dtype=np.uint32)),
                requested=Fraction(-len(group) % self.batch.size),
                draws=-len(group) % self.batch.size,
                choice=("padding", name),
            )
            if source.draws:
                exposure = self.exposure if self.exposure.most is not None else None
                key = order_key(self.stage.seed, *source.choice)
                found = candidates(source, key, self.selection.keys, exposure, repeat=None)
                self.short += found.short
                parts.append(found.rows[: source.draws])
        more = np.concatenate([*parts, np.empty(0, dtype=np.uint32)])
        if len(more):
            self.exposure.draw(more)
            added = "draw is" if len(more) == 1 else "draws are"
            headline = f"stage `{self.stage.name}`: {len(more):,} {added} added to {len(drawn):,} to fill its batches"
            self.findings.warn("note.remainder", headline)
        source_of_more = np.full(len(more), padding, dtype=np.uint32)
        return Drawn.joined([drawn, Drawn.alone(more, source_of_more)])

    def arranged(self, drawn: Drawn) -> NDArray[np.integer] | None:
        """The positions of the draws in their new order, or None where the findings say why there is none."""
        batch = self.batch
        if batch.stratify is not None:
            return self.stratified(drawn, batch.stratify) if self.fits(drawn) else None
        if batch.modality == "uniform":
            return self.uniform(drawn)
        if batch.window is not None:
            return self.similar(drawn, batch.window) if self.fits(drawn) else None
        if batch.micro is not None:
            return self.anchored(drawn, batch.micro) if self.fits(drawn) else None
        return np.arange(len(drawn))

    def groups(self, drawn: Drawn) -> list[NDArray[np.integer]]:
        """The positions that are cut into batches by themselves."""
        if self.batch.modality != "uniform":
            return [np.arange(len(drawn))]
        return list(by_modality(self.selection.frame, drawn.rows))

    def fits(self, drawn: Drawn) -> bool:
        """Batches go across the end of a stage that is not cut at one; that of the last stage may be short."""
        if self.is_last or len(drawn) % self.batch.size == 0:
            return True
        headline = (
            f"{len(drawn):,} draws and another stage follows, so that one batch of {self.batch.size:,} lies in both"
        )
        self.refused(headline, "rows", _FULL)
        return False

    def stratified(self, drawn: Drawn, column: str) -> NDArray[np.integer] | None:
        """Every batch with its share of every value of a column."""
        numbers, names = frames.numbered(self.selection.frame[column].gather(drawn.rows))
        if len(names) > MOST_STRATA:
            headline = f"stage `{self.stage.name}` has {len(names):,} values of `{column}`; {MOST_STRATA:,} can be"
            span = self.checked.span("batch", "stratify")
            self.findings.error("execute.batch", headline, span, help="stratify by a column with fewer values")
            return None
        return kernels.stratify(numbers, len(names), self.batch.size)

    def uniform(self, drawn: Drawn) -> NDArray[np.integer] | None:
        """Batches of one modality each, mixed exactly in proportion."""
        groups, rows = self.groups(drawn), self.batch.size
        left = [
            f"{len(group):,} draws of {name}"
            for name, group in zip(MODALITIES, groups, strict=True)
            if len(group) % rows
        ]
        if left:
            self.refused(f"{', '.join(left)}, which fill no batches of {rows:,}", "modality", _FULL)
            return None
        turns = in_turns([np.full(len(group) // rows, rows) for group in groups])
        positions: NDArray[np.integer] = np.concatenate(groups)[turns]
        return positions

    def similar(self, drawn: Drawn, window: int) -> NDArray[np.integer]:
        """Batches of similar lengths. Windows end where batches do, and what fills no batch stays at the end."""
        rows, lengths = self.batch.size, self.selection.frame["tokens"].gather(drawn.rows).to_numpy()
        whole = len(drawn) // rows * rows
        found = windows(self.stage, self.selection.keys, drawn.rows[:whole], window)
        starts = np.unique(found // rows * rows).astype(np.uint32)
        order, _ = kernels.fill(lengths[:whole], starts, rows, measure="rows", similar=True)
        return np.concatenate([order, np.arange(whole, len(drawn), dtype=np.uint32)])

    def anchored(self, drawn: Drawn, micro: int) -> NDArray[np.integer] | None:
        """Every micro-batch with an image or a video."""
        anchors = modality(self.selection.frame, drawn.rows) > 0
        needed, have = -(-len(anchors) // micro), int(anchors.sum())
        if have < needed:
            self.findings.error(
                "execute.batch",
                f"stage `{self.stage.name}` has {have:,} draws with an image or a video, and its {needed:,} "
                f"micro-batches of {micro:,} need one each",
                self.checked.span("batch", "micro"),
                help=f"draw {needed - have:,} more with an image or a video, or make micro-batches larger",
            )
            return None
        return kernels.anchor(anchors, micro)

    def refused(self, headline: str, key: str, way_out: str) -> None:
        """Draws and batches do not fit."""
        span = self.checked.span("batch", key)
        self.findings.error("execute.batch", f"stage `{self.stage.name}` has {headline}", span, help=way_out)
