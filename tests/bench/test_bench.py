"""The yardstick itself runs, on data so small that its figures mean nothing."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit, table
from tests.bench.measurements import MEASUREMENTS
from tests.bench.processes import Variant, fresh, held, round_robin
from tests.bench.score_kernel import KEYS, TURN, Kernel, compiled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and the page cache")


#: Many processes that load many libraries.
_SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(("rows", "each"), [(1, 1), (50, 3), (3_000, 5), (20_001, 100), (60_000, 10)])
def test_the_kernel_that_choosing_is_measured_by_makes_that_choice(rows: int, each: int, tmp_path: Path) -> None:
    chance, styles = np.random.default_rng(rows), 9
    high, low = (chance.integers(0, 2**64, rows, dtype=np.uint64) for _ in range(2))
    if each == 5:
        # Hashes that are none: many are the same in part.
        high, low = high % np.uint64(50), low % np.uint64(7)
    later = np.flatnonzero(chance.random(rows) < 0.1)
    same = np.arange(rows)
    same[later] = (later * chance.random(len(later))).astype(np.int64)
    ids, style = (high[same], low[same]), chance.integers(0, styles, rows, dtype=np.uint8)
    scores = [chance.integers(0, 6, rows, dtype=np.uint8) for _ in range(14)]
    found = Kernel(compiled(tmp_path), ids, style, scores, each, styles)()
    assert found.tolist() == _chosen(ids, style, scores, each, styles)


def _chosen(
    ids: tuple[NDArray[np.uint64], NDArray[np.uint64]],
    style: NDArray[np.uint8],
    scores: list[NDArray[np.uint8]],
    each: int,
    styles: int,
) -> list[int]:
    """The same by sorting everything."""
    chosen: set[int] = set()
    for score, key in zip(scores, KEYS, strict=True):
        hashes = (ids[0] ^ np.uint64(key)) >> np.uint64(3)
        for kind in range(styles):
            own = np.flatnonzero(style == kind)
            chosen.update(own[np.lexsort((own, hashes[own], -score[own].astype(int)))][:each].tolist())
    first = {(int(ids[0][row]), int(ids[1][row])): row for row in sorted(chosen, reverse=True)}
    return sorted(first.values(), key=lambda row: (int(ids[1][row]) ^ TURN, row))


@pytest.mark.parametrize("name", [pytest.param(name, marks=_SLOW if name == "peers" else []) for name in MEASUREMENTS])
def test_a_measurement_runs(name: str, tmp_path: Path) -> None:
    lines = MEASUREMENTS[name](Bench(folder=tmp_path, repeats=1, scale=1e-4))
    assert any(line.target is not None and line.ratio is not None for line in lines)
    assert len(table(lines).splitlines()) == len(lines) + 2


def test_a_target_that_is_missed_is_told() -> None:
    ours = Spread.of([2.0, 1.0, 3.0])
    missed = Line(what="work", ours=ours, against="peer", theirs=limit(3), unit="s", target=2)
    assert missed.ratio == 1.5
    assert missed.cells()[-4:] == ["3", "1.5x", ">= 2x", "MISSED"]


def test_nothing_to_set_beside_is_no_peer_that_is_missing() -> None:
    line = Line(what="peak", ours=limit(1), against="-", theirs="-", unit="MB")
    assert line.cells()[-6:] == ["1", "-", "-", "-", "-", "-"]


def weighed() -> Variant:
    yield
    yield
    yield held("VmHWM")


def test_the_memory_of_a_process_is_its_own() -> None:
    ballast = bytearray(200_000_000)
    ran = fresh(weighed)
    assert ran.found < len(ballast)


def lacking() -> Variant:
    importlib.import_module("a_peer_that_is_not_there")
    yield


def test_a_peer_that_is_not_there_is_named() -> None:
    assert round_robin({"peer": partial(fresh, lacking)}, 1) == {"peer": []}
    line = Line(what="work", ours=limit(1), against="peer", theirs=None, unit="s", target=2)
    assert line.cells()[-5:] == ["peer", "not installed", "-", ">= 2x", "-"]
