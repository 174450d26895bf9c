"""`diff`: two manifests -> what changed between them.

A sample is known by pool, content and occurrence. It moved if it is in both and is not part of a longest run that kept
its relative order; a row that merely slid because others came or went did not move.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.manifest import store
from recipe_compiler.manifest.schema import Manifest

IDENTITIES = ("pools", "selection", "order", "manifest")
_SAMPLE = ["pool", "sample_id", "occurrence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What changed under one name (a pool, a group, a stage), in draws and in samples."""

    name: str
    draws_before: int
    draws_after: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChange:
    """How the content of a pool changed: samples in it before and after, and whether they are the same."""

    name: str
    samples_before: int | None
    samples_after: int | None
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDiff:
    """The difference of two manifests. `added` to `restaged` count samples."""

    before: str
    after: str
    changed_identities: tuple[str, ...]
    draws_before: int
    draws_after: int
    samples_before: int
    samples_after: int
    added: int
    removed: int
    kept: int
    moved: int
    restaged: int
    repeats_changed: int
    pool_contents: tuple[PoolChange, ...]
    pools: tuple[Change, ...]
    groups: tuple[Change, ...]
    stages: tuple[Change, ...]
    examples_added: tuple[str, ...]
    examples_removed: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the two are the same manifest."""
        return not self.changed_identities


def diff(before: Path, after: Path) -> ManifestDiff:
    """Compares two manifest folders."""
    manifests = (store.read(before), store.read(after))
    old, new = (_rows(folder, manifest) for folder, manifest in zip((before, after), manifests, strict=True))
    samples = _samples(old).join(_samples(new), on=_SAMPLE, how="full", coalesce=True, suffix="_after")
    added = samples.filter(pl.col("draws").is_null())
    removed = samples.filter(pl.col("draws_after").is_null())
    kept = samples.filter(pl.col("draws").is_not_null() & pl.col("draws_after").is_not_null()).sort("first")
    unmoved = kernels.unmoved(np.ascontiguousarray(kept["first_after"].to_numpy()))
    return ManifestDiff(
        before=_title(manifests[0]),
        after=_title(manifests[1]),
        changed_identities=tuple(
            name for name in IDENTITIES if getattr(manifests[0].ids, name) != getattr(manifests[1].ids, name)
        ),
        draws_before=old.height,
        draws_after=new.height,
        samples_before=samples.height - added.height,
        samples_after=samples.height - removed.height,
        added=added.height,
        removed=removed.height,
        kept=kept.height,
        moved=int((~unmoved).sum()),
        restaged=kept.filter(pl.col("stage") != pl.col("stage_after")).height,
        repeats_changed=kept.filter(pl.col("draws") != pl.col("draws_after")).height,
        pool_contents=_pool_contents(*manifests),
        pools=_changes("pool", old, new),
        groups=_changes("group", old, new),
        stages=_changes("stage", old, new),
        examples_added=_examples(added),
        examples_removed=_examples(removed),
    )


def document(difference: ManifestDiff) -> dict[str, Any]:
    """The difference as plain JSON."""
    return dataclasses.asdict(difference)


def _title(manifest: Manifest) -> str:
    return f"{manifest.name} {manifest.version or ''}".strip() + f" ({manifest.ids.manifest[:12]})"


def _rows(folder: Path, manifest: Manifest) -> pl.DataFrame:
    table = store.read_rows(folder, manifest).select(["position", "sample_id", "occurrence", "pool", "stage"])
    frame = pl.DataFrame(pl.from_arrow(table))
    pools = pl.Series("name", [pool.name for pool in manifest.pools], dtype=pl.String)
    groups = pl.Series("group", [pool.group or "(none)" for pool in manifest.pools], dtype=pl.String)
    stages = pl.Series("stage", [stage.name for stage in manifest.stages], dtype=pl.String)
    return frame.with_columns(
        pools.gather(frame["pool"]).alias("pool"),
        groups.gather(frame["pool"]).alias("group"),
        stages.gather(frame["stage"]).alias("stage"),
    )


def _samples(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by(_SAMPLE).agg(
        pl.len().alias("draws"), pl.col("position").min().alias("first"), pl.col("stage").sort_by("position").first()
    )


def _changes(by: str, old: pl.DataFrame, new: pl.DataFrame) -> tuple[Change, ...]:
    """For each value of a column, its draws and the samples that it gained and lost."""
    keys = list(dict.fromkeys([by, *_SAMPLE]))
    sides = [frame.select(keys).unique() for frame in (old, new)]
    gained = _count(sides[1].join(sides[0], on=keys, how="anti"), by)
    lost = _count(sides[0].join(sides[1], on=keys, how="anti"), by)
    draws = [_count(frame, by) for frame in (old, new)]
    names = sorted(set(draws[0]) | set(draws[1]))
    return tuple(
        Change(
            name=name,
            draws_before=draws[0].get(name, 0),
            draws_after=draws[1].get(name, 0),
            added=gained.get(name, 0),
            removed=lost.get(name, 0),
        )
        for name in names
    )


def _count(frame: pl.DataFrame, by: str) -> dict[str, int]:
    return dict(frame.group_by(by).len().iter_rows())


def _pool_contents(before: Manifest, after: Manifest) -> tuple[PoolChange, ...]:
    old = {pool.name: pool for pool in before.pools}
    new = {pool.name: pool for pool in after.pools}
    return tuple(
        PoolChange(
            name=name,
            samples_before=old[name].samples if name in old else None,
            samples_after=new[name].samples if name in new else None,
            same=name in old and name in new and old[name].digest == new[name].digest,
        )
        for name in sorted({*old, *new})
    )


def _examples(samples: pl.DataFrame, num: int = 3) -> tuple[str, ...]:
    shown: Sequence[tuple[str, bytes]] = samples.sort(_SAMPLE).head(num).select("pool", "sample_id").rows()
    return tuple(f"{pool} {sample_id.hex()}" for pool, sample_id in shown)
