"""The table of samples: its columns, and how it is made from the indexes of bound pools.

Rows stand in canonical order: pools by name, files by name, records as they lie. Columns a recipe may use are those of
`model.columns`, upstream values that a pool carries, and annotations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.resolve.bind import BoundPool
from recipe_compiler.resolve.index import BOOLEAN, CARRIED, FLOAT, INTEGER, NUMBER


@dataclass(frozen=True, slots=True)
class Labels:
    """The values that pools give all their samples, as enumerations: a byte or two a row instead of a text."""

    pool: pl.Enum
    group: pl.Enum
    category: pl.Enum
    license: pl.Enum

    @staticmethod
    def of(pools: Sequence[BoundPool]) -> Labels:
        """The labels of these pools; a pool's number is its place among them."""

        def values(name: str) -> pl.Enum:
            return pl.Enum(sorted({value for pool in pools if (value := getattr(pool.scan, name)) is not None}))

        return Labels(pl.Enum([pool.scan.pool for pool in pools]), *map(values, ("group", "category", "license")))


def pool_frame(pool: BoundPool, first_source: int, labels: Labels) -> pl.DataFrame:
    """The samples of a pool. `first_source` is the number of its first file among all."""
    parts = []
    for position, file in enumerate(pool.files):
        table = file.index.table if pool.missing_media else file.index.table.drop_columns("media")
        frame = pl.DataFrame(pl.from_arrow(table))
        parts.append(frame.with_columns(source=pl.lit(first_source + position, dtype=pl.UInt32)))
    scan = pool.scan
    frame = pl.concat(_alike(parts), how="diagonal_relaxed").with_columns(
        pl.lit(scan.pool, dtype=labels.pool).alias("pool"),
        pl.lit(scan.group, dtype=labels.group).alias("group"),
        pl.lit(scan.category, dtype=labels.category).alias("category"),
        pl.lit(scan.license, dtype=labels.license).alias("license"),
        pl.lit(list(scan.tags), dtype=pl.List(pl.String)).alias("tags"),
    )
    if "@shown" in frame.columns:
        # A path is another one below another folder.
        folder = int(kernels.digest_parts("media folder", [(scan.media or "").encode()])[:16], 16)
        frame = frame.with_columns(pl.col("@shown") ^ pl.lit(folder, dtype=pl.UInt64))
    return _with_occurrence(frame) if pool.repeats else frame.with_columns(occurrence=pl.lit(0, dtype=pl.UInt32))


def _alike(parts: Sequence[pl.DataFrame]) -> Sequence[pl.DataFrame]:
    """The files of a pool with each carried column kept in the same way by all: as numbers where all can, else as texts."""
    schemas = [part.schema for part in parts]
    if all(schema.keys() == schemas[0].keys() for schema in schemas) and not _mixed(schemas, schemas[0]):
        return parts
    names = {name.partition(":")[2] for part in parts for name in part.columns if name.startswith((CARRIED, NUMBER))}
    alike = []
    for part in parts:
        columns, gone = [], []
        for name in sorted(names):
            text, number = f"{CARRIED}{name}", f"{NUMBER}{name}"
            if text not in part.columns and number not in part.columns:
                continue
            if any(text in schema for schema in schemas) or _mixed(schemas, [number]):
                columns.append(_written(part, name).alias(text))
            if any(number not in schema and text in schema for schema in schemas) or _mixed(schemas, [number]):
                gone.append(number)
        alike.append(part.with_columns(columns).drop(gone, strict=False))
    return alike


def _mixed(schemas: Sequence[pl.Schema], names: Iterable[str]) -> bool:
    """Whether one of these columns is true or false in one place and a number in another."""
    return any(len({schema[name] == pl.Boolean for schema in schemas if name in schema}) > 1 for name in names)


def _with_occurrence(frame: pl.DataFrame) -> pl.DataFrame:
    """Numbers equal samples of one pool, by upstream key and carried values, so that each row has a name of its own.

    What those leave equal is the same to every rule, so it does not matter in which file each of them lies.
    """
    names = {name.partition(":")[2] for name in frame.columns if name.startswith((CARRIED, NUMBER))}
    carried = [_written(frame, name).alias(f"@{name}") for name in sorted(names)]
    number = pl.int_range(pl.len(), dtype=pl.UInt32).over(
        ["id_high", "id_low"], order_by=["key", *(column.name for column in carried)]
    )
    # Whether values are kept as numbers or as texts does not matter to who is first.
    occurrence = frame.with_columns(carried).select(number.alias("occurrence"))
    return frame.with_columns(occurrence)


def keys(frame: pl.DataFrame) -> kernels.Keys:
    """What tells the rows apart, as arrays."""
    return kernels.Keys(
        high=np.ascontiguousarray(frame["id_high"].to_numpy()),
        low=np.ascontiguousarray(frame["id_low"].to_numpy()),
        occurrence=np.ascontiguousarray(frame["occurrence"].to_numpy()),
        pool=np.ascontiguousarray(frame["pool"].to_physical().to_numpy().astype(np.uint32)),
    )


