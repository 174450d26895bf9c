"""What the process of a command asks of Python and of libraries, and what a long one takes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY

_TASKS = Path("/proc/self/task")
_PROGRAM = """
import gc, os
from recipe_compiler.cli import process
process.begin_short()
import numpy
said = lambda: (os.environ.get("OPENBLAS_NUM_THREADS"), os.environ.get("POLARS_THP"))
print(len(os.listdir("/proc/self/task")), gc.get_threshold()[0] > 700, *said())
process.go_on_long()
print(gc.get_threshold(), *said())
"""


@pytest.mark.skipif(not _TASKS.is_dir(), reason="threads are counted as Linux lists them")
@pytest.mark.parametrize("said", [None, "1"])
def test_a_command_has_no_threads_of_numpy_and_leaves_them_to_what_comes_later(said: str | None) -> None:
    names = ("OPENBLAS_NUM_THREADS", "POLARS_THP")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"PYTHONPATH": str(REPOSITORY)} | ({} if said is None else dict.fromkeys(names, said))
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == f"1 True 1 1\n(700, 10, 10) {said} {said}\n"
