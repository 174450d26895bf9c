"""Identities of rows: digests over their cells in a canonical encoding, so that a file writer cannot change an id."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.manifest.schema import ROWS


def cells(table: pa.Table, name: str) -> NDArray[Any]:
    """A column without missing values as an array of the same memory; ids as 16-byte items."""
    chunks = table[name]
    # Joining would copy what is one piece already.
    return _same_memory(chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks(), name)


def pieces(table: pa.Table, name: str) -> list[NDArray[Any]]:
    """A column like that of `cells`, in the pieces in which it lies."""
    return [_same_memory(chunk, name) for chunk in table[name].chunks]


def _same_memory(column: pa.Array, name: str) -> NDArray[Any]:
    _, data = column.buffers()
    # Straight from the buffer: `to_numpy` would first import pandas, where that is installed.
    dtype = np.dtype("V16" if name == "sample_id" else str(column.type))
    return np.frombuffer(data or b"", dtype=dtype)[column.offset : column.offset + len(column)]


#: Cells that are looked at together: what is found out about them stays in the processor's cache.
_BLOCK: Final = 1 << 16


def between(column: NDArray[Any], low: int, high: int) -> NDArray[np.intp]:
    """The places of the whole numbers from `low` to `high` in a column of them, both of which it could hold."""
    least, most = column.dtype.type(low), column.dtype.type(high)
    found = [np.empty(0, dtype=np.intp)]
    for start in range(0, len(column), _BLOCK):
        block = column[start : start + _BLOCK]
        hits = np.flatnonzero(block == least if low == high else (block >= least) & (block <= most))
        if len(hits):
            found.append(hits + start)
    return np.concatenate(found)


def column(values: NDArray[Any]) -> pa.Array:
    """An array of numbers as an Arrow column of the same memory."""
    whole = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(whole.dtype), len(whole), [None, pa.py_buffer(whole)])


def joined_ids(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.void]:
    """Ids as 16-byte items, from their halves."""
    halves = np.empty((len(high), 2), dtype=">u8")
    halves[:, 0] = high
    halves[:, 1] = low
    return halves.view("V16").ravel()


def checked(table: pa.Table) -> pa.Table:
    """The rows with their checksums."""
    names = [name for name in ROWS.names if name != "check"]
    checks = kernels.row_checks([cells(table, name) for name in names])
    return pa.table([*(table[name] for name in names), column(checks)], schema=ROWS)


def first_damaged(table: pa.Table) -> int | None:
    """The first row whose checksum does not match its cells."""
    names = [name for name in ROWS.names if name != "check"]
    wrong = kernels.row_checks([cells(table, name) for name in names]) != cells(table, "check")
    return int(np.argmax(wrong)) if wrong.any() else None


def digest(table: pa.Table) -> str:
    """The digest of a shard's rows."""
    parts: list[bytes | NDArray[Any]] = []
    for name in ROWS.names:
        parts += [name.encode(), cells(table, name)]
    return kernels.digest_parts("shard rows", parts)


def selection_digest(ids: NDArray[Any]) -> str:
    """The digest of which samples are drawn and how often, in no order. `ids` are 16-byte items."""
    return kernels.multiset_digest("selection", ids)[0]


def order_digest(ids: NDArray[Any], stages: list[tuple[str, int]]) -> str:
    """The digest of which sample is drawn when, and of the stages' names and lengths.

    A stage that was cut and goes on under its name is one stage, and one without draws is none.
    """
    runs: list[tuple[str, int]] = []
    for name, draws in stages:
        if draws and runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1] + draws)
        elif draws:
            runs.append((name, draws))
    marks = [f"{name}\0{draws}".encode() for name, draws in runs]
    return kernels.digest_parts("order", [*marks, ids] if len(ids) else [])


def pool_digest(ids: NDArray[Any]) -> tuple[str, int]:
    """The digest of the samples of a pool, in no order, and how many different ones there are."""
    return kernels.multiset_digest("pool", ids)
