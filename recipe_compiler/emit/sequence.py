"""The order within one source of a stage: shuffled, listed, sorted or paced."""

from __future__ import annotations

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.plan import nodes


def sequence(
    rows: kernels.U32, passes: kernels.U32, order: nodes.Order, key: int, frame: pl.DataFrame, keys: kernels.Keys
) -> kernels.U32:
    """The rows of a source's draws, in its own order; a sample's next pass comes after everyone's last.

    Churn: `shuffle`, `listed` and `sort` order a draw by its own values, so that draws that stay keep their relative
    order; windows are cut anew behind a draw that comes or goes. `pace` never changes who is drawn.
    """
    if order.kind == "listed":
        return rows[np.lexsort((rows, passes))]
    if order.kind == "shuffle":
        return kernels.ranked_rows(key, keys, rows=rows, passes=passes)
    shuffled = kernels.ranking(key, keys, rows=rows, passes=passes)
    rows, passes = rows[shuffled], passes[shuffled]
    return _sorted(rows, passes, order, frame) if order.kind == "sort" else _paced(rows, passes, order, frame)


def _valued(rows: kernels.U32, passes: kernels.U32, order: nodes.Order, frame: pl.DataFrame) -> pl.DataFrame:
    """Shuffled draws and the values that order them."""
    assert order.by is not None
    draws = pl.DataFrame({"@pass": passes, "@row": rows, "@value": frame[order.by].gather(rows)})
    return draws.with_row_index("@shuffled")


def _sorted(rows: kernels.U32, passes: kernels.U32, order: nodes.Order, frame: pl.DataFrame) -> kernels.U32:
    """Shuffled rows sorted by a column inside each pass, ties as shuffled; wholly, or with windows."""
    draws = _valued(rows, passes, order, frame)
    rank = pl.int_range(pl.len(), dtype=pl.UInt32).over("@pass")
    before = ["@pass"]
    if order.window is not None:
        draws = draws.with_columns((rank // order.window).alias("@window"))
        before = ["@pass", "@window"]
    keys = [*before, "@value", "@shuffled"]
    descending = [name == "@value" and order.descending for name in keys]
    draws = draws.sort(keys, descending=descending, nulls_last=True)
    if order.shuffle_window is not None:
        draws = draws.with_columns((rank // order.shuffle_window).alias("@window"))
        draws = draws.sort("@pass", "@window", "@shuffled")
    return draws["@row"].to_numpy()


def _paced(rows: kernels.U32, passes: kernels.U32, order: nodes.Order, frame: pl.DataFrame) -> kernels.U32:
    """Shuffled rows, each drawn in its turn as soon as the easiest share that is drawn from holds it, pass by pass."""
    assert order.start is not None
    draws = _valued(rows, passes, order, frame)
    descending = [False, order.descending, False]
    easiest = draws.sort("@pass", "@value", "@shuffled", descending=descending, nulls_last=True)["@shuffled"].to_numpy()
    start = (order.start.numerator, order.start.denominator)
    ends = np.flatnonzero(np.diff(passes)) + 1
    parts = [
        first + kernels.pace(part - np.uint32(first), start=start, root=order.shape == "root")
        for first, part in zip((0, *ends.tolist()), np.split(easiest, ends), strict=True)
    ]
    paced: kernels.U32 = rows[np.concatenate(parts)]
    return paced
