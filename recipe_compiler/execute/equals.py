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
    """The ids of all rows, pool after pool, in pieces, and those that are `repeated`; `again` are equal to one before them,
    in their pool."""

    high: Sequence[kernels.U64]
    low: Sequence[kernels.U64]
    repeated: kernels.Repeated
    again: kernels.Bools

    @staticmethod
    def of(pools: Sequence[BoundPool], *, repeats: bool) -> Alike:
        """Those of the samples of pools. Without `repeats` all ids of a pool are different, and no equals are sought."""
        indexes = [file.index.table for pool in pools for file in pool.files]
        highs, lows = ([piece for of in indexes for piece in pieces(of, name)] for name in ("id_high", "id_low"))
        none = np.empty(0, dtype=np.uint32)
        repeated, again = kernels.Repeated(none, none), np.empty(0, dtype=np.bool_)
        if repeats:
            ends = np.cumsum([pool.samples for pool in pools], dtype=np.uint64)
            repeated, again = kernels.repeated(highs, lows, ends)
        return Alike(high=highs, low=lows, repeated=repeated, again=again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """The ids of all rows, in pieces, their occurrences among the equals of a pool, and the rows of which another has the
    same id."""

    high: Sequence[kernels.U64]
    low: Sequence[kernels.U64]
    occurrence: kernels.U32
    repeated: kernels.Repeated

    @staticmethod
    def of(alike: Alike, groups: Sequence[Group], occurrence: kernels.U32) -> Ids:
        """Those of pools, with the tables of their samples in groups. `occurrence` are as many zeros as there are rows.

        Equal samples of one pool are numbered by upstream key and carried values, so that each row has a name of its own.
        What those leave equal is the same to every rule, so it does not matter in which file each of them lies.
        """
        if alike.again.any():
            kernels.number_equals(alike.repeated.rows, alike.again, occurrence)
            for rows, numbers in _of_different(groups, alike.repeated.rows, alike.again):
                occurrence[rows] = numbers
        return Ids(high=alike.high, low=alike.low, occurrence=occurrence, repeated=alike.repeated)

    def only(self, kept: kernels.Bools) -> Ids:
        """Those of the rows that are kept."""
        number = np.cumsum(kept, dtype=np.uint32) - np.uint32(1)
        there = kept[self.repeated.rows]
        rows = np.flatnonzero(kept).astype(np.uint32)
        half, count = np.dtype(np.uint64), np.dtype(np.uint32)
        columns: list[Sequence[NDArray[Any]]] = [self.high, self.low, [self.occurrence]]
        high, low, occurrence = table.gather(columns, rows, [half, half, count])
        return Ids(
            high=[high],
            low=[low],
            occurrence=occurrence,
            repeated=kernels.Repeated(rows=number[self.repeated.rows[there]], sets=self.repeated.sets[there]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tables of pools that stand in a row and have the same columns that tell equals apart: they are looked at as one.

    Those columns are numbers and texts, in pieces, and `others`; a column without any value tells nothing apart.
    """

    parts: Sequence[pl.DataFrame]
    own: Sequence[str]
    height: int
    numbers: Sequence[Sequence[NDArray[Any]]]
    texts: Sequence[Sequence[pa.StringViewArray]]
    others: Sequence[Sequence[pl.Series]]

    @staticmethod
    def of(parts: Sequence[pl.DataFrame], own: Sequence[str]) -> Group:
        """Tables with these columns that tell equals apart."""
        height = sum(part.height for part in parts)
        numbers: list[list[NDArray[Any]]] = []
        texts: list[list[pa.StringViewArray]] = []
        others: list[list[pl.Series]] = []
        for name in own:
            columns = [part.get_column(name) for part in parts]
            missing = sum(column.null_count() for column in columns)
            if missing == height:
                continue
            if not missing and isinstance(columns[0].dtype, pl.Enum):
                columns = [column.to_physical() for column in columns]
            if not missing and columns[0].dtype.is_numeric():
                numbers.append([piece for column in columns for piece in frames.pieces(column)])
            elif columns[0].dtype == pl.String:
                texts.append([piece for column in columns for piece in frames.viewed(column)])
            else:
                others.append(columns)
        return Group(parts=parts, own=own, height=height, numbers=numbers, texts=texts, others=others)

    def differs(self, rows: kernels.U32, again: kernels.Bools) -> kernels.Bools:
        """Marks the rows, of those that are equal to the one before them, that do not hold the same as that one. Fractions
        are so by their texts, which stand beside them. A number that is none may be marked, which does no harm."""
        differs = table.differs(self.numbers, self.texts, rows, again)
        for columns in self.others:
            values = pl.concat(columns, rechunk=False)[rows]
            differs |= again & values.ne_missing(values.shift(1)).to_numpy()
        return differs


def groups(parts: Sequence[pl.DataFrame]) -> list[Group]:
    """The tables of all pools in groups."""
    return [Group.of(list(alike), list(own)) for own, alike in itertools.groupby(parts, key=_own)]


def _own(part: pl.DataFrame) -> dict[str, pl.DataType]:
    """The columns that tell equals apart, and their types."""
    return {name: dtype for name, dtype in part.schema.items() if name == "key" or name.startswith((CARRIED, NUMBER))}


def _of_different(
    groups: Sequence[Group], repeated: kernels.U32, again: kernels.Bools
) -> Iterator[tuple[kernels.U32, kernels.U32]]:
    """(rows, the number of each among its equals of the same pool), of all sets of equals that do not hold the same.

    Rows are sets as they stand, those that are equal to the one before them are marked.
    """
    in_set = np.flatnonzero(again | np.append(again[1:], False))
    rows, again = repeated[in_set], again[in_set]
    first = 0
    for group in groups:
        end = first + group.height
        own = slice(None) if len(groups) == 1 else np.flatnonzero((rows >= first) & (rows < end))
        yield _renumbered(group, rows[own] - np.uint32(first), again[own], np.uint32(first))
        first = end


def _renumbered(
    group: Group, rows: kernels.U32, again: kernels.Bools, first: np.uint32
) -> tuple[kernels.U32, kernels.U32]:
    """`_of_different`, of the rows of a group, of which this is the first."""
    places = np.arange(len(rows), dtype=np.uint32)
    differs = np.flatnonzero(group.differs(rows, again))
    if not len(differs):
        return rows[:0], places[:0]
    firsts = np.maximum.accumulate(np.where(again, 0, places))
    mixed = np.zeros(len(rows), dtype=np.bool_)
    mixed[firsts[differs]] = True
    sets = np.flatnonzero(mixed[firsts])
    equals = pl.concat([part.select(group.own) for part in group.parts], rechunk=False)[rows[sets]]
    ordered = rows[sets][_by_values(equals.with_columns(frames.series("@set", firsts[sets])))]
    return ordered + first, (places - firsts)[sets]


def _by_values(rows: pl.DataFrame) -> NDArray[Any]:
    """The order of rows by `@set`, upstream key and carried values."""
    carried = sorted({name.partition(":")[2] for name in rows.columns if name.startswith((CARRIED, NUMBER))})
    # Whether values are kept as numbers or as texts does not matter to who is first.
    values = [frames.written(rows, name).alias(f"@{name}") for name in carried]
    ranked = rows.select("@set", "key").hstack(values).with_row_index("@row")
    ranked = ranked.sort(["@set", "key", *(value.name for value in values)], maintain_order=True)
    return ranked["@row"].to_numpy()
