"""The table of samples: its columns, and how it is made from the indexes of bound pools.

Rows stand in canonical order: pools by name, files by name, records as they lie. Columns a recipe may use are those of
`model.columns`, upstream values that a pool carries, and annotations.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.execute import enumerations
from recipe_compiler.manifest import rows
from recipe_compiler.resolve.index import BOOLEAN, CARRIED, FLOAT, INTEGER, NUMBER

#: Texts that are numbered at once, by so many threads.
_PART, _THREADS = 1 << 20, 4


def mixed(schemas: Sequence[pl.Schema], names: Iterable[str]) -> bool:
    """Whether one of these columns is true or false in one place and a number in another."""
    return any(len({schema[name] == pl.Boolean for schema in schemas if name in schema}) > 1 for name in names)


def pieces(column: pl.Series) -> list[NDArray[Any]]:
    """A column of numbers without missing ones as arrays of the same memory: a file's rows lie in a piece of their own."""
    return [piece.to_numpy() for piece in column.get_chunks()]


def viewed(column: pl.Series) -> list[pa.StringViewArray]:
    """A column of texts as Arrow has it, in the same memory."""
    return [piece.to_arrow(compat_level=pl.CompatLevel.newest()) for piece in column.get_chunks()]


def series(name: str, values: NDArray[Any]) -> pl.Series:
    """An array of numbers as a column of the same memory."""
    # From a table, because polars imports what Arrow computes with for a column by itself, and never uses it.
    whole = pl.from_arrow(pa.table([rows.column(values)], names=[name]))
    assert isinstance(whole, pl.DataFrame)
    return whole[name]


def counts_of(frame: pl.DataFrame, codes: kernels.U32, alive: kernels.Bools) -> dict[str, int]:
    """Rows of each pool that are alive; `codes` are the numbers of the rows' pools."""
    names = pool_names(frame)
    return by_name(names, kernels.totals(codes, len(names), alive=alive))


def pool_names(frame: pl.DataFrame) -> list[str]:
    """The names of pools by number."""
    dtype = frame.schema["pool"]
    assert isinstance(dtype, pl.Enum)
    return dtype.categories.to_list()


def pool_and_key(frame: pl.DataFrame, row: int) -> tuple[str, str | None]:
    """What people know a sample by."""
    # Cell by cell: a column that is the same for all samples is not made for one of them.
    key: str | None = frame.item(row, "key")
    return str(frame.item(row, "pool")), key


def by_name(names: Sequence[str], counts: kernels.U64) -> dict[str, int]:
    """The counts that are not 0."""
    return {name: count for name, count in zip(names, counts.tolist(), strict=True) if count}


def uses(rows: kernels.U32, passes: int) -> tuple[kernels.U32, kernels.U32]:
    """(row, pass) of every use of rows in so many passes, one pass after another."""
    return np.tile(rows, passes), np.repeat(np.arange(passes, dtype=np.uint32), len(rows))


def numbered(
    values: pl.Series, alive: kernels.Bools | None = None, *, missing: str = "(none)"
) -> tuple[kernels.U32, list[str]]:
    """Each value's number among the sorted different values, as text, and those; a missing value is `missing`.

    With `alive`, only the values of living rows have a number, and that of other rows means nothing.
    """
    if isinstance(values.dtype, pl.Enum) and not values.null_count():
        # An enumeration is numbered already, in sorted order.
        group = table.codes(pieces(values.to_physical()))
        names = values.dtype.categories.to_list()
    else:
        texts = values if values.dtype == pl.String else values.cast(pl.String)
        group, names = _few_texts(texts, missing) or _numbered_texts(texts.fill_null(missing))
    present = np.flatnonzero(kernels.totals(group, len(names), alive=alive))
    if len(present) == len(names):
        return group, names
    number = np.zeros(len(names), dtype=np.uint32)
    number[present] = np.arange(len(present), dtype=np.uint32)
    return number[group], [names[old] for old in present]


def _few_texts(texts: pl.Series, missing: str) -> tuple[kernels.U32, list[str]] | None:
    """`_numbered_texts`, where few of them are different; None where many are."""
    return table.numbered(viewed(texts), missing, table.FEW)