def counts_of(frame: pl.DataFrame, codes: kernels.U32, alive: kernels.Bools) -> dict[str, int]:
    """Rows of each pool that are alive; `codes` are the numbers of the rows' pools."""
    values = frame["pool"]
    assert isinstance(values.dtype, pl.Enum)
    names = values.dtype.categories.to_list()
    counts = kernels.totals(codes, len(names), alive=alive).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def uses(rows: kernels.U32, passes: int) -> tuple[kernels.U32, kernels.U32]:
    """(row, pass) of every use of rows in so many passes, one pass after another."""
    return np.tile(rows, passes), np.repeat(np.arange(passes, dtype=np.uint32), len(rows))


def numbered(values: pl.Series, alive: kernels.Bools | None = None) -> tuple[kernels.U32, list[str]]:
    """Each value's number among the sorted different values, as text, and those; a missing value is `(none)`.

    With `alive`, only the values of living rows have a number, and that of other rows means nothing.
    """
    if isinstance(values.dtype, pl.Enum) and not values.null_count():
        # An enumeration is numbered already, in sorted order.
        group = np.ascontiguousarray(values.to_physical().cast(pl.UInt32).to_numpy())
        names = values.dtype.categories.to_list()
    else:
        texts = values.cast(pl.String).fill_null("(none)")
        different = texts.unique().sort()
        names = different.to_list()
        numbers = pl.Series(range(len(names)), dtype=pl.UInt32)
        group = np.ascontiguousarray(texts.replace_strict(different, numbers, return_dtype=pl.UInt32).to_numpy())
    present = np.flatnonzero(kernels.totals(group, len(names), alive=alive))
    if len(present) == len(names):
        return group, names
    number = np.zeros(len(names), dtype=np.uint32)
    number[present] = np.arange(len(present), dtype=np.uint32)
    return number[group], [names[old] for old in present]


def combined(frame: pl.DataFrame, by: Sequence[str], alive: kernels.Bools) -> tuple[kernels.U32, list[str]]:
    """`numbered`, for the values of several columns together."""
    if len(by) == 1:
        return numbered(frame[by[0]], alive)
    texts = [pl.col(name).cast(pl.String).fill_null("(none)") for name in by]
    return numbered(frame.select(pl.concat_str(texts, separator=" / ").alias("@by"))["@by"], alive)


def without_missing_media(frame: pl.DataFrame, missing: Sequence[str]) -> pl.DataFrame:
    """The samples all of whose media are there."""
    if not missing:
        return frame
    gone = pl.col("media").list.eval(pl.element().is_in(pl.Series(missing).implode())).list.any()
    return frame.filter(~gone)


def unite(frames: Sequence[pl.DataFrame], seen: dict[str, int], *, per_image: int, per_video: int) -> pl.DataFrame:
    """All pools as one table, with carried columns in the type that fits all their values.

    `seen` tells the kinds of values of each carried column over all pools (see `kernels.Index`).
    """
    numbers = _numbers([part.schema for part in frames], seen)
    frame = pl.concat(
        [_carrying(part.drop("media", strict=False), seen, numbers) for part in frames], how="diagonal_relaxed"
    )
    media = pl.col("images").cast(pl.UInt64) * per_image + pl.col("videos").cast(pl.UInt64) * per_video
    tokens = pl.col("text_tokens").cast(pl.UInt64) + media
    texts = [name for name in seen if f"{CARRIED}{name}" in frame.columns]
    typed = [_typed(frame[f"{CARRIED}{name}"], seen[name]).alias(name) for name in texts]
    return frame.drop([f"{CARRIED}{name}" for name in texts]).with_columns(tokens.alias("tokens"), *typed)


def _numbers(schemas: Sequence[pl.Schema], seen: Iterable[str]) -> frozenset[str]:
    """The carried columns that are numbers in every pool that has them."""
    found = [name for name in seen if all(NUMBER + name in each or CARRIED + name not in each for each in schemas)]
    return frozenset(name for name in found if not _mixed(schemas, [NUMBER + name]))


def _carrying(part: pl.DataFrame, seen: Iterable[str], numbers: Collection[str]) -> pl.DataFrame:
    """Carried columns under their own names where they are numbers in every pool, and as texts otherwise."""
    columns, gone = [], [name for name in part.columns if name.startswith((CARRIED, NUMBER))]
    there = frozenset(gone)
    for name in seen:
        text, number = f"{CARRIED}{name}", f"{NUMBER}{name}"
        if number in there and name in numbers:
            columns.append(part[number].alias(name))
        elif number in there or text in there:
            columns.append(_written(part, name).alias(text))
    return part.drop(gone).with_columns(columns)


def _written(part: pl.DataFrame, name: str) -> pl.Series:
    """A carried column as it was written."""
    text = f"{CARRIED}{name}"
    return part[text] if text in part.columns else part[f"{NUMBER}{name}"].cast(pl.String)


def _typed(texts: pl.Series, mask: int) -> pl.Series:
    """The texts in the narrowest type that holds every one of them."""
    if mask == BOOLEAN:
        return texts == "true"
    candidates: tuple[type[pl.DataType], ...] = ()
    if mask == INTEGER:
        candidates = (pl.Int64, pl.Float64)
    elif mask and mask | INTEGER | FLOAT == INTEGER | FLOAT:
        candidates = (pl.Float64,)
    for dtype in candidates:
        numbers = texts.cast(dtype, strict=False)
        if numbers.null_count() == texts.null_count():
            return numbers
    return texts
