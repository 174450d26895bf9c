"""The first draws of a manifest, for another one that begins with them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from recipe_compiler import kernels
from recipe_compiler.errors import DataError, ManifestCorrupt, RecipeError, StorageError
from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.schema import Manifest, SourceRef, StageRef
from recipe_compiler.manifest.sources import Sources
from recipe_compiler.remote.address import is_remote

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """A manifest and the rows of its positions below `position`."""

    folder: Path
    manifest: Manifest
    position: int
    table: pa.Table

    @staticmethod
    def of(folder: Path, position: int) -> Prefix:
        """The first draws of the manifest in a folder. Raises `RecipeError` where it has not so many."""
        manifest = store.read(folder)
        if position == 0:
            raise RecipeError(f"{folder}: nothing is consumed at position 0; compile without `--after`")
        if position > manifest.draws:
            raise RecipeError(f"{folder}: has {manifest.draws:,} draws, and {position:,} cannot be consumed")
        if sum(stage.draws for stage in manifest.stages) != manifest.draws:
            raise ManifestCorrupt(str(folder), "its stages do not have as many draws as its shards")
        table = _whole_units(store.read_rows(folder, manifest, position + 1), position, manifest, folder)
        for name in ("source", "pool", "stage", "rule"):
            if int(rows.cells(table, name).max()) >= len(getattr(manifest, f"{name}s")):
                raise ManifestCorrupt(str(folder), f"a row names a {name} that there is not")
        return Prefix(folder=folder, manifest=manifest, position=position, table=table)

    @staticmethod
    def kept(folder: Path) -> Prefix | None:
        """The draws that a manifest took over from the one it goes on from, if it does."""
        after = store.read(folder).after
        return None if after is None else Prefix.of(folder, after.position)

    @property
    def counts_draws(self) -> bool:
        """Whether each of the draws was taken by itself: in no pack, and in no batch of tokens."""
        return int(rows.cells(self.table, "unit")[-1]) + 1 == self.position

    def keys(self, pools: Sequence[str]) -> kernels.Keys:
        """What tells the sample of each draw apart; pools are numbered as they are named here, the others behind them."""
        names = dict.fromkeys((*pools, *(pool.name for pool in self.manifest.pools)))
        number = {name: at for at, name in enumerate(names)}
        numbers = np.array([number[pool.name] for pool in self.manifest.pools], dtype=np.uint32)
        ids = rows.cells(self.table, "sample_id").view(">u8").reshape(-1, 2).astype(np.uint64)
        return kernels.Keys(
            high=[np.ascontiguousarray(ids[:, 0])],
            low=[np.ascontiguousarray(ids[:, 1])],
            occurrence=rows.cells(self.table, "occurrence"),
            pool=numbers[rows.cells(self.table, "pool")],
        )

    def stages(self) -> tuple[StageRef, ...]:
        """The stages that begin before the position; the last ends there, with what came of it until then."""
        stages = [stage for stage in self.manifest.stages if stage.start < self.position]
        last = stages[-1]
        if last.start + last.draws == self.position:
            return tuple(stages)
        part = self.table.slice(last.start)
        counts = np.bincount(rows.cells(part, "rule"), minlength=len(self.manifest.rules)).tolist()
        different = {name: part[name] for name in ("sample_id", "occurrence", "pool")}
        cut = dataclasses.replace(
            last,
            draws=part.num_rows,
            samples=pa.table(different).group_by(list(different)).aggregate([]).num_rows,
            shares=tuple(dataclasses.replace(share, realised=counts[share.rule]) for share in last.shares),
        )
        return (*stages[:-1], cut)

    def sources(self) -> list[tuple[SourceRef, int]]:
        """The files that these draws read, and how many draws each."""
        counts = np.bincount(rows.cells(self.table, "source"), minlength=len(self.manifest.sources)).tolist()
        return [(source, draws) for source, draws in zip(self.manifest.sources, counts, strict=True) if draws]

    def check_root(self, root: Path) -> None:
        """Raises `RecipeError` where all the files of these draws lie below another root than this one."""
        if any(is_remote(source.path) or (root / source.path).exists() for source, _ in self.sources()):
            return
        try:
            home = store.find_root(self.folder, self.manifest)
        except DataError:
            return
        if home.resolve() != root.resolve():
            raise RecipeError(
                f"{self.folder}: its paths are relative to {home}, and those of the recipe to {root}; "
                f"say the same root with `--root {home}`"
            )

    def gone(self, sources: Sources, known: Iterable[SourceRef]) -> list[tuple[SourceRef, int, str]]:
        """The files of these draws that are not as they were compiled: file, draws, and how it differs.

        `known` are files that are there as they say.
        """
        there = {(source.path, source.digest) for source in known}
        looked_at = [(source, draws) for source, draws in self.sources() if (source.path, source.digest) not in there]
        found = ((source, draws, _difference(sources, source)) for source, draws in looked_at)
        return [(source, draws, reason) for source, draws, reason in found if reason is not None]


def _whole_units(table: pa.Table, position: int, manifest: Manifest, folder: Path) -> pa.Table:
    """The rows below a position, which is no place inside a pack or a batch; the row there tells."""
    units = rows.cells(table, "unit")
    if manifest.units is not None and position < len(units) and units[position] == units[position - 1]:
        start = int(np.searchsorted(units, units[position]))
        way_out = f"go on after {start:,}" if start else "name a position where one ends"
        kind = manifest.units.kind
        raise RecipeError(f"{folder}: {position:,} draws end inside {kind} {int(units[position]):,}; {way_out}")
    return table.slice(0, position)


def _difference(sources: Sources, source: SourceRef) -> str | None:
    try:
        return sources.difference(source)
    except StorageError as error:
        return error.reason


def joined(old: Sequence[_Entry], new: Sequence[_Entry]) -> tuple[tuple[_Entry, ...], list[int]]:
    """A table that begins with the old one and holds the new entries, too; and the number of each new entry in it.

    The n-th of equal new entries is the n-th of those that are the same in the old table, as far as there are any.
    """
    if not old:
        return tuple(new), list(range(len(new)))
    places: dict[str, list[int]] = {}
    for number, entry in enumerate(old):
        places.setdefault(_text(entry), []).append(number)
    free = {text: iter(numbers) for text, numbers in places.items()}
    table, numbers = list(old), []
    for entry in new:
        number = next(free.get(_text(entry), iter(())), len(table))
        table += [entry] if number == len(table) else []
        numbers.append(number)
    return tuple(table), numbers


def _text(entry: Any) -> str:
    return json.dumps(dataclasses.asdict(entry) if dataclasses.is_dataclass(entry) else entry, sort_keys=True)  # type: ignore[arg-type]
