"""`united`: the samples of all pools as one table, and what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl

from recipe_compiler import kernels, table
from recipe_compiler.execute import frames
from recipe_compiler.execute.equals import Alike, Ids, groups
from recipe_compiler.execute.pools import Part
from recipe_compiler.execute.pools import parts as tables_of
from recipe_compiler.plan import nodes
from recipe_compiler.resolve.bind import BoundPlan, BoundPool


@dataclass(frozen=True, slots=True, kw_only=True)
class United:
    """The samples of the training pools whose media are there, in canonical order.

    `codes` are the numbers of their pools, `most` the tokens of the longest of them. `kept` says how many each pool has, and
    `unanswered` how many of those have no assistant turn, where some have none.
    """

    frame: pl.DataFrame
    ids: Ids
    codes: kernels.U32
    most: int
    kept: dict[str, int]
    unanswered: dict[str, int]


def united(bound: BoundPlan, operation: nodes.Unite) -> United:
    """The pools, with equals found and numbered while tables are made of everything else."""
    # What a holdout carries is no column, and does not decide the type of one.
    pools = [pool for pool in bound.pools if pool.scan.role != "holdout"]
    repeats = deduplicates(bound) or any(pool.repeats for pool in bound.pools)
    with ThreadPoolExecutor(1) as thread:
        alike = thread.submit(Alike.of, pools, repeats=repeats)
        parts = tables_of(bound.pools)
        whole = [part.frame for part in parts]
        # Samples are numbered before any is left out.
        numbered = thread.submit(lambda *of: Ids.of(alike.result(), *of), groups(whole), _unnumbered(whole))
        present = _present(parts)
        there = whole if present is None else [part.filter(own) for part, own in zip(whole, present, strict=True)]
        frame, most = frames.unite(there, _seen(pools), per_image=operation.per_image, per_video=operation.per_video)
        codes = table.codes(frames.pieces(frame["pool"].to_physical()))
        unanswered = _unanswered(frame, codes)
        ids = numbered.result() if present is None else numbered.result().only(np.concatenate(present))
    return United(
        frame=frame.hstack([frames.series("occurrence", ids.occurrence)]),
        ids=ids,
        codes=codes,
        most=most,
        kept=_kept(parts, there),
        unanswered=unanswered,
    )


def _unnumbered(parts: Sequence[pl.DataFrame]) -> kernels.U32:
    return table.zeros(sum(part.height for part in parts), np.uint32)


def _kept(parts: Sequence[Part], there: Sequence[pl.DataFrame]) -> dict[str, int]:
    """How many samples of each pool are there."""
    return {
        pool.scan.pool: frame.height if len(part.pools) == 1 else pool.samples
        for part, frame in zip(parts, there, strict=True)
        for pool in part.pools
    }


def deduplicates(bound: BoundPlan) -> bool:
    """Whether a rule drops samples that are the same as others."""
    return any(isinstance(node.operation, nodes.Deduplicate) for node in bound.plan.nodes)


def _seen(pools: Sequence[BoundPool]) -> dict[str, int]:
    """The kinds of values of each carried column, over all files."""
    seen: dict[str, int] = {}
    for name, mask in (item for pool in pools for file in pool.files for item in file.index.seen.items()):
        seen[name] = seen.get(name, 0) | mask
    return seen


def _present(parts: Sequence[Part]) -> list[kernels.Bools] | None:
    """Which samples of each table have all their media; None where no medium is missing."""
    if not any(pool.missing_media for part in parts for pool in part.pools):
        return None
    return [frames.with_media(part.frame, part.pools[0].missing_media) for part in parts]


def _unanswered(frame: pl.DataFrame, codes: kernels.U32) -> dict[str, int]:
    """How many samples of each pool have no assistant turn."""
    if frame["answers"].min() != 0:
        return {}
    return frames.counts_of(frame, codes, (frame["answers"] == 0).to_numpy())
