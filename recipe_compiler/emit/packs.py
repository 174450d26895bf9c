"""Draws that are taken together: packs, and batches that count tokens."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.diagnostics import Findings
from recipe_compiler.emit.drawn import Drawn
from recipe_compiler.emit.modality import MODALITIES, by_modality, in_turns
from recipe_compiler.execute.run import Selection
from recipe_compiler.execute.task import order_key
from recipe_compiler.execute.watch import Watch
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes


def windows(stage: nodes.Stage, keys: kernels.Keys, rows: kernels.U32, size: int) -> kernels.U32:
    """Where windows of about `size` draws begin. What tells is each draw's own hash, so that windows stay where draws
    come or go elsewhere."""
    drawn = table.keys_of(keys, rows)
    turn = drawn.occurrence.astype(np.uint64)
    turn |= kernels.earlier_equals(rows, len(keys.pool)).astype(np.uint64) << np.uint64(32)
    hashes = kernels.keyed_order(order_key(stage.seed, "windows"), drawn, turn=turn)
    return kernels.windows(hashes, size // 2)


class StagePacker:
    """Puts the draws of one stage together inside windows of their order: in packs, or in batches of so many tokens.

    Every draw is in one of them, and none is longer than the recipe says. Packs and batches stand where their longest draw
    stood. With `uniform` draws part by modality before, and batches of each modality take turns after. Where packs fill
    no batch and the recipe has them dropped, the last ones are left out.

    Churn: adding or removing a draw changes the packs and batches of at most three windows of its modality, and the turns
    of modalities; and a dropped end is cut anew.
    """

    def __init__(
        self,
        node: nodes.Node,
        stage: nodes.Stage,
        selection: Selection,
        checked: CheckedRecipe,
        findings: Findings,
        watch: Watch | None,
        *,
        goes_on: bool = False,
    ) -> None:
        self.node = node
        self.stage = stage
        self.selection = selection
        self.checked = checked
        self.findings = findings
        self.watch = watch
        self.goes_on = goes_on

    def packed(self, drawn: Drawn) -> Drawn | None:
        """The draws in packs or batches, or None where the findings say why not."""
        lengths = np.ascontiguousarray(self.selection.frame["tokens"].gather(drawn.rows).to_numpy())
        if not len(drawn) or not self.fits(drawn, lengths):
            return None if len(drawn) else drawn
        batch = self.stage.batch
        uniform = batch is not None and batch.modality == "uniform"
        groups = by_modality(self.selection.frame, drawn.rows) if uniform else [np.arange(len(drawn), dtype=np.uint32)]
        parts = [self.together(drawn[group], lengths[group]) for group in groups]
        if batch is not None and batch.measure == "packs":
            if uniform and batch.remainder == "keep" and not self.fills(parts, batch.size):
                return None
            parts = self.cut(parts, batch.size) if batch.remainder == "drop" else parts
        if self.findings.errors:
            return None
        whole = Drawn.joined(parts)
        if not uniform:
            return whole
        assert batch is not None
        size = batch.size if batch.measure == "packs" else 1
        return whole[in_turns([_sizes(part, size) for part in parts])]

    def fits(self, drawn: Drawn, lengths: kernels.U32) -> bool:
        """No draw is longer than what it is to be put in."""
        (most, at), longest = self.most(), int(lengths.max())
        if longest <= most:
            return True
        draws = int((lengths > most).sum())
        self.findings.error(
            "execute.too-long",
            f"stage `{self.stage.name}`: {draws:,} of {len(drawn):,} draws {'has' if draws == 1 else 'have'} more than "
            f"{most:,} tokens; the longest has {longest:,}",
            self.checked.span(*at),
            help=f"leave them out with `filter: [tokens <= {most}]`, or allow more",
        )
        return False

    def most(self) -> tuple[int, nodes.Location]:
        """The most tokens of a draw, and where the recipe says so."""
        if self.stage.pack is not None:
            return self.stage.pack.most, ("pack", "max_tokens")
        batch = self.stage.batch
        assert batch is not None
        return batch.size, ("batch", "tokens" if batch.measure == "tokens" else "padded_tokens")

    def together(self, drawn: Drawn, lengths: kernels.U32) -> Drawn:
        """Some of the draws, in packs or batches."""
        pack, batch = self.stage.pack, self.stage.batch
        if pack is not None:
            starts = windows(self.stage, self.selection.keys, drawn.rows, pack.window)
            order, begins = kernels.pack(lengths, starts, pack.most)
        else:
            assert batch is not None and batch.window is not None
            starts = windows(self.stage, self.selection.keys, drawn.rows, batch.window)
            measure: Literal["tokens", "padded"] = "tokens" if batch.measure == "tokens" else "padded"
            order, begins = kernels.fill(lengths, starts, batch.size, measure=measure, similar=batch.similar)
        return Drawn(rows=drawn.rows[order], source=drawn.source[order], begins=begins)

    def fills(self, parts: list[Drawn], packs: int) -> bool:
        """The packs of every modality fill batches."""
        left = [
            f"{part.num_units:,} packs of {name}"
            for name, part in zip(MODALITIES, parts, strict=True)
            if part.num_units % packs
        ]
        if left:
            self.refused(f"{', '.join(left)}, which fill no batches of {packs:,}", "modality", "say `remainder: drop`")
        return not left

    def cut(self, parts: list[Drawn], packs: int) -> list[Drawn]:
        """Without the packs at the end of each part that fill no batch."""
        kept = [part.first_units(part.num_units // packs * packs) for part in parts]
        num, num_kept = (sum(part.num_units for part in side) for side in (parts, kept))
        if not num_kept and not self.goes_on:
            headline = f"{num:,} packs, which fill no batch of {packs:,}"
            self.refused(headline, "packs", "take smaller batches, or leave `remainder` out")
        elif num > num_kept:
            left = sum(map(len, parts)) - sum(map(len, kept))
            fills = "packs fills no batch and is" if num - num_kept == 1 else "packs fill no batch and are"
            headline = f"stage `{self.stage.name}`: {num - num_kept:,} of {num:,} {fills} left out"
            self.findings.warn("note.remainder", f"{headline}, with {left:,} draw{'' if left == 1 else 's'}")
            if self.watch is not None:
                out = [part.rows[len(stays) :] for part, stays in zip(parts, kept, strict=True)]
                rows = np.concatenate([*(part.rows for part in kept), *out])
                name = f"full batches of {self.stage.name}"
                self.watch.drawn(self.node, name, rows, len(rows) - left, at=("batch", "remainder"))
        return kept

    def refused(self, headline: str, key: str, way_out: str) -> None:
        """Packs and batches do not fit."""
        span = self.checked.span("batch", key)
        self.findings.error("execute.batch", f"stage `{self.stage.name}` has {headline}", span, help=way_out)


def _sizes(drawn: Drawn, units: int) -> NDArray[np.int64]:
    """The draws of each run of so many packs or batches."""
    starts = np.flatnonzero(drawn.begins)[::units]
    return np.diff(np.append(starts, len(drawn)))
