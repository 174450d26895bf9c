"""What is left of an order after the draws that another manifest had made: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.emit.drawn import Drawn
from recipe_compiler.emit.sources import Planned
from recipe_compiler.execute.run import Selection
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.plan import nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The draws of one stage, before and after they are brought to batches. `earlier` counts those of each source that
    another manifest had made and that are left out here; `told` is what is worth knowing of the batches."""

    node: nodes.Node
    stage: nodes.Stage
    planned: Planned
    listed: Drawn
    drawn: Drawn
    earlier: list[int]
    told: Findings

    def without(self, drawn: Drawn, gone: kernels.Bools) -> Part:
        """The stage with those of these draws that are not gone."""
        left = drawn[~gone]
        earlier = np.bincount(drawn.source[gone], minlength=len(self.planned.sources)).tolist()
        return dataclasses.replace(self, drawn=left, earlier=earlier)

    @property
    def padding(self) -> kernels.U32:
        """The rows of the draws that fill its batches."""
        return self.drawn.rows[self.drawn.source >= len(self.planned.sources)]


class Made:
    """The draws that another manifest had made: `rows` are their rows of the selection, its height where a sample is not
    there any more, and `times` counts those of each row."""

    def __init__(self, prefix: Prefix, selection: Selection) -> None:
        self.own = selection.keys
        self.others = prefix.keys([pool.scan.pool for pool in selection.bound.pools])
        height = selection.frame.height
        self.own_numbers, self.numbers, self.num = kernels.shared_numbers(self.own, self.others)
        row = np.full(self.num, height, dtype=np.uint32)
        row[self.own_numbers] = np.arange(height, dtype=np.uint32)
        self.rows: kernels.U32 = row[self.numbers]
        self.times: kernels.U32 = np.bincount(self.rows, minlength=height + 1)[:height].astype(np.uint32)

    def among(self, rows: kernels.U32) -> kernels.Bools:
        """Marks the draws that were made already: of each sample as many, the first ones first.

        A sample is known by pool, content and occurrence. What was drawn of one that is not drawn any more counts for
        its equals in content: a sample that moved to another pool is not drawn once more.
        """
        made = _first(self.own_numbers[rows], np.bincount(self.numbers, minlength=self.num))
        same, others = (_by_content(keys) for keys in (self.own, self.others))
        own_ids, ids, num = kernels.shared_numbers(same, others)
        left = np.bincount(ids, minlength=num) - np.bincount(own_ids[rows[made]], minlength=num)
        rest = np.flatnonzero(~made)
        made[rest[_first(own_ids[rows[rest]], left)]] = True
        return made


def _first(items: kernels.U32, times: NDArray[np.integer]) -> kernels.Bools:
    """Marks the first `times[item]` of each item."""
    first: kernels.Bools = kernels.earlier_equals(items, len(times)) < times[items]
    return first


def _by_content(keys: kernels.Keys) -> kernels.Keys:
    zeros = np.zeros(len(keys.pool), dtype=np.uint32)
    return keys._replace(occurrence=zeros, pool=zeros)


def split(parts: list[Part], made: Made) -> list[tuple[Part, kernels.Bools, bool]]:
    """For each stage the draws that were made already, and whether its batches stay what they are without them: these
    are marked among its draws in batches, and those of a stage whose batches are made anew among the listed ones."""
    keeps = [True] * len(parts)
    while True:
        lists = [part.drawn if whole else part.listed for part, whole in zip(parts, keeps, strict=True)]
        marks = made.among(np.concatenate([drawn.rows for drawn in lists]))
        gone = np.split(marks, np.cumsum([len(drawn) for drawn in lists])[:-1])
        found = [whole and _keeps_units(part, own) for part, own, whole in zip(parts, gone, keeps, strict=True)]
        if found == keeps:
            return list(zip(parts, gone, keeps, strict=True))
        keeps = found


def _keeps_units(part: Part, gone: kernels.Bools) -> bool:
    """Whether packs, and what batches are promised, stay true without these draws: each goes or stays as a whole."""
    batch = part.stage.batch
    if not gone.any():
        return True
    starts = np.flatnonzero(part.drawn.begins)
    if batch is not None and not batch.counts_tokens and batch.promises:
        starts = starts[:: batch.size]
    lost = np.add.reduceat(gone.astype(np.int64), starts)
    return bool(((lost == 0) | (lost == np.diff([*starts, len(gone)]))).all())
