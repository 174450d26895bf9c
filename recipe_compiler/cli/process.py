"""What the process of a command asks of Python and of libraries: a short one to begin early, a long one to run well."""

from __future__ import annotations

import gc
import os
from typing import Final

#: Objects that may come without others going before Python looks for garbage, and what Python says unless it is asked.
_SELDOM: Final = 200_000
_OFTEN: Final = (700, 10, 10)
_BLAS: Final = "OPENBLAS_NUM_THREADS"
_HUGE: Final = "POLARS_THP"
#: What whoever starts a command has said of these.
_SAID: Final = {name: os.environ.get(name) for name in (_BLAS, _HUGE)}


def begin_short() -> None:
    """Before anything large is imported."""
    # What a command imports stays: looking through it for garbage again and again takes a tenth of a short command.
    gc.set_threshold(_SELDOM)
    # Nothing that happens to be installed has a say in what a recipe means; to look for it takes longer than to check one.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    # numpy starts a thread for each core, and these keep the cores busy while they wait for matrices. There are none here.
    os.environ.setdefault(_BLAS, "1")
    # polars has large columns in huge pages, as numpy and the core have.
    os.environ.setdefault(_HUGE, "1")


def go_on_long() -> None:
    """Before the runtime, which may train for days."""
    gc.set_threshold(*_OFTEN)
    # numpy has made its threads; what is imported after it, and any process that is started, makes its own.
    import numpy  # noqa: F401

    for name, said in _SAID.items():
        if said is None:
            os.environ.pop(name, None)
