"""Draws put together in packs of 4,096 tokens: ours in windows, against TRL's packing and a best fit in numba."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from recipe_compiler.kernels import U32
from tests.bench.bench import Bench
from tests.bench.figures import Line, limit
from tests.bench.processes import Ran, Variant, fresh, round_robin, seconds

MOST = 4096
WINDOW = 8192


def measure(bench: Bench) -> list[Line]:
    lines = []
    # TRL takes half a minute and 4 GB for a million, and as much more for ten.
    for full, peers in ((1_000_000, ("trl", "numba")), (10_000_000, ("numba",))):
        draws = bench.size(full)
        variants = {"ours": partial(fresh, ours, draws)}
        variants |= {name: partial(fresh, globals()[name], draws) for name in peers}
        runs = round_robin({name: run for name, run in variants.items() if name != "trl"}, bench.repeats)
        if "trl" in variants:
            runs |= round_robin({"trl": variants["trl"]}, 1)
        mine = seconds(runs["ours"])
        assert mine is not None
        target = {"trl": 5.0, "numba": 2.0 if full == 10_000_000 else None}
        what = {"trl": "TRL pack_dataset, bfd", "numba": "best fit decreasing, numba"}
        for name in peers:
            theirs = seconds(runs[name])
            label = what[name] + (f", {_percent(runs[name][0])} full" if theirs else "")
            lines.append(
                Line(
                    what=f"pack {draws:,} draws",
                    ours=mine,
                    against=label,
                    theirs=theirs,
                    unit="s",
                    target=target[name],
                )
            )
        unfilled = 1 - float(runs["ours"][0].found)
        # Few draws make few packs, and the last one of a window is seldom full.
        bound = 0.005 if draws >= 100_000 else 1.0
        lines.append(
            Line(
                what=f"pack {draws:,} draws: what stays empty",
                ours=limit(100 * unfilled),
                against="the bound",
                theirs=limit(100 * bound),
                unit="%",
                target=1.0,
            )
        )
    return lines


def _percent(ran: Ran) -> str:
    return f"{100 * float(ran.found):.2f}%"


def _lengths(draws: int) -> U32:
    """Log-normal, as lengths of samples are; none is longer than a pack."""
    chance = np.random.default_rng(17)
    return np.clip(chance.lognormal(np.log(400), 1.0, draws), 1, MOST).astype(np.uint32)


def ours(draws: int) -> Variant:
    """Windows by the hashes of the draws' ids, and best fit in each: the whole of what a compile does."""
    from recipe_compiler import kernels

    lengths = _lengths(draws)
    high, low = np.random.default_rng(5).integers(0, 2**64, (2, draws), dtype=np.uint64)
    turn, none = np.zeros(draws, dtype=np.uint64), np.zeros(draws, dtype=np.uint32)
    keys = kernels.Keys(high=[high], low=[low], occurrence=none, pool=none)
    yield
    hashes = kernels.keyed_order(3, keys, turn=turn)
    order, begins = kernels.pack(lengths, kernels.windows(hashes, WINDOW // 2), MOST)
    yield
    starts = np.flatnonzero(begins)
    assert int(np.add.reduceat(lengths[order].astype(np.int64), starts).max()) <= MOST
    yield float(lengths.sum() / (len(starts) * MOST))


def trl(draws: int) -> Variant:
    """`pack_dataset` as `SFTTrainer(packing=True)` calls it: texts as lists of tokens in an Arrow table."""
    import pyarrow as pa
    from datasets import Dataset, disable_progress_bars
    from trl.data_utils import pack_dataset

    disable_progress_bars()
    lengths = _lengths(draws)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    tokens = pa.array(np.zeros(offsets[-1], dtype=np.int32))
    # A chunk for each part: offsets of a list have 32 bits.
    size = 100_000
    parts = [
        pa.ListArray.from_arrays(
            pa.array((offsets[start : start + size + 1] - offsets[start]).astype(np.int32)),
            tokens.slice(offsets[start], offsets[min(start + size, draws)] - offsets[start]),
        )
        for start in range(0, draws, size)
    ]
    dataset: Any = Dataset(pa.table({"input_ids": pa.chunked_array(parts)}))
    yield
    packed = pack_dataset(dataset, MOST, "bfd")
    yield
    yield float(lengths.sum() / (len(packed) * MOST))


def numba(draws: int) -> Variant:
    """Best fit decreasing over all draws: counting sort, and a tree over what packs have left."""
    from tests.bench.best_fit import best_fit_decreasing

    lengths = _lengths(draws)
    best_fit_decreasing(lengths[:100], MOST)
    yield
    packs, count = best_fit_decreasing(lengths, MOST)
    yield
    used = np.bincount(packs, weights=lengths, minlength=count)
    assert int(used.max()) <= MOST
    yield float(lengths.sum() / (count * MOST))
