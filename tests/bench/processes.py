"""Each measurement in a fresh process: nobody profits from memory that somebody else has touched.

A variant is a generator. Before its first `yield` it prepares (imports, warm files, memory), up to its second it is timed,
and with its third it may tell what it found, as plain JSON.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.bench.bench import REPOSITORY
from tests.bench.figures import Spread

Variant: TypeAlias = Generator[Any, None, None]

#: Memory for what is in a file, in times of its size, and at most.
_TIMES, _MOST = 7, 2 << 30
#: A huge page has a byte at one of these steps.
_PAGE = 2 << 20

#: Peers may lie in a folder of their own, which is on the path of who asks.
_PATH = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
_ENVIRONMENT = {**os.environ, "PYTHONPATH": _PATH, "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
# What is installed has its bytecode beside it; compiling our modules anew is no part of a command.
_ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


@dataclass(frozen=True, slots=True)
class Ran:
    """How long it took, what it found, and how many bytes came from the disk meanwhile."""

    seconds: float
    found: Any
    disk_bytes: int


class NotInstalledError(Exception):
    """A peer that is not here."""


def fresh(variant: Callable[..., Variant], *arguments: Any) -> Ran:
    """Runs a variant in a process of its own."""
    name = f"{variant.__module__}:{variant.__qualname__}"
    ran = command("-m", "tests.bench.processes", name, json.dumps(arguments))
    answer = json.loads(ran.found.splitlines()[-1])
    if "missing" in answer:
        raise NotInstalledError(answer["missing"])
    return Ran(answer["seconds"], answer["found"], ran.disk_bytes)


def command(*arguments: str | Path) -> Ran:
    """Runs Python with arguments, as a whole process. What it prints is what it found."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=REPOSITORY, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as out:
        found = out.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, found)
    return Ran(seconds, found, usage.ru_inblock * 512)


def recipe(*arguments: str | Path) -> Ran:
    """Runs the `recipe` command, quietly."""
    return command("-m", "recipe_compiler", *arguments, "--quiet")


def round_robin(variants: Mapping[str, Callable[[], Ran]], repeats: int) -> dict[str, list[Ran]]:
    """Runs the variants in turn, again and again. One that is not installed has no runs."""
    runs: dict[str, list[Ran]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            try:
                runs[name].append(run())
            except NotInstalledError:
                continue
    return runs


def seconds(runs: Iterable[Ran]) -> Spread | None:
    """The times of runs; None where there are none."""
    figures = [ran.seconds for ran in runs]
    return Spread.of(figures) if figures else None


def held(kind: str) -> int:
    """Bytes of memory of this process, by a name in /proc: `VmHWM` is the peak.

    `ru_maxrss` would be that of whoever started this process, if that was larger: it is kept across an exec.
    """
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def shares() -> tuple[float, float]:
    """USS and PSS of this process and those below it, in MB."""
    uss = pss = 0.0
    for number in ("self", *_descendants()):
        try:
            text = Path(f"/proc/{number}/smaps_rollup").read_text()
        except OSError:
            continue
        sizes = {name: int(size) * 1024 / 1e6 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
        uss += sizes["Private_Clean"] + sizes["Private_Dirty"]
        pss += sizes["Pss"]
    return uss, pss


def _descendants() -> list[str]:
    """The processes below this one, workers and theirs."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name of a command may hold anything, brackets too.
            parents[path.parent.name] = path.read_text().rpartition(")")[2].split()[1]
    found, more = set(), {str(os.getpid())}
    while more:
        more = {number for number, parent in parents.items() if parent in more}
        found |= more
    return sorted(found)


def warm(*paths: str | Path) -> None:
    """Brings files into the page cache, right before they are needed."""
    for path in paths:
        with Path(path).open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def ready(path: str | Path, *files: str | Path) -> None:
    """Brings files into the page cache, and has the host of a virtual machine hand over memory for what is in `path` before
    it is asked for.

    A host takes back what nobody uses, and hands a page over when it is touched. That may take a hundred times as long as
    the touch of a page that is there, and which pages are there is chance: the same run took a half or twice as long.
    """
    # And the code that was loaded, which a host takes back as well while it is not run.
    _touch(_loaded())
    _touch(map(Path, files))
    size = min(_TIMES * Path(path).stat().st_size, _MOST)
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, _PAGE):
            memory[at] = 1
    # What was taken back meanwhile. It takes a tenth of a second, in which no memory is taken back.
    _touch(map(Path, files))
    # The peak begins anew.
    Path("/proc/self/clear_refs").write_text("5")


def _touch(files: Iterable[Path]) -> None:
    """Maps files and touches their pages: what was only read is sooner taken back."""
    for file in files:
        with file.open("rb") as opened:
            mmap.mmap(opened.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ).close()


def _loaded() -> set[Path]:
    """The files that hold the code of this process."""
    maps = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines())
    return {Path(fields[5]) for fields in maps if len(fields) > 5 and "x" in fields[1] and fields[5].startswith("/")}


def main() -> None:
    """The fresh process."""
    module, name = sys.argv[1].split(":")
    try:
        variant = getattr(importlib.import_module(module), name)(*json.loads(sys.argv[2]))
        next(variant)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": error.name}))
        return
    start = time.perf_counter()
    next(variant)
    spent = time.perf_counter() - start
    print(json.dumps({"seconds": spent, "found": next(variant, None)}))


if __name__ == "__main__":
    main()
