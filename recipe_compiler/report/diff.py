"""`diff`: two sides -> what changed between them, and why.

A sample is known by pool, content and occurrence. It moved if it is in both and is not part of a longest run that kept
its relative order; a row that merely slid because others came or went did not move.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.manifest.schema import Manifest, Units
from recipe_compiler.report.causes import Cause, causes
from recipe_compiler.report.drift import Drift, drift
from recipe_compiler.report.numbering import Numbering, numbered
from recipe_compiler.report.side import Side
from recipe_compiler.report.version import Bump, bump

IDENTITIES = ("pools", "selection", "order", "manifest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of the recipe that is not what it was, and the lines that say so; None where it is not there."""

    name: str
    before: str | None
    after: str | None
    line_before: str | None
    line_after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What changed under one name (a pool, a group, a stage), in draws and in samples. `because` gives the numbers of
    causes and how many samples each added (or, below zero, removed) here; `line` is where the recipe speaks of it."""

    name: str
    line: str
    draws_before: int
    draws_after: int
    added: int
    removed: int
    because: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChange:
    """How the content of a pool changed: samples in it before and after, and the files that are not the same."""

    name: str
    samples_before: int | None
    samples_after: int | None
    same: bool
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDiff:
    """The difference of two sides, with their packs or batches of tokens. `added` to `repeats_changed` count samples; `unexplained` says why causes are not
    known, where they are not."""

    before: str
    after: str
    changed_identities: tuple[str, ...]
    rewritten: bool
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
    settings: tuple[Setting, ...]
    pool_contents: tuple[PoolChange, ...]
    causes: tuple[Cause, ...]
    unexplained: str
    counts: Mapping[str, tuple[Change, ...]]
    drift: tuple[Drift, ...]
    units_before: Units | None
    units_after: Units | None
    bump: Bump
    examples_added: tuple[str, ...]
    examples_removed: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the two are the same manifest."""
        return not self.changed_identities


def diff(before: Side, after: Side, *, settings: Sequence[Setting], columns: Sequence[str]) -> ManifestDiff:
    """Compares two sides; `columns` are those whose drift is asked for beside the usual ones."""
    old, new = numbered(before, after)
    (times_before, first_before), (times_after, first_after) = _drawn(before, old), _drawn(after, new)
    was, is_now = times_before > 0, times_after > 0
    added, removed, kept = is_now & ~was, was & ~is_now, was & is_now
    first = first_before, first_after
    moved = int(kept.sum()) - int(kernels.unmoved(_positions(kept, old.of(before.draws), first)).sum())
    names = list(dict.fromkeys(stage.name for side in (before, after) for stage in side.manifest.stages))
    stages = [_first_stage(side, numbers, names) for side, numbers in zip((before, after), first, strict=True)]
    manifests = before.manifest, after.manifest
    changed = tuple(name for name in IDENTITIES if getattr(manifests[0].ids, name) != getattr(manifests[1].ids, name))
    found = causes((before, old, first_before), (after, new, first_after), added, removed)
    pool = np.maximum(old.spread(before.keys.pool), new.spread(after.keys.pool))
    tally = _Tally(
        before=before,
        after=after,
        draws=[kernels.totals(pool, len(before.pools), weights=count) for count in (times_before, times_after)],
        added=kernels.totals(pool, len(before.pools), alive=added),
        removed=kernels.totals(pool, len(before.pools), alive=removed),
        causes=found,
    )
    return ManifestDiff(
        before=before.title,
        after=after.title,
        changed_identities=changed,
        rewritten=manifests[0].ids.texts != manifests[1].ids.texts,
        draws_before=len(before.draws),
        draws_after=len(after.draws),
        samples_before=int(was.sum()),
        samples_after=int(is_now.sum()),
        added=int(added.sum()),
        removed=int(removed.sum()),
        kept=int(kept.sum()),
        moved=moved,
        restaged=int((kept & (stages[0] != stages[1])).sum()),
        repeats_changed=int((kept & (times_before != times_after)).sum()),
        settings=tuple(settings),
        pool_contents=_pool_contents(*manifests),
        causes=found,
        unexplained=before.why_not or after.why_not,
        counts={
            **{name: tally.by_label(name) for name in ("pool", "group", "category")},
            "stage": tally.by_stage(_count(stages[1][added], names), _count(stages[0][removed], names)),
        },
        drift=drift(before, after, columns),
        units_before=manifests[0].units,
        units_after=manifests[1].units,
        bump=bump(*manifests, added=int(added.sum()), removed=int(removed.sum())),
        examples_added=_examples(after, new, added),
        examples_removed=_examples(before, old, removed),
    )


def document(difference: ManifestDiff) -> dict[str, Any]:
    """The difference as plain JSON."""
    return dataclasses.asdict(difference)


def _drawn(side: Side, numbering: Numbering) -> tuple[kernels.U64, kernels.I64]:
    """How often each sample is drawn, and where first; -1 where it is not. Where a side knows draws alone, a sample has
    as many rows."""
    if side.fates is None:
        return kernels.occurrences(numbering.of(side.draws), numbering.total)
    return numbering.spread(side.times), numbering.spread(side.first, missing=-1)


def _positions(kept: NDArray[np.bool_], drawn: kernels.U32, first: Sequence[NDArray[np.int64]]) -> kernels.U64:
    """Where the samples that stay are now, in the order in which they were."""
    stay = kept[drawn]
    if len(drawn) > len(kept) or int(stay.sum()) > int(kept.sum()):
        stay &= first[0][drawn] == np.arange(len(drawn))
    # Samples that stay have a position, so none is below zero.
    positions: kernels.U64 = first[1][drawn[stay]].view(np.uint64)
    return positions


