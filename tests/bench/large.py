"""A hundred million scored samples: what `written` does, ten times as large, once, and the memory it takes.

It is asked for by name, because it wants 16 GiB of memory and 16 GB of disk. numpy and DuckDB run beside it; Polars has all
columns in memory more than once, and does not fit.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial

from tests.bench import scored
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Ran, fresh, round_robin, seconds
from tests.bench.score_peers import duckdb, numpy
from tests.bench.written import export, ours

_MOST_MEMORY = 16


def measure(bench: Bench) -> list[Line]:
    larger = replace(bench, scale=bench.scale * 10)
    path, rows = scored.place(larger), larger.size(scored.ROWS)
    folder = bench.folder / f"written-{rows}"
    folder.mkdir(exist_ok=True)
    peers = {"numpy, 4 threads": numpy, "duckdb": duckdb}
    variants = {
        name: partial(fresh, side, str(path), str(folder / f"{side.__name__}.parquet")) for name, side in peers.items()
    }
    runs = round_robin({**variants, "ours": partial(fresh, ours, str(path), str(folder), False)}, 1)
    (read,) = runs.pop("ours")
    fresh(export, str(path), str(folder))
    indexed = fresh(ours, str(path), str(folder), True)
    assert indexed.found["manifest"] == read.found["manifest"]
    shutil.rmtree(folder)
    path.unlink()
    what, again = f"{rows:,} scored samples in Parquet to a written manifest", "the same from our own index"
    took = Spread.of([read.seconds])
    return [
        *(Line(what=what, ours=took, against=name, theirs=seconds(found), unit="s") for name, found in runs.items()),
        _peak(read),
        Line(what=again, ours=Spread.of([indexed.seconds]), against="-", theirs="-", unit="s"),
        _peak(indexed),
    ]


def _peak(ran: Ran) -> Line:
    peak = Spread.of([ran.found["peak"]])
    return Line(what="its peak memory", ours=peak, against="limit", theirs=limit(_MOST_MEMORY), unit="GiB", target=1)
