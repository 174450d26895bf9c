"""Which samples are the same: found once, for the numbers that tell equals apart and for the rule that drops them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.execute import frames
from recipe_compiler.manifest.rows import pieces
from recipe_compiler.resolve.bind import BoundPool
from recipe_compiler.resolve.index import CARRIED, NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """The ids of all rows, pool after pool, and those that are `repeated`; `again` are equal to one before them, in their pool."""

    high: kernels.U64
    low: kernels.U64
    repeated: kernels.Repeated
    again: kernels.Bools

    @staticmethod
    def of(pools: Sequence[BoundPool], *, repeats: bool) -> Alike:
        """Those of the samples of pools. Without `repeats` all ids of a pool are different, and no equals are sought."""
        indexes = [file.index.table for pool in pools for file in pool.files]
        high, low = (
            table.joined([piece for of in indexes for piece in pieces(of, name)]) for name in ("id_high", "id_low")
        )
        if not repeats:
            none = np.empty(0, dtype=np.uint32)
            return Alike(high=high, low=low, repeated=kernels.Repeated(none, none), again=np.empty(0, dtype=np.bool_))
        ends = np.cumsum([pool.samples for pool in pools], dtype=np.uint64)
        repeated, again = kernels.repeated(high, low, ends)
        return Alike(high=high, low=low, repeated=repeated, again=again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """The ids of all rows, their occurrences among the equals of a pool, and the rows of which another has the same id."""

    high: kernels.U64
    low: kernels.U64
    occurrence: kernels.U32
    repeated: kernels.Repeated

    @staticmethod
    def of(alike: Alike, groups: Sequence[Group]) -> Ids:
        """Those of pools, with the tables of their samples in groups.

        Equal samples of one pool are numbered by upstream key and carried values, so that each row has a name of its own.
        What those leave equal is the same to every rule, so it does not matter in which file each of them lies.
        """
        occurrence = table.zeros(len(alike.high), np.uint32)
        for rows, numbers in _occurrences(groups, alike.repeated.rows, alike.again):
            occurrence[rows] = numbers
        return Ids(high=alike.high, low=alike.low, occurrence=occurrence, repeated=alike.repeated)

    def only(self, kept: kernels.Bools) -> Ids:
        """Those of the rows that are kept."""
        number = np.cumsum(kept, dtype=np.uint32) - np.uint32(1)
        there = kept[self.repeated.rows]
        return Ids(
            high=self.high[kept],
            low=self.low[kept],
            occurrence=self.occurrence[kept],
            repeated=kernels.Repeated(rows=number[self.repeated.rows[there]], sets=self.repeated.sets[there]),
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Tables of pools that stand in a row and have the same columns that tell equals apart: they are looked at as one."""

    parts: Sequence[pl.DataFrame]
    own: Sequence[str]

    @property
    def height(self) -> int:
        """How many rows they have."""
        return sum(part.height for part in self.parts)


def groups(parts: Sequence[pl.DataFrame]) -> list[Group]:
    """The tables of all pools in groups."""
    return [Group(list(alike), list(own)) for own, alike in itertools.groupby(parts, key=_own)]


def _own(part: pl.DataFrame) -> dict[str, pl.DataType]:
    """The columns that tell equals apart, and their types."""
    return {name: dtype for name, dtype in part.schema.items() if name == "key" or name.startswith((CARRIED, NUMBER))}


def _occurrences(
    groups: Sequence[Group], repeated: kernels.U32, again: kernels.Bools
) -> Iterator[tuple[kernels.U32, kernels.U32]]:
    """(rows, the number of each among its equals of the same pool), of all rows but those whose number is 0."""
    if not again.any():
        return
    in_set = np.flatnonzero(again | np.append(again[1:], False))
    rows, again = repeated[in_set], again[in_set]
    first = 0
    for group in groups:
        end = first + group.height
        own = (rows >= first) & (rows < end)
        found, numbers = _numbered(group, rows[own] - np.uint32(first), again[own])
        later = numbers > 0
        yield found[later] + np.uint32(first), numbers[later]
        first = end


def _numbered(group: Group, rows: kernels.U32, again: kernels.Bools) -> tuple[kernels.U32, kernels.U32]:
    """(rows of sets of equals, the number of each in its set). Those that are given are sets as they stand; the rows that
    are equal to the one before them are marked."""
    places = np.arange(len(rows), dtype=np.uint32)
    firsts = np.maximum.accumulate(np.where(again, 0, places))
    mixed = np.zeros(len(rows), dtype=np.bool_)
    mixed[firsts[_differs(group, rows, again)]] = True
    sets = np.flatnonzero(mixed[firsts])
    if len(sets):
        equals = pl.concat([part.select(group.own) for part in group.parts], rechunk=False)[rows[sets]]
        rows[sets] = rows[sets][_by_values(equals.with_columns(frames.series("@set", firsts[sets])))]
    return rows, places - firsts


def _differs(group: Group, rows: kernels.U32, again: kernels.Bools) -> kernels.Bools:
    """Marks the rows, of those that are equal to the one before them, that do not hold the same as that one. Fractions are
    so by their texts, which stand beside them. A number that is none may be marked, which does no harm."""
    numbers: list[list[NDArray[Any]]] = []
    texts: list[list[pa.StringViewArray]] = []
    others: list[pl.Series] = []
    for name in group.own:
        columns = [part.get_column(name) for part in group.parts]
        missing = sum(column.null_count() for column in columns)
        if missing == sum(map(len, columns)):
            continue
        if not missing and isinstance(columns[0].dtype, pl.Enum):
            columns = [column.to_physical() for column in columns]
        if not missing and columns[0].dtype.is_numeric():
            numbers.append([piece for column in columns for piece in frames.pieces(column)])
        elif columns[0].dtype == pl.String:
            texts.append([piece for column in columns for piece in frames.viewed(column)])
        else:
            others.append(pl.concat(columns, rechunk=False)[rows])
    differs = table.differs(numbers, texts, rows, again)
    for values in others:
        differs |= again & values.ne_missing(values.shift(1)).to_numpy()
    return differs


def _by_values(rows: pl.DataFrame) -> NDArray[Any]:
    """The order of rows by `@set`, upstream key and carried values."""
    carried = sorted({name.partition(":")[2] for name in rows.columns if name.startswith((CARRIED, NUMBER))})
    # Whether values are kept as numbers or as texts does not matter to who is first.
    values = [frames.written(rows, name).alias(f"@{name}") for name in carried]
    ranked = rows.select("@set", "key").hstack(values).with_row_index("@row")
    ranked = ranked.sort(["@set", "key", *(value.name for value in values)], maintain_order=True)
    return ranked["@row"].to_numpy()
