"""Scored samples as columns of a Parquet file, encoded as its writer does by itself (columns of few values as dictionaries):
ids, pools, styles, scores of capabilities, and what a manifest says of rows.

Chance with a seed, the same file for all. Scores are whole numbers from 0 to 5 that say nothing of each other, pools lie one
after another, and of each fifty samples one is the same as an earlier one of its block, scores included.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.bench.bench import Bench
from tests.bench.data import made

CAPABILITIES, STYLES, POOLS = 14, 9, 37
SCORES = [f"c{number}" for number in range(CAPABILITIES)]
#: What the rows of a manifest say that is no score, pool or style.
SAID = ("id_high", "id_low", "offset", "length", "text_tokens", "images", "videos")
#: Of a full run.
ROWS = 10_000_000
_BLOCK = 1 << 20


def sizes(rows: int) -> list[int]:
    """How many samples each pool has."""
    shares = 1 / np.arange(3, POOLS + 3)
    found: list[int] = np.diff(np.floor(rows * np.cumsum(shares) / shares.sum() + 0.5).astype(int), prepend=0).tolist()
    return found


def place(bench: Bench) -> Path:
    """The file."""
    rows = bench.size(ROWS)
    return made(bench.folder / f"scores-{rows}.parquet", lambda path: _write(path, rows))


def _write(path: Path, rows: int) -> None:
    ends = np.cumsum(sizes(rows))
    with pq.ParquetWriter(path, _block(0, 1, ends).schema) as writer:
        for start in range(0, rows, _BLOCK):
            writer.write_table(_block(start, min(start + _BLOCK, rows), ends))


def _block(start: int, end: int, ends: NDArray[np.int64]) -> pa.Table:
    chance = np.random.default_rng([17, start])
    rows = end - start
    same = np.arange(rows)
    later = np.flatnonzero(chance.random(rows) < 1 / 50)
    same[later] = (later * chance.random(len(later))).astype(np.int64)
    position = np.arange(start, end)
    columns = {
        "id_high": chance.integers(0, 2**64, rows, dtype=np.uint64)[same],
        "id_low": chance.integers(0, 2**64, rows, dtype=np.uint64)[same],
        "pool": np.searchsorted(ends, position, side="right").astype(np.uint16),
        "style": chance.integers(0, STYLES, rows, dtype=np.uint8)[same],
        **{name: chance.integers(0, 6, rows, dtype=np.int8)[same] for name in SCORES},
        "offset": position.astype(np.uint64) * np.uint64(700),
        "length": np.full(rows, 699, dtype=np.uint64),
        "text_tokens": np.clip(chance.lognormal(6, 0.7, rows), 16, 16_384).astype(np.uint32)[same],
        "images": chance.integers(0, 3, rows, dtype=np.uint32)[same],
        "videos": np.zeros(rows, dtype=np.uint32),
        "answers": np.ones(rows, dtype=np.uint32),
    }
    return pa.table(columns)
