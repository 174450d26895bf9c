"""Starting anywhere: a manifest opened, and a draw looked up, in a process that has just begun."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tests.bench import pools
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Variant, fresh, warm

_LIMIT_MS = 50


def measure(bench: Bench) -> list[Line]:
    folder = pools.manifest(bench, "all")
    runs = [fresh(seek, str(folder)) for _ in range(2 * bench.repeats + 1)]
    first = Spread.of([ran.seconds * 1e3 for ran in runs])
    later = Spread.of([took * 1e3 for ran in runs for took in ran.found["later"]])
    what, bound = f"open {runs[0].found['draws']:,} draws, first seek", limit(_LIMIT_MS)
    return [
        Line(what=what, ours=first, against="limit", theirs=bound, unit="ms", target=1),
        Line(what="a later seek", ours=later, against="limit", theirs=bound, unit="ms"),
        Line(
            what="the slowest of all seeks", ours=limit(later.most), against="limit", theirs=bound, unit="ms", target=1
        ),
    ]


def seek(folder: str) -> Variant:
    from runtime.reader import Reader

    warm(*Path(folder).rglob("*.*"))
    places = np.random.default_rng(17)
    yield
    reader = Reader(Path(folder))
    reader.row(int(len(reader) * places.random()))
    yield
    later = []
    for position in places.integers(0, len(reader), 20).tolist():
        start = time.perf_counter()
        row = reader.row(position)
        later.append(time.perf_counter() - start)
        assert row["position"] == position
    yield {"later": later, "draws": len(reader)}
