"""Texts of few values: numbered in an index, enumerations in a table of samples, a byte or two a row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pyarrow as pa

from recipe_compiler import table
from recipe_compiler.resolve.index import CARRIED

#: Columns are read by so many threads.
_THREADS = 4


def read(index: pa.Table) -> pl.DataFrame:
    """Indexes as a table of polars, in the same pieces: columns whose texts they number, all in the same way, are
    enumerations, sorted, and stand last."""
    few = [field.name for field in index.schema if pa.types.is_dictionary(field.type)]
    return _frame(index.drop_columns(few)).hstack([_enumerated(name, index[name]) for name in few])


def _enumerated(name: str, column: pa.ChunkedArray) -> pl.Series:
    dtype = pl.Enum(column.chunk(0).dictionary.to_pylist() if column.num_chunks else [])
    # Polars looks at each number, one thread at a time.
    parts = [part for part in column.chunks if len(part)]
    bounds = [len(parts) * at // _THREADS for at in range(_THREADS + 1)]
    runs = [parts[start:end] for start, end in itertools.pairwise(bounds) if start < end]

    def one(run: list[pa.DictionaryArray]) -> pl.Series:
        indices = pa.chunked_array([part.indices for part in run])
        return _frame(pa.table({name: indices}))[name].cat.to(dtype)

    if len(runs) < 2:
        return one(parts) if parts else pl.Series(name, dtype=dtype)
    with ThreadPoolExecutor(_THREADS) as threads:
        return pl.concat(threads.map(one, runs), rechunk=False)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table, rechunk=False)
    assert isinstance(frame, pl.DataFrame)
    return frame


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