def _numbered_texts(texts: pl.Series) -> tuple[kernels.U32, list[str]]:
    """The number of each text among the sorted different ones, and those."""
    parts = [texts.slice(start, _PART) for start in range(0, len(texts), _PART)] or [texts]
    with ThreadPoolExecutor(_THREADS) as threads:
        different = pl.concat(threads.map(pl.Series.unique, parts)).unique().sort()
        numbers = pl.Series(range(len(different)), dtype=pl.UInt32)

        def number(part: pl.Series) -> NDArray[Any]:
            return part.replace_strict(different, numbers, return_dtype=pl.UInt32).to_numpy()

        return table.codes(list(threads.map(number, parts))), different.to_list()


def combined(frame: pl.DataFrame, by: Sequence[str], alive: kernels.Bools) -> tuple[kernels.U32, list[str]]:
    """`numbered`, for the values of several columns together."""
    if len(by) == 1:
        return numbered(frame[by[0]], alive)
    texts = [pl.col(name).cast(pl.String).fill_null("(none)") for name in by]
    return numbered(frame.select(pl.concat_str(texts, separator=" / ").alias("@by"))["@by"], alive)


def with_media(frame: pl.DataFrame, missing: Sequence[str]) -> kernels.Bools:
    """Marks the samples of a pool all of whose media are there."""
    if not missing:
        return np.ones(frame.height, dtype=np.bool_)
    gone = pl.col("media").list.eval(pl.element().is_in(pl.Series(missing).implode())).list.any()
    # Of a file none of whose samples has media, the index has none for each.
    refers = pl.col("media").is_not_null()
    return frame.select(~(refers & gone.fill_null(value=True))).to_series().to_numpy()


def unite(
    frames: Sequence[pl.DataFrame],
    seen: dict[str, int],
    *,
    per_image: int,
    per_video: int,
) -> tuple[pl.DataFrame, int]:
    """(all pools as one table, with carried columns in the type that fits all their values; the most tokens of a sample).

    `seen` tells the kinds of values of each carried column over all pools (see `scanning.Index`).
    """
    schemas = [part.schema for part in frames]
    numeric = {name for name in seen if _all_numbers(schemas, name)}
    if all(schema == schemas[0] for schema in schemas):
        frames = [pl.concat(frames, rechunk=False)]
    parts = [_carrying(part, numeric, seen) for part in frames]
    frame = pl.concat(enumerations.shared(parts), how="diagonal_relaxed")
    counted = [pieces(frame[name]) for name in ("text_tokens", "images", "videos")]
    tokens, most = table.tokens(*counted, per_image=per_image, per_video=per_video)
    texts = [name for name in seen if f"{CARRIED}{name}" in frame.columns]
    # In place: dropped by an expression, columns would first be brought to the same pieces, which copies all of them.
    typed = [_typed(frame.drop_in_place(f"{CARRIED}{name}"), seen[name]).alias(name) for name in texts]
    if frame.schema["key"] == pl.Null:
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("key"))
    return frame.hstack([series("tokens", tokens), *typed]), most


def _all_numbers(schemas: Sequence[pl.Schema], name: str) -> bool:
    """Whether a carried column is numbers of one kind in every pool that has it."""
    text, number = f"{CARRIED}{name}", f"{NUMBER}{name}"
    return all(number in schema or text not in schema for schema in schemas) and not mixed(schemas, [number])


def _carrying(part: pl.DataFrame, numeric: Container[str], seen: Iterable[str]) -> pl.DataFrame:
    """Without media, and with carried columns as numbers under their own names where they are numbers in every pool, and as
    texts otherwise."""
    columns, gone = [], [name for name in part.columns if name.startswith((CARRIED, NUMBER))]
    for name in seen:
        text, number = f"{CARRIED}{name}", f"{NUMBER}{name}"
        if number not in gone and text not in gone:
            continue
        columns.append(part[number].alias(name) if name in numeric else written(part, name).alias(text))
    # In place, and stacked: an expression would first bring all columns to the same pieces.
    rest = part.clone()
    for name in (*gone, *(["media"] if "media" in part.columns else [])):
        rest.drop_in_place(name)
    return rest.hstack(columns)


def written(part: pl.DataFrame, name: str) -> pl.Series:
    """A carried column as it was written."""
    text = f"{CARRIED}{name}"
    return part[text] if text in part.columns else part[f"{NUMBER}{name}"].cast(pl.String)


def _typed(texts: pl.Series, mask: int) -> pl.Series:
    """The texts in the narrowest type that holds every one of them."""
    if isinstance(texts.dtype, pl.Enum):
        return texts
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
