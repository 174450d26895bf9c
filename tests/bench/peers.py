"""The peers of `selection`, each tuned by hand: duplicates dropped, a threshold for each pool, then a sort of what is
below it, and the columns of the rows that are left."""

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

#: Beside ids and pools, what the rows of a manifest say that an index knows.
NEEDED = ("offset", "length", "text_tokens", "images", "videos")

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
    high, low = (table[name].to_numpy() for name in ("id_high", "id_low"))
    threads = ThreadPoolExecutor(num_threads)
    each = map if num_threads == 1 else threads.map
    yield
    scores = _hashes(high, low, 0, each)
    # A duplicate scores worst, so that it is never among the smallest.
    scores[_repeats(scores, high, low, each)] = np.iinfo(np.uint64).max

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

    chosen = rows[np.concatenate(list(each(sorted_part, range(8))))]
    columns = list(each(lambda name: table[name].to_numpy()[chosen], ("id_high", "id_low", "pool", *NEEDED)))
    yield
    assert {len(column) for column in columns} == {len(rows)}
    yield np.bincount(columns[2]).tolist()


def _repeats(scores: U64, high: U64, low: U64, each: Callable[..., Iterable[Any]]) -> NDArray[np.int64]:
    """Rows whose id stands in an earlier row: equal scores lie in the same sixteenth and, sorted, side by side."""
    places = (scores >> np.uint64(60)).astype(np.uint8)

    def find(place: int) -> NDArray[np.int64]:
        rows = np.flatnonzero(places == place)
        rows = rows[np.argsort(scores[rows], kind="stable")]
        same = np.flatnonzero(scores[rows[1:]] == scores[rows[:-1]])
        first, second = rows[same], rows[same + 1]
        return second[(high[first] == high[second]) & (low[first] == low[second])]

    return np.concatenate(list(each(find, range(16))))


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
        .unique(subset=["id_high", "id_low"], keep="first")
        .with_columns(score=(pl.col("id_high") ^ pl.col("id_low")).hash(0))
        .filter(pl.col("score") <= rough.gather("pool"))
        .filter(pl.col("score").rank("ordinal").over("pool") <= exact.gather("pool"))
        .sort((pl.col("id_high") ^ pl.col("id_low")).hash(1))
        .drop("score")
        .collect()
    )
    yield
    yield np.bincount(found["pool"].to_numpy()).tolist()


_QUERY = """
with firsts as (
    select id_high, id_low, min(row) as row from (select id_high, id_low, row_number() over () as row from columns)
    group by id_high, id_low
), numbered as (
    select *, row_number() over () as row from columns
), scored as (
    select pool, row, hash(id_high, id_low, 0) as score from numbered semi join firsts using (row)
)
select numbered.* exclude (row)
from (
    select row, pool, row_number() over (partition by pool order by score) as place
    from scored join limits using (pool)
    where score <= rough
) join limits using (pool) join numbered using (row)
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
