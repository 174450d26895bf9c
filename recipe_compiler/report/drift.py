"""How the distribution of a column over the draws shifted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.report.side import Side

USUAL = ("pool", "group", "category", "tokens", "images")
#: Numbers with more different values than this are shown in ranges.
_FEW = 12
#: Columns that are counted at once.
_THREADS = 4
#: Whole numbers below this are counted in an array.
_DENSE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """A value (or a range of values), and its share of the draws before and after."""

    value: str
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """`distance` is the total variation distance: the share of draws that would have to change their value."""

    column: str
    distance: float
    bins: tuple[Bin, ...]


def drift(before: Side, after: Side, columns: Sequence[str]) -> tuple[Drift, ...]:
    """The drift of the usual columns and of these."""
    names = tuple(dict.fromkeys((*USUAL, *columns)))
    with ThreadPoolExecutor(_THREADS) as threads:
        old, new = (list(threads.map(partial(_counts, side), names)) for side in (before, after))
    return tuple(
        _drift(name, first, second)
        for name, first, second in zip(names, old, new, strict=True)
        if first is not None and second is not None
    )


#: Draws of each value of a column; None is the missing value.
_Counts = dict[Any, int]


def _counts(side: Side, name: str) -> _Counts | None:
    values = side.column(name)
    if values is None:
        return None
    if isinstance(values.dtype, pl.Enum):
        names: list[Any] = [*values.dtype.categories.to_list(), None]
        codes = values.to_physical().cast(pl.UInt32).fill_null(len(names) - 1)
        counts = kernels.totals(np.ascontiguousarray(codes.to_numpy()), len(names), weights=side.times)
        return {names[code]: int(counts[code]) for code in np.flatnonzero(counts)}
    if values.dtype == pl.UInt32 and values.null_count() == 0 and (values.is_empty() or values.max() < _DENSE):  # type: ignore[operator]
        counts = kernels.totals(np.ascontiguousarray(values.to_numpy()), _DENSE, weights=side.times)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    if values.dtype.is_nested():
        values = values.list.eval(pl.element().cast(pl.String)).list.join(", ")
    table = (
        pl.DataFrame({"value": values, "times": side.times})
        .filter(pl.col("times") > 0)
        .group_by("value")
        .agg(pl.col("times").sum())
    )
    return dict(table.iter_rows())


def _drift(name: str, before: _Counts, after: _Counts) -> Drift:
    values = [value for value in {*before, *after} if value is not None]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numeric and max(len(before), len(after)) > _FEW:
        edges = _deciles(before)
        old, new = _in_ranges(before, edges), _in_ranges(after, edges)
    else:
        order = sorted(values) if numeric else sorted(values, key=str)
        old, new = ({str(value): counts.get(value, 0) for value in order} for counts in (before, after))
    for counts, ranges in ((before, old), (after, new)):
        if None in before or None in after:
            ranges["(none)"] = counts.get(None, 0)
    totals = max(sum(old.values()), 1), max(sum(new.values()), 1)
    bins = tuple(Bin(value=name, before=old[name] / totals[0], after=new[name] / totals[1]) for name in old)
    return Drift(column=name, distance=sum(abs(part.after - part.before) for part in bins) / 2, bins=bins)


def _deciles(counts: _Counts) -> list[float]:
    """The different deciles of the side before."""
    values = sorted(value for value in counts if value is not None)
    sums = np.cumsum([counts[value] for value in values])
    return (
        sorted({values[int(np.searchsorted(sums, sums[-1] * tenth / 10))] for tenth in range(1, 10)}) if values else []
    )


def _in_ranges(counts: _Counts, edges: Sequence[float]) -> dict[str, int]:
    """Draws in each range between the edges, an edge belonging to the range below it."""
    bounds = [f"{edge:,}" for edge in edges]
    between = [f"over {low}, up to {high}" for low, high in pairwise(bounds)]
    names = [f"up to {bounds[0]}", *between, f"over {bounds[-1]}"] if bounds else ["any"]
    sums = [0] * len(names)
    for value, count in counts.items():
        if value is not None:
            sums[bisect_left(edges, value)] += count
    return dict(zip(names, sums, strict=True))
