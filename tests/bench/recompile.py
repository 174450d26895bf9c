"""Compiling again after a one-line edit, against the first time; and proof that no pool is read again.

A compile begins by importing what it needs, over half a second, however little there is to do, and pools that lie in memory
are indexed at more than a gigabyte a second. So the share that is left of the first compile depends on the size of the pools
and on where they are: there are two sizes, each in memory and on disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.bench import data
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread
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
    in_memory = [_pair(folder, lambda: warm(*files)) for _ in range(bench.repeats)]
    # What is evicted comes from the disk again if anyone reads or maps it; the first compile shows that this counts.
    on_disk = [_pair(folder, lambda: _evict(files)) for _ in range(bench.repeats)]
    shutil.rmtree(folder)
    what = f"compile {size / 1e6:,.0f} MB after an edit"
    read = Spread.of([max(second.disk_bytes, 1) / 1e6 for _, second in on_disk])
    whole = Spread.of([first.disk_bytes / 1e6 for first, _ in on_disk])
    return [
        *(_line(f"{what}, pools {where}", runs) for where, runs in (("in memory", in_memory), ("on disk", on_disk))),
        Line(
            what="the latter, read from disk",
            ours=read,
            against="the first compile",
            theirs=whole,
            unit="MB",
            target=100,
        ),
    ]


def _line(what: str, runs: list[tuple[Ran, Ran]]) -> Line:
    first, second = (seconds([pair[which] for pair in runs]) for which in (0, 1))
    assert second is not None
    return Line(what=what, ours=second, against="the first compile", theirs=first, unit="s", target=1 / 0.15)


def _pair(folder: Path, prepare: Callable[[], None]) -> tuple[Ran, Ran]:
    """The first compile, and the second one."""
    shutil.rmtree(folder / ".recipe", ignore_errors=True)
    prepare()
    first = _compile(folder, "30%")
    prepare()
    return first, _compile(folder, "31%")


def _compile(folder: Path, budget: str) -> Ran:
    path = folder / "recipe.yaml"
    path.write_text(_RECIPE.format(budget=budget))
    return recipe("compile", path, "--out", folder / "out")


def _evict(files: list[Path]) -> None:
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
