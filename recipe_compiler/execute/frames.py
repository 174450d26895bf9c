"""The table of samples: its columns, and how it is made from the indexes of bound pools.

Rows stand in canonical order: pools by name, files by name, records as they lie. Columns a recipe may use are those of
`model.columns`, upstream values that a pool carries, and annotations.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from recipe_compiler.resolve.bind import BoundPool
from recipe_compiler.resolve.index import CARRIED

_BOOLEAN, _INTEGER, _FLOAT = 1, 2, 4


def pool_frame(pool: BoundPool, first_source: int) -> pl.DataFrame:
    """The samples of a pool. `first_source` is the number of its first file among all."""
    parts = []
    for position, file in enumerate(pool.files):
        frame = pl.DataFrame(pl.from_arrow(file.index.table))
        parts.append(frame.with_columns(source=pl.lit(first_source + position, dtype=pl.UInt32)))
    scan = pool.scan
    text = {"pool": scan.pool, "group": scan.group, "category": scan.category, "license": scan.license}
    return pl.concat(parts).with_columns(
        *(pl.lit(value, dtype=pl.String).alias(name) for name, value in text.items()),
        pl.lit(list(scan.tags), dtype=pl.List(pl.String)).alias("tags"),
    )


def with_occurrence(frame: pl.DataFrame) -> pl.DataFrame:
    """Numbers equal samples of one pool, by upstream key and carried values, so that each row has a name of its own.

    What those leave equal is the same to every rule, so it does not matter in which file each of them lies.
    """
    same = ["pool", "id_high", "id_low"]
    if not frame.select(same).is_duplicated().any():
        return frame.with_columns(occurrence=pl.lit(0, dtype=pl.UInt32))
    carried = sorted(name for name in frame.columns if name.startswith(CARRIED))
    number = pl.int_range(pl.len(), dtype=pl.UInt32).over(same, order_by=["key", *carried])
    return frame.with_columns(occurrence=number)


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
    frame = pl.concat([part.drop("media") for part in frames], how="diagonal")
    tokens = pl.col("text_tokens").cast(pl.UInt32) + pl.col("images") * per_image + pl.col("videos") * per_video
    carried = [_typed(frame[f"{CARRIED}{name}"], mask).alias(name) for name, mask in seen.items()]
    frame = frame.with_columns(tokens.cast(pl.UInt32).alias("tokens"), *carried)
    return frame.drop([name for name in frame.columns if name.startswith(CARRIED)])


def first_of_equals(frame: pl.DataFrame) -> pl.DataFrame:
    """One row for each content: the first occurrence in the first pool by name. The order of rows stays."""
    ordered = frame.with_row_index("@row").sort("id_high", "id_low", "pool", "occurrence")
    return ordered.unique(subset=["id_high", "id_low"], keep="first", maintain_order=True).sort("@row").drop("@row")


def _typed(texts: pl.Series, mask: int) -> pl.Series:
    """The texts in the narrowest type that holds every one of them."""
    if mask == _BOOLEAN:
        return texts == "true"
    candidates: tuple[type[pl.DataType], ...] = ()
    if mask == _INTEGER:
        candidates = (pl.Int64, pl.Float64)
    elif mask and mask | _INTEGER | _FLOAT == _INTEGER | _FLOAT:
        candidates = (pl.Float64,)
    for dtype in candidates:
        numbers = texts.cast(dtype, strict=False)
        if numbers.null_count() == texts.null_count():
            return numbers
    return texts


def counts(frame: pl.DataFrame) -> dict[str, int]:
    """Rows of each pool."""
    return dict(sorted(frame.group_by("pool").len().iter_rows()))
