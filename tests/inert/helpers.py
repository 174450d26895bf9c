"""What the tests of inertness share: a whole command, measured by the system that ran it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import REPOSITORY, questions, write_jsonl, write_recipe

#: What any refusal may cost: the whole process, with its interpreter and its libraries.
MAX_MEMORY_MB = 300
#: Beside what the same command takes for a harmless input; of a processor and not of a clock, for machines that are busy.
MAX_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command printed, how it ended, and what it took at its peak."""

    code: int
    out: str
    err: str
    seconds: float
    memory_mb: float


def measured(*arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Runs `recipe` in a process of its own and asks the system what it took."""
    return measured_python(["-m", "recipe_compiler", *map(str, arguments)], cwd=cwd, environment=environment)


#: The system counts what a process was before it became another program: a small one must start it, not this one.
_LAUNCH = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
took = {
    "code": os.waitstatus_to_exitcode(status),
    "seconds": usage.ru_utime + usage.ru_stime,
    "memory_mb": usage.ru_maxrss / 1024,
}
with open(sys.argv[1], "w") as file:
    json.dump(took, file)
"""


def measured_python(command: list[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Runs Python in a process of its own and asks the system what it took; where that was long, the least of three runs.

    A machine that has other work gives a process more than its work: caches are cold and cores are shared.
    """
    runs = [_run(command, cwd, environment or {})]
    while len(runs) < 3 and runs[-1].seconds - harmless_seconds() >= MAX_SECONDS:
        runs.append(_run(command, cwd, environment or {}))
    return min(runs, key=lambda ran: ran.seconds)


def _run(command: list[str], cwd: Path, environment: Mapping[str, str]) -> Measured:
    with tempfile.NamedTemporaryFile() as took:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, took.name, sys.executable, *command],
            cwd=cwd,
            # Threads of numpy that wait for work take processors for as long as others keep them from noticing.
            env={
                **os.environ,
                "NO_COLOR": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": str(REPOSITORY),
                **environment,
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return Measured(out=done.stdout, err=done.stderr, **json.loads(took.read()))


def assert_refused(ran: Measured, *told: str) -> None:
    """The command said why on stderr, nothing on stdout, and took little."""
    assert ran.code == 1, ran
    assert ran.out == ""
    assert "Traceback" not in ran.err and "panicked" not in ran.err, ran.err
    assert len(ran.err) < 40_000, "an attack does not fill the screen"
    for text in told:
        assert text in ran.err, ran.err
    assert ran.memory_mb < MAX_MEMORY_MB
    assert ran.seconds - harmless_seconds() < MAX_SECONDS


@functools.cache
def harmless_seconds() -> float:
    """What a command takes that finds nothing to refuse."""
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "a.jsonl", questions("a", 20))
        write_recipe(Path(folder), "recipe: 1\nname: x\npools: {a: {source: a.jsonl}}\n")
        ran = _run(["-m", "recipe_compiler", "plan", "recipe.yaml"], Path(folder), {})
    assert ran.code == 0, ran.err
    return ran.seconds
