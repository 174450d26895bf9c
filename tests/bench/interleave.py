"""Whose turn it is, for each draw: our interleave against a native loop by the largest deficit, as trainers blend."""

from __future__ import annotations

import ctypes
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.bench import Bench
from tests.bench.figures import Line
from tests.bench.processes import Variant, fresh, round_robin, seconds


def measure(bench: Bench) -> list[Line]:
    library = bench.folder / "blend.so"
    source = Path(__file__).with_name("blend.c")
    subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source], check=True)
    lines = []
    for sources, target in ((2, None), (37, 1.0), (1000, 10.0)):
        draws = bench.size(10_000_000)
        # The loop takes as long for every draw: where it is slow, a tenth of them tells as much.
        their_draws = draws // 10 if sources == 1000 else draws
        variants = {
            "ours": partial(fresh, ours, sources, draws),
            "theirs": partial(fresh, largest_deficit, str(library), sources, their_draws),
        }
        runs = round_robin(variants, bench.repeats)
        mine, theirs = seconds(runs["ours"]), seconds(runs["theirs"])
        assert mine is not None and theirs is not None
        lines.append(
            Line(
                what=f"interleave {draws:,} draws of {sources:,} sources",
                ours=mine.times(1e9 / draws),
                against="largest deficit, C",
                theirs=theirs.times(1e9 / their_draws),
                unit="ns/draw",
                target=target,
            )
        )
    return lines


def _counts(sources: int, draws: int) -> NDArray[np.uint64]:
    """Uneven shares that come to exactly so many draws."""
    weights = 1 / np.arange(3, sources + 3)
    counts: NDArray[np.uint64] = np.floor(draws * weights / weights.sum()).astype(np.uint64)
    counts[0] += np.uint64(draws - int(counts.sum()))
    return counts


def ours(sources: int, draws: int) -> Variant:
    from recipe_compiler import kernels

    counts = _counts(sources, draws)
    yield
    turns = kernels.interleave(counts)
    yield
    yield bool((np.bincount(turns, minlength=sources) == counts).all())


def largest_deficit(library: str, sources: int, draws: int) -> Variant:
    blend = ctypes.CDLL(library).blend
    double, whole, turn = (np.ctypeslib.ndpointer(kind) for kind in (np.float64, np.int64, np.uint32))
    blend.argtypes = [double, whole, ctypes.c_int64, ctypes.c_int64, turn]
    blend.restype = None
    counts = _counts(sources, draws)
    weights, drawn = counts / draws, np.zeros(sources, dtype=np.int64)
    yield
    turns = np.empty(draws, dtype=np.uint32)
    blend(weights, drawn, sources, draws, turns)
    yield
    yield int(np.abs(drawn - counts.astype(np.int64)).max())
