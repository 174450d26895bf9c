"""The peers of `selection`, each tuned by hand: a threshold for each pool, then a sort of what is below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from tests.bench.processes import Variant, warm

U64 = NDArray[np.uint64]
_BLOCK = 1 << 16
_FACTORS = [np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)]
_KEYS = [np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)]


def _columns(path: str) -> tuple[pa.Table, NDArray[np.int64], list[int]]:
    """The columns, where each pool ends, and how many of each pool are to be taken."""
    from recipe_compiler.execute.apportion import apportion

    warm(path)
    with pa.memory_map(path) as source:
        table = ipc.open_file(source).read_all()
    sizes = np.bincount(table["pool"].to_numpy())
    return table, np.cumsum(sizes), apportion(table.num_rows // 10, sizes.tolist())


def _rough_limits(ends: NDArray[np.int64], takes: list[int]) -> list[int]:
    """A score for each pool that the wanted number of rows is almost surely below, and few more."""
    sizes = np.diff(ends, prepend=0).tolist()
    shares = [take / size for take, size in zip(takes, sizes, strict=True)]
    margins = [6 * math.sqrt(share / size) + 8 / size for share, size in zip(shares, sizes, strict=True)]
    return [min(int((share + margin) * 2.0**64), 2**64 - 1) for share, margin in zip(shares, margins, strict=True)]


def numpy(path: str, num_threads: int) -> Variant:
    """Partition of a mixed hash, pool by pool; then an argsort of a second hash. In cache-sized blocks."""
    table, ends, takes = _columns(path)
    high, low, pool = (table[name].to_numpy() for name in ("id_high", "id_low", "pool"))
    threads = ThreadPoolExecutor(num_threads)
    each = map if num_threads == 1 else threads.map
    yield
    scores = _hashes(high, low, 0, each)

    def smallest(end: int, size: int, take: int) -> NDArray[np.int64]:
        part = scores[end - size : end]
        limit = np.partition(part, take - 1)[take - 1]
        return np.flatnonzero(part <= limit) + (end - size)

    rows = np.concatenate(list(each(smallest, ends.tolist(), np.diff(ends, prepend=0).tolist(), takes)))
    ids = high[rows], low[rows]
    turns = _hashes(*ids, 1, each)
    places = turns >> np.uint64(61)

    def sorted_part(place: int) -> NDArray[np.int64]:
        part = np.flatnonzero(places == place)
        return part[np.argsort(turns[part])]

    order = np.concatenate(list(each(sorted_part, range(8))))
    chosen = ids[0][order], ids[1][order]
    yield
    assert len(chosen[0]) == len(rows)
    yield np.bincount(pool[rows[order]]).tolist()


def _hashes(high: U64, low: U64, key: int, each: Callable[..., Iterable[Any]]) -> U64:
    """A 64-bit mix of each id, as splitmix64 ends."""
    out = np.empty(len(high), dtype=np.uint64)

    def mix(start: int) -> None:
        part = slice(start, start + _BLOCK)
        mixed = np.bitwise_xor(high[part], _KEYS[key], out=out[part])
        shifted = np.empty_like(mixed)
        mixed *= _FACTORS[0]
        mixed ^= low[part]
        mixed ^= np.right_shift(mixed, 27, out=shifted)
        mixed *= _FACTORS[1]
        mixed ^= np.right_shift(mixed, 31, out=shifted)

    list(each(mix, range(0, len(high), _BLOCK)))
    return out


def polars(path: str) -> Variant:
    """A rough threshold leaves little more than the tenth; of that, the exact one of each pool."""
    import polars as pl

    table, ends, takes = _columns(path)
    frame = pl.DataFrame(pl.from_arrow(table))
    rough = pl.lit(pl.Series(_rough_limits(ends, takes), dtype=pl.UInt64))
    exact = pl.lit(pl.Series(takes, dtype=pl.UInt32))
    yield
    found = (
        frame.lazy()
        .select("id_high", "id_low", "pool", score=(pl.col("id_high") ^ pl.col("id_low")).hash(0))
        .filter(pl.col("score") <= rough.gather("pool"))
        .filter(pl.col("score").rank("ordinal").over("pool") <= exact.gather("pool"))
        .sort((pl.col("id_high") ^ pl.col("id_low")).hash(1))
        .select("id_high", "id_low", "pool")
        .collect()
    )
    yield
    yield np.bincount(found["pool"].to_numpy()).tolist()


_QUERY = """
select id_high, id_low, pool
from (
    select id_high, id_low, pool, row_number() over (partition by pool order by score) as place
    from (select *, hash(id_high, id_low, 0) as score from columns) join limits using (pool)
    where score <= rough
) join limits using (pool)
where place <= exact
order by hash(id_high, id_low, 1)
"""


def duckdb(path: str) -> Variant:
    """The same as a query."""
    import duckdb

    table, ends, takes = _columns(path)
    limits = {
        "pool": pa.array(range(len(takes)), pa.uint16()),
        "rough": pa.array(_rough_limits(ends, takes), pa.uint64()),
        "exact": pa.array(takes, pa.int64()),
    }
    connection = duckdb.connect()
    connection.register("columns", table)
    connection.register("limits", pa.table(limits))
    yield
    found = connection.sql(_QUERY).to_arrow_table()
    yield
    yield np.bincount(found["pool"].to_numpy()).tolist()
