"""The tables of bound pools: files that hold the same columns are read as one, however many they are and of whichever pools.

A table of polars costs a thread about a millisecond to make, whatever its rows: by files that would be most of what reading costs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import polars as pl
import pyarrow as pa

from recipe_compiler import kernels
from recipe_compiler.execute import enumerations
from recipe_compiler.execute.frames import mixed, written
from recipe_compiler.resolve.bind import BoundPool
from recipe_compiler.resolve.index import CARRIED, NUMBER


@dataclass(frozen=True, slots=True)
class Part:
    """Pools that stand in a row and the table of their samples: one pool, or several none of which misses media."""

    pools: Sequence[BoundPool]
    frame: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Labels:
    """What all samples of a file are given: the file's number among those of all pools, and what its pool is called and
    belongs to. Names are enumerations, a byte or two a row instead of a text."""

    dtypes: dict[str, pl.DataType]
    values: dict[str, list[list[Any]]]

    @staticmethod
    def of(pools: Sequence[BoundPool]) -> Labels:
        """Those of the files of all pools of a recipe; a pool's number is its place among them."""
        names = ("group", "category", "license")
        texts = {name: {getattr(pool.scan, name) for pool in pools} - {None} for name in names}
        numbers = iter(range(sum(len(pool.files) for pool in pools)))
        dtypes = {
            "source": _small_type(sum(len(pool.files) for pool in pools)),
            "pool": pl.Enum([pool.scan.pool for pool in pools]),
            **{name: pl.Enum(sorted(found)) for name, found in texts.items()},
            "tags": pl.List(pl.String),
        }
        values = {name: [[getattr(pool.scan, name)] * len(pool.files) for pool in pools] for name in ("pool", *names)}
        return Labels(
            dtypes,
            {
                "source": [[next(numbers) for _ in pool.files] for pool in pools],
                **values,
                "tags": [[list(pool.scan.tags)] * len(pool.files) for pool in pools],
            },
        )

    def beside(self, frame: pl.DataFrame, pools: range, rows: Sequence[int]) -> pl.DataFrame:
        """The table of these pools with their labels; `rows` says how many each file has."""
        # In the pieces that the rows lie in: polars would bring all columns to the same ones, which may copy all of them. Files
        # of a row each may lie in one piece.
        ends = list(accumulate(rows))
        pieces = sorted({0, *ends, *accumulate(frame.to_series(0).chunk_lengths())})
        files = [bisect_right(ends, start) for start in pieces[:-1]]
        varying, constant = [], []
        for name, dtype in self.dtypes.items():
            values = [value for pool in pools for value in self.values[name][pool]]
            if all(value == values[0] for value in values):
                constant.append(pl.lit(values[0], dtype=dtype).alias(name))
            else:
                once = pl.Series(name, values, dtype=dtype)
                given = [
                    once.new_from_index(at, end - start)
                    for at, (start, end) in zip(files, pairwise(pieces), strict=True)
                ]
                varying.append(pl.concat(given or [once.clear()], rechunk=False))
        return frame.hstack(varying).with_columns(constant)


def _small_type(num: int) -> pl.DataType:
    """What holds the numbers below one."""
    return pl.UInt8() if num <= 1 << 8 else pl.UInt16() if num <= 1 << 16 else pl.UInt32()


def parts(pools: Sequence[BoundPool]) -> list[Part]:
    """The samples of the pools that are not held out, with their labels, in canonical order: in as few tables as can be."""
    labels = Labels.of(pools)
    runs: list[_Run] = []
    for at, pool in enumerate(pools):
        if pool.scan.role == "holdout":
            continue
        run = _Run(range(at, at + 1), tables := _tables(pool), _same(tables), pool.missing_media, pool.scan.media)
        if runs and (longer := runs[-1].with_next(run)):
            runs[-1] = longer
        else:
            runs.append(run)
    return [_part(pools, run, labels) for run in runs]


@dataclass(frozen=True, slots=True)
class _Run:
    """Pools that stand in a row, and the indexes of their files; `alike` says that these can be read as one."""

    pools: range
    tables: Sequence[pa.Table]
    alike: bool
    missing_media: Sequence[str]
    media: str | None

    def with_next(self, other: _Run) -> _Run | None:
        """Both, where they can be read as one."""
        if self.missing_media or other.missing_media or not self.alike or not other.alike:
            return None
        first = self.tables[0]
        if self.pools.stop != other.pools.start or not _same([first, other.tables[0]]):
            return None
        if "@shown" in first.column_names and self.media != other.media:
            return None
        return replace(self, pools=range(self.pools.start, other.pools.stop), tables=[*self.tables, *other.tables])


def _part(pools: Sequence[BoundPool], run: _Run, labels: Labels) -> Part:
    if run.alike:
        frame = enumerations.read(pa.concat_tables(run.tables))
    else:
        frame = pl.concat(_kept_alike([enumerations.read(table) for table in run.tables]), how="diagonal_relaxed")
    own = pools[run.pools.start : run.pools.stop]
    frame = labels.beside(frame, run.pools, [file.index.table.num_rows for pool in own for file in pool.files])
    if "@shown" in frame.columns:
        # A path is another one below another folder.
        folder = int(kernels.digest_parts("media folder", [(run.media or "").encode()])[:16], 16)
        frame = frame.with_columns(pl.col("@shown") ^ pl.lit(folder, dtype=pl.UInt64))
    return Part(own, frame)


def _tables(pool: BoundPool) -> list[pa.Table]:
    """The indexes of its files that hold anything, with media only where some are missing."""
    tables = [file.index.table.replace_schema_metadata(None) for file in pool.files]
    return [
        table if pool.missing_media else table.drop_columns("media")
        for table in [table for table in tables if table.num_rows] or tables[:1]
    ]


def _same(tables: Sequence[pa.Table]) -> bool:
    """Whether tables have the same columns, and number texts in the same way."""
    schema = tables[0].schema
    few = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    if not all(table.schema.equals(schema) for table in tables[1:]):
        return False
    texts = ([chunk.dictionary for table in tables for chunk in table[name].chunks] for name in few)
    return all(found.equals(all_found[0]) for all_found in texts for found in all_found[1:])


def _kept_alike(parts: Sequence[pl.DataFrame]) -> Sequence[pl.DataFrame]:
    """The files of a pool with each carried column kept in the same way by all: as numbers where all can, else as texts."""
    schemas = [part.schema for part in parts]
    if all(schema.keys() == schemas[0].keys() for schema in schemas) and not mixed(schemas, schemas[0]):
        return enumerations.shared(parts)
    names = {name.partition(":")[2] for part in parts for name in part.columns if name.startswith((CARRIED, NUMBER))}
    alike = []
    for part in parts:
        columns, gone = [], []
        for name in sorted(names):
            text, number = f"{CARRIED}{name}", f"{NUMBER}{name}"
            if text not in part.columns and number not in part.columns:
                continue
            if any(text in schema for schema in schemas) or mixed(schemas, [number]):
                columns.append(written(part, name).alias(text))
            if any(number not in schema and text in schema for schema in schemas) or mixed(schemas, [number]):
                gone.append(number)
        alike.append(part.with_columns(columns).drop(gone, strict=False))
    return enumerations.shared(alike)
