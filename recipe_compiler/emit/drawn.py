"""The draws of one stage, epoch by epoch: who is drawn from each source, in what order, and whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.emit.sequence import sequence
from recipe_compiler.emit.sources import Planned
from recipe_compiler.emit.uses import Candidates, Exposure, Source, candidates, end_to_end
from recipe_compiler.execute.run import Selection
from recipe_compiler.execute.task import order_key
from recipe_compiler.execute.watch import Watch
from recipe_compiler.plan import nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Draws in order: the row of each, and the number of its source among those of the stage. Draws that are taken
    together stand side by side, and `begins` marks the first of each such unit; by itself every draw is one."""

    rows: kernels.U32
    source: kernels.U32
    begins: kernels.Bools

    @staticmethod
    def alone(rows: kernels.U32, source: kernels.U32) -> Drawn:
        """Draws of which each is taken by itself."""
        return Drawn(rows=rows, source=source, begins=np.ones(len(rows), dtype=np.bool_))

    @staticmethod
    def joined(parts: Sequence[Drawn]) -> Drawn:
        """One part behind another."""
        rows, source, begins = zip(*((part.rows, part.source, part.begins) for part in parts), strict=True)
        return Drawn(rows=np.concatenate(rows), source=np.concatenate(source), begins=np.concatenate(begins))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: NDArray[np.integer] | kernels.Bools) -> Drawn:
        """Some of the draws, or in another order; units come or go as a whole."""
        return Drawn(rows=self.rows[which], source=self.source[which], begins=self.begins[which])

    @property
    def num_units(self) -> int:
        """How many units there are."""
        return int(self.begins.sum())

    def first_units(self, num: int) -> Drawn:
        """The draws of the first `num` units."""
        ends = np.append(np.flatnonzero(self.begins), len(self))
        return self[np.arange(ends[num])]


class StageDrawer:
    """Draws the epochs of one stage. A `watch` is told which uses were drawn where not all were."""

    def __init__(
        self, node: nodes.Node, stage: nodes.Stage, selection: Selection, exposure: Exposure, watch: Watch | None
    ) -> None:
        self.node = node
        self.stage = stage
        self.selection = selection
        self.recipe_wide = exposure
        # Without a limit for the whole recipe, a stage knows its own epochs alone.
        self.exposure = exposure if exposure.most is not None else Exposure(selection.frame.height, None)
        self.watch = watch
        self.short = 0
        self.chosen: dict[str, Candidates] = {}

    def drawn(self, planned: Planned) -> Drawn:
        """All draws; where the limit of the recipe lets there be fewer, `short` says how many are missing."""
        turns = _turns(planned.blocks)
        rows = []
        for epoch in range(self.stage.epochs):
            found = [self.chosen_of(source, epoch) for source in planned.sources]
            if self.short:
                break
            for part in found:
                self.exposure.draw(part.rows)
            sequences = [
                sequence(
                    part.rows,
                    part.passes,
                    self.stage.order,
                    self.key(("order", source.rule), epoch),
                    self.selection.frame,
                    self.selection.keys,
                )
                for source, part in zip(planned.sources, found, strict=True)
            ]
            rows.append(_taken(sequences, turns))
        nothing = np.empty(0, dtype=np.uint32)
        return Drawn.alone(end_to_end(rows or [nothing]), end_to_end([turns] * len(rows) or [nothing]))

    def chosen_of(self, source: Source, epoch: int) -> Candidates:
        """The uses that a source draws in an epoch."""
        stage = self.stage
        if epoch and not stage.resample:
            return self.chosen[source.name]
        levelled = epoch > 0 or self.exposure.most is not None
        if not levelled and 0 < len(source.uses) <= source.draws and source.draws % len(source.uses) == 0:
            # Nobody is left out: all that remains to be decided is the sequence.
            rows, passes = source.uses.rounds(source.draws // len(source.uses))
            self.chosen[source.name] = Candidates(rows=rows, passes=passes, short=0)
            return self.chosen[source.name]
        found = candidates(
            source,
            self.key(source.choice, epoch),
            self.selection.keys,
            self.exposure if levelled else None,
            repeat=stage.repeat,
            times=1 if stage.resample else stage.epochs,
        )
        self.short += found.short
        if self.watch is not None and len(found.rows) > source.draws:
            name = f"{source.name} in epoch {epoch + 1}" if epoch else source.name
            self.watch.drawn(self.node, f"draws of {name}", found.rows, source.draws)
        self.chosen[source.name] = found = Candidates(
            rows=found.rows[: source.draws], passes=found.passes[: source.draws], short=found.short
        )
        return found

    def key(self, names: tuple[str, ...], epoch: int) -> int:
        """The key of an order in an epoch; that of the first is the same for any number of epochs."""
        return order_key(self.stage.seed, *names, *((f"epoch {epoch + 1}",) if epoch else ()))


def _turns(blocks: list[list[int]]) -> kernels.U32:
    """The source of each draw of an epoch: every block is mixed exactly."""
    return end_to_end([kernels.interleave(np.array(counts, dtype=np.uint64)) for counts in blocks])


def _taken(sequences: list[kernels.U32], turns: kernels.U32) -> kernels.U32:
    """The row of each draw: the n-th turn of a source takes the n-th row of its sequence."""
    if len(sequences) == 1:
        return sequences[0]
    counts = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    taken: kernels.U32 = np.concatenate(sequences)[starts[turns] + kernels.earlier_equals(turns, len(sequences))]
    return taken
