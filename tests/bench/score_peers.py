"""The peers of `written`: a threshold for each capability and style from a histogram of scores, ties by a hash, the union
without equal ids, ordered by a second hash, and written as Parquet with zstd (level 1), about as small as the same columns of
our shards are. Each is tuned by hand and reads only the columns that it needs when it needs them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.bench.processes import Variant, ready
from tests.bench.scored import CAPABILITIES, SAID, SCORES, STYLES

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_KEY = np.uint64(0xD1B54A32D192ED03)
#: Of each capability, so that its ties are other samples than those of the others.
_KEYS = [(number + 1) * 0x9E3779B97F4A7C15 % 2**64 for number in range(CAPABILITIES)]
#: Scores, and the bits that one takes.
_LEVELS, _BITS = 6, 3
_KEPT = (*SAID, "pool")


_LEVEL = 1
#: Columns in which hardly a value repeats: a dictionary of them would be larger than they are, and takes time.
_DISTINCT = frozenset(("id_high", "id_low", "offset"))


def _written(table: pa.Table, threads: ThreadPoolExecutor, out: str) -> None:
    """Four files, by four threads: one file is written by one."""
    Path(out).mkdir(exist_ok=True)
    part = -(-table.num_rows // 4)

    def write(number: int) -> None:
        pq.write_table(
            table.slice(number * part, part),
            Path(out) / f"{number}.parquet",
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=[name for name in table.column_names if name not in _DISTINCT],
        )

    list(threads.map(write, range(4)))


def numpy(path: str, out: str) -> Variant:
    """By hand, four threads: a capability at a time in each."""
    ready(path, path)
    rows = pq.read_metadata(path).num_rows
    each = max(rows // 10 // (CAPABILITIES * STYLES), 1)
    threads = ThreadPoolExecutor(4)
    yield
    table = pq.read_table(path, columns=["id_high", "style", *SCORES], use_threads=True)
    hashes = table["id_high"].to_numpy() * _FACTOR
    style = table["style"].to_numpy()

    def best(number: int) -> NDArray[np.int64]:
        return _best(table[SCORES[number]].to_numpy().view(np.uint8), style, hashes, np.uint64(_KEYS[number]), each)

    chosen = np.zeros(rows, dtype=np.bool_)
    for part in threads.map(best, range(CAPABILITIES)):
        chosen[part] = True
    taken = np.flatnonzero(chosen)
    rest = {"id_high": table["id_high"].to_numpy()}
    columns = threads.map(lambda name: pq.read_table(path, columns=[name])[name].to_numpy(), _KEPT[1:])
    rest |= dict(zip(_KEPT[1:], columns, strict=True))
    high, low = rest["id_high"][taken], rest["id_low"][taken]
    turns = ((high ^ _KEY) * _FACTOR) ^ low
    turns *= _FACTOR
    order = np.argsort(turns)
    # Equal samples have equal hashes and stand side by side.
    again = np.flatnonzero(turns[order[1:]] == turns[order[:-1]]) + 1
    same = again[(high[order[again]] == high[order[again - 1]]) & (low[order[again]] == low[order[again - 1]])]
    final = taken[np.delete(order, same)]
    _written(pa.table(list(threads.map(lambda name: rest[name][final], _KEPT)), names=_KEPT), threads, out)
    yield
    yield {"rows": len(final)}


def _best(
    score: NDArray[np.uint8], style: NDArray[np.uint8], hashes: NDArray[np.uint64], key: np.uint64, each: int
) -> NDArray[np.int64]:
    """The `each` largest scores of every style."""
    counts = np.bincount(style.astype(np.uint16) * _LEVELS + score, minlength=_LEVELS * STYLES)
    levels = [_level(row, each) for row in counts.reshape(STYLES, _LEVELS).tolist()]
    least = np.array([level for level, _ in levels], dtype=np.uint8)[style]
    found = [np.flatnonzero(score > least)]
    ties = np.flatnonzero(score == least)
    kinds = style[ties]
    for kind, (_, wanted) in enumerate(levels):
        own = ties[kinds == kind]
        found.append(own[np.argpartition(hashes[own] ^ key, wanted)[:wanted]] if wanted < len(own) else own)
    return np.concatenate(found)


def _level(counts: Sequence[int], each: int) -> tuple[int, int]:
    """(the level at which the largest scores are enough, how many of that level are wanted)."""
    above = 0
    for level in range(_LEVELS - 1, 0, -1):
        if above + counts[level] >= each:
            return level, each - above
        above += counts[level]
    return 1, counts[1]


def polars(path: str, out: str) -> Variant:
    """A capability at a time: what is above its threshold, and of the ties those below a hash that is found as well."""
    # Its columns in huge pages, as ours are.
    os.environ["POLARS_THP"] = "1"
    import polars as pl

    ready(path, path)
    rows = pq.read_metadata(path).num_rows
    each = max(rows // 10 // (CAPABILITIES * STYLES), 1)
    yield
    frame = pl.read_parquet(path)
    frame = frame.with_columns(hash=pl.col("id_high").hash(0))
    histograms = pl.collect_all(frame.lazy().group_by("style", name).len().rename({name: "score"}) for name in SCORES)
    rules = []
    for name, histogram in zip(SCORES, histograms, strict=True):
        counts: dict[int, list[int]] = {kind: [0] * _LEVELS for kind in range(STYLES)}
        for kind, score, count in histogram.iter_rows():
            counts[kind][score] = count
        for kind, of in counts.items():
            level, wanted = _level(of, each)
            rules.append((name, kind, level, wanted, _bound(wanted, of[level])))
    parts = []
    for name, key in zip(SCORES, _KEYS, strict=True):
        own = [rule for rule in rules if rule[0] == name]
        least, wanted, bound = (
            pl.lit(pl.Series([rule[at] for rule in own], dtype=dtype)).gather(pl.col("style"))
            for at, dtype in ((2, pl.Int8), (3, pl.UInt32), (4, pl.UInt64))
        )
        score, hashed, lazy = pl.col(name), pl.col("hash") ^ key, frame.lazy().with_row_index("row")
        above = lazy.filter(score > least).select("row")
        ties = lazy.filter(score == least, hashed <= bound)
        parts += [above, ties.filter(hashed.rank("ordinal").over("style") <= wanted).select("row")]
    chosen = pl.concat(pl.collect_all(parts))["row"].unique()
    found = frame.select(*_KEPT).select(pl.all().gather(chosen))
    found = found.unique(subset=["id_high", "id_low"]).sort((pl.col("id_high") ^ pl.col("id_low")).hash(1))
    found.write_parquet(out, compression="zstd", compression_level=_LEVEL, statistics=False)
    yield
    yield {"rows": found.height}


def duckdb(path: str, out: str) -> Variant:
    """The same as queries: histograms, then the rows above a threshold and those of its ties that are below a hash, of
    which one window finds the wanted ones."""
    import duckdb

    ready(path, path)
    rows = pq.read_metadata(path).num_rows
    each = max(rows // 10 // (CAPABILITIES * STYLES), 1)
    yield
    connection = duckdb.connect()
    above, ties, limits = [], [], []
    for number, name in enumerate(SCORES):
        # A grouping by two small columns is counted in a table of all their pairs, which many filtered sums are not.
        counts: dict[int, list[int]] = {kind: [0] * _LEVELS for kind in range(STYLES)}
        grouped = f"select style, {name}, count(*) from read_parquet('{path}') group by all"
        for kind, score, count in connection.sql(grouped).fetchall():
            counts[kind][score] = count
        levels = {kind: _level(own, each) for kind, own in counts.items()}
        # The levels of all styles in one number, from which shifting gets each: a `case` would be asked for every row.
        packed = sum(level << _BITS * kind for kind, (level, _) in levels.items())
        least = f"(({packed}::bigint >> (style::bigint * {_BITS})) & {(1 << _BITS) - 1})"
        bound = max(_bound(wanted, counts[kind][level]) for kind, (level, wanted) in levels.items())
        limits += [(number, kind, wanted) for kind, (_, wanted) in levels.items()]
        above.append(f"{name} > {least}")
        key = f"xor(key, {_KEYS[number]}::ubigint)"
        ties.append(f"case when {key} <= {bound}::ubigint and {name} = {least} then {key} end")
    kept = ", ".join(f'"{name}"' for name in _KEPT)
    places = ", ".join(f"{tie} as t{number}" for number, tie in enumerate(ties))
    connection.sql(
        f"create temp table near as select * from (select {kept}, style, ({' or '.join(above)}) as above, {places} from "
        f"(select *, hash(id_high, 0) as key from read_parquet('{path}'))) "
        f"where above or {' or '.join(f't{number} is not null' for number in range(CAPABILITIES))}"
    )
    columns = {name: [row[at] for row in limits] for at, name in enumerate(("c", "style", "most"))}
    connection.register("limits", pa.table(columns))
    union = " union all ".join(
        f"select rowid as row, {number} as c, style, t{number} as tie from near where t{number} is not null"
        for number in range(CAPABILITIES)
    )
    table = connection.sql(
        f"select distinct on (id_high, id_low) {kept} from near where above or rowid in (select row from (select row, c, "
        f"style, row_number() over (partition by c, style order by tie) as place from ({union})) join limits "
        "using (c, style) where place <= most)"
    ).order("hash(id_high, id_low, 1)")
    options = f"format parquet, compression zstd, compression_level {_LEVEL}"
    connection.execute(f"copy ({table.sql_query()}) to '{out}' ({options})")
    yield
    yield {"rows": pq.read_metadata(out).num_rows}


def _bound(wanted: int, of: int) -> int:
    """A hash that almost surely as many of the ties lie below as are wanted."""
    return min(int(min((wanted + 6 * wanted**0.5 + 16) / max(of, 1), 1) * 2.0**64), 2**64 - 1)
