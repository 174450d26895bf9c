"""Compiling again after a one-line edit, against the first time; and proof that no pool is read again.

A compile begins by importing what it needs, about half a second, however little there is to do: the share that is left
of the first compile depends on the size of the pools, and so there are two.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.bench import data
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Ran, recipe, seconds, warm

_NUM_FILES = 8
#: Bytes of chats; the larger are about 2.5 million of them.
_SIZES = (1_500_000_000, 6_000_000_000)
_RECIPE = """\
recipe: 1
name: bench
seed: 17
pools: {{chats: {{source: part-*.jsonl}}}}
select: {{budget: {budget}}}
stages: [{{name: train}}]
"""


def measure(bench: Bench) -> list[Line]:
    return [line for size in _SIZES for line in _measure(bench, bench.size(size))]


def _measure(bench: Bench, size: int) -> list[Line]:
    folder = bench.folder / f"parts-{size}"
    files = [
        data.chats(folder / f"part-{part}.jsonl", size // _NUM_FILES, turns=(7, 10), first=part * 10_000_000)
        for part in range(_NUM_FILES)
    ]
    first, second = [], []
    for _ in range(bench.repeats):
        warm(*files)
        shutil.rmtree(folder / ".recipe", ignore_errors=True)
        first.append(_compile(folder, "30%"))
        second.append(_compile(folder, "31%"))
    # What is evicted comes from the disk again if anyone reads or maps it; the first compile shows that this counts.
    _evict(files)
    again = _compile(folder, "32%")
    _evict(files)
    shutil.rmtree(folder / ".recipe")
    anew = _compile(folder, "30%")
    shutil.rmtree(folder)
    ours, theirs = seconds(second), seconds(first)
    assert ours is not None
    read = Spread.of([max(again.disk_bytes, 1) / 1e6])
    what = f"compile {size / 1e6:,.0f} MB after an edit"
    return [
        Line(what=what, ours=ours, against="the first compile", theirs=theirs, unit="s", target=1 / 0.15),
        Line(
            what="the same, read from disk",
            ours=read,
            against="the first compile",
            theirs=limit(anew.disk_bytes / 1e6),
            unit="MB",
            target=100,
        ),
    ]


def _compile(folder: Path, budget: str) -> Ran:
    path = folder / "recipe.yaml"
    path.write_text(_RECIPE.format(budget=budget))
    return recipe("compile", path, "--out", folder / "out")


def _evict(files: list[Path]) -> None:
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
