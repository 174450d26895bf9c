"""The 16 nearest others of every vector: ours, exact and in order, against what faiss takes to propose 33 of each."""

from __future__ import annotations

from functools import partial

import numpy as np

from recipe_compiler import kernels
from tests.bench.bench import Bench
from tests.bench.figures import Line
from tests.bench.processes import Variant, fresh, round_robin, seconds

NUMBERS = 384
MOST = 16
#: Less cannot be proved to hold the 16 nearest: rounding makes near ones change places, and one is the vector itself.
PROPOSED = 33


def measure(bench: Bench) -> list[Line]:
    rows = max(bench.size(20_000), 2 * PROPOSED)
    runs = round_robin({"ours": partial(fresh, ours, rows), "faiss": partial(fresh, faiss, rows)}, bench.repeats)
    mine = seconds(runs["ours"])
    assert mine is not None
    return [
        Line(
            what=f"{MOST} neighbours of {rows:,} vectors of {NUMBERS} numbers",
            ours=mine,
            against=f"faiss IndexFlatIP, {PROPOSED} candidates, none scored yet",
            theirs=seconds(runs["faiss"]),
            unit="s",
            target=1.0,
        )
    ]


def _vectors(rows: int) -> kernels.I16:
    """Around fifty centres, as embeddings of samples lie."""
    chance = np.random.default_rng(17)
    table = chance.standard_normal((rows, NUMBERS), dtype=np.float32)
    table += 2 * chance.standard_normal((50, NUMBERS), dtype=np.float32)[chance.integers(0, 50, rows)]
    return kernels.quantise(table, np.arange(rows, dtype=np.uint32))[0]


def ours(rows: int) -> Variant:
    """Every two vectors in whole numbers."""
    vectors = _vectors(rows)
    kernels.nearest(vectors[:100], MOST)
    yield
    kernels.nearest(vectors, MOST)
    yield


def faiss(rows: int) -> Variant:
    """The flat index, all threads, 4,096 queries at a time."""
    import faiss as library

    vectors = _vectors(rows).astype(np.float32)
    index = library.IndexFlatIP(NUMBERS)
    index.add(vectors)
    index.search(vectors[:100], PROPOSED)
    yield
    for start in range(0, rows, 4096):
        index.search(vectors[start : start + 4096], PROPOSED)
    yield
