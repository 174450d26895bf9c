"""Texts of few values: numbered in an index, enumerations in a table of samples, a byte or two a row."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from recipe_compiler import table
from recipe_compiler.resolve.index import CARRIED


def read(index: pa.Table) -> pl.DataFrame:
    """An index as a table of polars: columns whose texts it numbers are enumerations, sorted, and stand last."""
    few = [field.name for field in index.schema if pa.types.is_dictionary(field.type)]
    frame = pl.DataFrame(pl.from_arrow(index.drop_columns(few)))
    return frame.hstack([_enumerated(name, index[name]) for name in few])


def _enumerated(name: str, column: pa.ChunkedArray) -> pl.Series:
    names = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    indices = pa.chunked_array([part.indices for part in column.chunks], column.type.index_type)
    codes = pl.DataFrame(pl.from_arrow(pa.table({name: indices})))
    return codes[name].cat.to(pl.Enum(names))


def shared(parts: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Tables whose carried columns of one name are the same enumeration in all of them, or texts in all."""
    alike, schemas = list(parts), [part.schema for part in parts]
    names = {name for schema in schemas for name in schema if name.startswith(CARRIED)}
    for name in sorted(names):
        kinds = {schema[name] for schema in schemas if name in schema}
        labels = [kind for kind in kinds if isinstance(kind, pl.Enum)]
        if len(kinds) == 1 or not labels:
            continue
        texts = sorted({text for kind in labels for text in kind.categories.to_list()})
        wanted = pl.Enum(texts) if len(labels) == len(kinds) and len(texts) <= table.FEW else pl.String()
        alike = [part.with_columns(_as(wanted, part[name])) if name in part.columns else part for part in alike]
    return alike


def _as(wanted: pl.DataType, column: pl.Series) -> pl.Series:
    """Texts, or an enumeration, as texts or as an enumeration that has all of them."""
    if column.dtype == wanted or not isinstance(wanted, pl.Enum) or not isinstance(column.dtype, pl.Enum):
        return column.cast(wanted)
    number = {text: at for at, text in enumerate(wanted.categories.to_list())}
    numbers = [number[text] for text in column.dtype.categories.to_list()]
    return pl.Series(column.name, numbers, dtype=pl.UInt32).gather(column.to_physical()).cat.to(wanted)
