"""A shard's file gives its rows back, whoever reads it."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from recipe_compiler.manifest import rows, seal, store
from recipe_compiler.manifest.schema import ROWS

_KINDS = st.sampled_from(["constant", "steady", "small", "any"])


@given(st.integers(1, 700), st.lists(_KINDS, min_size=len(ROWS), max_size=len(ROWS)), st.integers(0, 2**32))
def test_readers_of_parquet_give_the_rows_back(num: int, kinds: list[str], seed: int) -> None:
    chance = np.random.default_rng(seed)
    columns = {}
    for field, kind in zip(ROWS, kinds, strict=True):
        if field.name == "sample_id":
            columns[field.name] = pa.array([chance.bytes(16) for _ in range(num)], pa.binary(16))
            continue
        most = 2**field.type.bit_width - 1
        first = int(chance.integers(0, most, dtype=np.uint64, endpoint=True))
        numbers = {
            "constant": np.full(num, first, dtype=np.uint64),
            "steady": np.uint64(first) + np.arange(num, dtype=np.uint64),
            "small": chance.integers(0, 9, num, dtype=np.uint64),
            "any": chance.integers(0, most, num, dtype=np.uint64, endpoint=True),
        }[kind]
        columns[field.name] = rows.column(numbers.astype(field.type.to_pandas_dtype()))
    table = pa.table(columns, schema=ROWS)
    file = store.encoded(table)
    assert seal.holds(file)
    found = pq.ParquetFile(pa.BufferReader(file))
    assert found.schema_arrow.equals(ROWS)
    assert found.read().equals(table)
    assert pl.read_parquet(io.BytesIO(file)).equals(pl.DataFrame(pl.from_arrow(table)))
