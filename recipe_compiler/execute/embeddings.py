"""Columns of vectors, as whole numbers in an order of preference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute.expressions import require_column, usable_columns
from recipe_compiler.execute.task import Task

_MOST_NUMBERS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Rows that have a vector, in the order of preference, and their vectors (rows, numbers)."""

    rows: kernels.U32
    vectors: kernels.I16


def embedded(
    task: Task, name: str, key: int, *, able: kernels.Bools, scores: kernels.F64 | None = None
) -> Embedded | None:
    """Those of the able rows that have a vector, by score and keyed hash. Rows without one are counted and told.

    A row without a list, with an empty one, with a missing or infinite number, or with nothing but zeros has none.
    None where the findings say why the column cannot be used.
    """
    if usable_columns(task.frame).get(name) != "numbers":
        if require_column(task.frame, name, task.findings, task.span("embedding")):
            headline = f"`{name}` is no list of numbers, and a vector is needed here"
            task.findings.error("execute.column-type", headline, task.span("embedding"))
        return None
    column = task.frame[name]
    lengths = column.list.len().fill_null(0).to_numpy()
    there = able & (lengths > 0)
    different = np.unique(lengths[there])
    if len(different) > 1 or different.max(initial=0) > _MOST_NUMBERS:
        listed = ", ".join(f"{length:,}" for length in different[:8].tolist())
        headline = f"`{name}` has vectors of {listed} numbers; all are of one length, at most {_MOST_NUMBERS:,}"
        task.findings.error("execute.column-type", headline, task.span("embedding"))
        return None
    rows = np.flatnonzero(there).astype(np.uint32)
    order = kernels.best_first(key, task.keys, rows=rows, scores=scores)
    if not len(order):
        vectors = np.zeros((0, 1), dtype=np.int16)
    else:
        table = _table(column, there, int(different[0]))
        vectors, directed = kernels.quantise(table, np.searchsorted(rows, order).astype(np.uint32))
        if not directed.all():
            order, vectors = order[directed], np.ascontiguousarray(vectors[directed])
    without = int(able.sum()) - len(order)
    if without:
        noun = "sample has" if without == 1 else "samples have"
        headline = f"{without:,} {noun} no vector in `{name}` and cannot be taken"
        task.findings.warn("note.unscored", headline, task.span("embedding"))
    return Embedded(rows=order, vectors=vectors)


def _table(column: pl.Series, there: kernels.Bools, numbers: int) -> NDArray[np.float32] | kernels.F64:
    """The lists of some rows as a table; a missing number is not a number."""
    assert isinstance(column.dtype, pl.List)
    small = (pl.Float32, pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)
    dtype = pl.Float32 if column.dtype.inner in small else pl.Float64
    lists = column if there.all() else column.filter(pl.Series(there))
    flat = lists.explode().cast(dtype).fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(flat).reshape(-1, numbers)