def _first_stage(side: Side, first: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int16]:
    """The number among `names` of the stage that each sample is drawn in first; -1 where it is not drawn."""
    number = np.array([names.index(stage.name) for stage in side.manifest.stages], dtype=np.int16)
    if len(number) == 1:
        return np.where(first >= 0, number[0], np.int16(-1))
    # A sample that is not drawn has -1 as its position, which takes the last one here.
    stages: NDArray[np.int16] = np.append(number[side.stage], np.int16(-1))[first]
    return stages


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """Draws before and after, samples added and removed, of each pool; and the causes."""

    before: Side
    after: Side
    draws: Sequence[kernels.U64]
    added: kernels.U64
    removed: kernels.U64
    causes: tuple[Cause, ...]

    def by_label(self, label: str) -> tuple[Change, ...]:
        """The changes of each value of a label. A pool that is labelled otherwise takes its draws with it."""
        labels = self.before.labels(label), self.after.labels(label)
        counts: dict[str, list[int]] = {}
        for at, pool in enumerate(self.before.pools):
            amounts = (self.draws[0][at], self.draws[1][at], self.added[at], self.removed[at])
            for column, (side, amount) in enumerate(zip((0, 1, 1, 0), amounts, strict=True)):
                counts.setdefault(labels[side].get(pool, "(none)"), [0, 0, 0, 0])[column] += int(amount)
        because: dict[str, dict[int, int]] = {}
        for cause in self.causes:
            side, sign = (1, 1) if cause.effect == "added" else (0, -1)
            for pool, samples in cause.pools.items():
                own = because.setdefault(labels[side].get(pool, "(none)"), {})
                own[cause.number] = own.get(cause.number, 0) + sign * samples
        return tuple(
            Change(
                name=name,
                line=self.line_of_pool(name) if label == "pool" else "",
                draws_before=amounts[0],
                draws_after=amounts[1],
                added=amounts[2],
                removed=amounts[3],
                because=because.get(name, {}),
            )
            for name, amounts in sorted(counts.items())
            if any(amounts)
        )

    def line_of_pool(self, pool: str) -> str:
        """Where the recipe declares a pool."""
        lines = [side.fates.pool_lines for side in (self.after, self.before) if side.fates is not None]
        return next((found[pool] for found in lines if pool in found), "")

    def by_stage(self, added: Mapping[str, int], removed: Mapping[str, int]) -> tuple[Change, ...]:
        """The changes of each stage."""
        old, new = (_draws_by_stage(side.manifest) for side in (self.before, self.after))
        lines: dict[str, str] = {}
        for side in (self.before, self.after):
            if side.fates is not None:
                lines |= {
                    ref.name: exit_.line for ref, exit_ in zip(side.manifest.own_stages, side.fates.stages, strict=True)
                }
        return tuple(
            Change(
                name=name,
                line=lines.get(name, ""),
                draws_before=old.get(name, 0),
                draws_after=new.get(name, 0),
                added=added.get(name, 0),
                removed=removed.get(name, 0),
                because={
                    cause.number: cause.stages[name] * (1 if cause.effect == "added" else -1)
                    for cause in self.causes
                    if name in cause.stages
                },
            )
            for name in dict.fromkeys([*old, *new])
        )


def _draws_by_stage(manifest: Manifest) -> dict[str, int]:
    """Draws by the name of their stage; one that was cut goes on under its name."""
    draws: dict[str, int] = {}
    for stage in manifest.stages:
        draws[stage.name] = draws.get(stage.name, 0) + stage.draws
    return draws


def _count(stages: NDArray[np.int16], names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(stages, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _pool_contents(before: Manifest, after: Manifest) -> tuple[PoolChange, ...]:
    old = {pool.name: pool for pool in before.own_pools}
    new = {pool.name: pool for pool in after.own_pools}
    return tuple(
        PoolChange(
            name=name,
            samples_before=old[name].samples if name in old else None,
            samples_after=new[name].samples if name in new else None,
            same=name in old and name in new and old[name].digest == new[name].digest,
            files=_files(before, after, name),
        )
        for name in sorted({*old, *new})
    )


def _files(before: Manifest, after: Manifest, pool: str) -> tuple[str, ...]:
    old, new = ({file.path: file for file in side.own_sources if file.pool == pool} for side in (before, after))
    told = []
    for path in sorted({*old, *new}):
        first, second = old.get(path), new.get(path)
        if first is None or second is None:
            count = (second or first).samples  # type: ignore[union-attr]
            told.append(f"{path} ({'new' if first is None else 'gone'}, {count:,} samples)")
        elif first.digest != second.digest:
            told.append(f"{path} ({first.samples:,} -> {second.samples:,} samples)")
    return tuple(told)


def _examples(side: Side, numbering: Numbering, which: NDArray[np.bool_], most: int = 3) -> tuple[str, ...]:
    """The first few of these samples in the order they are drawn."""
    shown: dict[str, None] = {}
    for start in range(0, len(side.draws) if which.any() else 0, 1 << 16):
        draws = side.draws[start : start + (1 << 16)]
        keys = table.keys_of(side.keys, draws[which[numbering.of(draws)]])
        for pool, high, low in zip(keys.pool, *keys.high, *keys.low, strict=True):
            shown[f"{side.pools[pool]} {int(high):016x}{int(low):016x}"] = None
            if len(shown) == most:
                return tuple(shown)
    return tuple(shown)
