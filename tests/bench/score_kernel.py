"""What a machine can do at most, about: the choice that the peers of `written` make, by a native kernel of four threads over
columns that lie in memory. It reads no file and writes none."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.processes import Variant, ready
from tests.bench.scored import CAPABILITIES, SCORES, STYLES

THREADS = 4
KEYS = (np.arange(1, CAPABILITIES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).tolist()
TURN = 0xD1B54A32D192ED03


def compiled(folder: Path) -> Path:
    """The kernel, built for this machine."""
    library, source = folder / "score_kernel.so", Path(__file__).with_name("score_kernel.c")
    options = ["-O3", "-march=native", "-pthread", "-shared", "-fPIC"]
    subprocess.run(["cc", *options, "-o", library, source], check=True)
    return library


class Kernel:
    """The rows that are chosen, in order; of each capability and style `each`. Memory is made before it is called."""

    def __init__(
        self,
        library: Path,
        ids: tuple[NDArray[np.uint64], NDArray[np.uint64]],
        style: NDArray[np.uint8],
        scores: Sequence[NDArray[np.uint8]],
        each: int,
        styles: int,
    ) -> None:
        self._choose = ctypes.CDLL(str(library)).choose
        self._choose.restype = ctypes.c_int64
        self._columns = [*ids, style, *scores]
        rows, num = len(style), len(scores)
        self._keys = np.array(KEYS[:num], dtype=np.uint64)
        self._sizes = np.array([rows, num, styles, each, THREADS], dtype=np.uint32)
        self._chosen = np.ones(rows, dtype=np.uint8)
        self._found = np.ones(min(num * styles * each, rows) + 1, dtype=np.uint32)

    def __call__(self) -> NDArray[np.uint32]:
        high, low, style, *scores = (ctypes.c_void_p(column.ctypes.data) for column in self._columns)
        keys, sizes, chosen, found = (
            ctypes.c_void_p(array.ctypes.data) for array in (self._keys, self._sizes, self._chosen, self._found)
        )
        columns = (ctypes.c_void_p * len(scores))(*scores)
        num = self._choose(high, low, style, columns, keys, ctypes.c_uint64(TURN), sizes, chosen, found)
        assert num >= 0
        return self._found[:num]


def kernel(path: str, library: str) -> Variant:
    """The columns of the file, and the kernel over them."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["id_high", "id_low", "style", *SCORES]).combine_chunks()
    columns = {name: table[name].to_numpy() for name in table.column_names}
    each = max(table.num_rows // 10 // (CAPABILITIES * STYLES), 1)
    scores = [columns[name].view(np.uint8) for name in SCORES]
    ready(path)
    choose = Kernel(Path(library), (columns["id_high"], columns["id_low"]), columns["style"], scores, each, STYLES)
    yield
    found = choose()
    yield
    yield {"rows": len(found)}
