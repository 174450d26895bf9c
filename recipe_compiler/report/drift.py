"""How the distribution of a column over the draws shifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from recipe_compiler.report.side import Side

USUAL = ("pool", "group", "category", "tokens", "images")
#: Numbers with more different values than this are shown in ranges.
_FEW = 12


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
    found = []
    for name in dict.fromkeys((*USUAL, *columns)):
        sides = before.column(name), after.column(name)
        if sides[0] is not None and sides[1] is not None:
            found.append(_drift(name, sides[0], sides[1]))
    return tuple(found)


def _drift(name: str, before: pl.Series, after: pl.Series) -> Drift:
    if before.dtype.is_numeric() and after.dtype.is_numeric():
        edges = _edges(before, after)
        if edges is not None:
            before, after = (_ranges(values, edges) for values in (before, after))
        elif before.dtype != after.dtype:
            before, after = before.cast(pl.Float64), after.cast(pl.Float64)
    elif before.dtype != after.dtype or before.dtype.is_nested():
        before, after = before.cast(pl.String), after.cast(pl.String)
    shares = [_shares(values) for values in (before, after)]
    values = pl.concat([values.alias("value").unique() for values in (before, after)])
    bins = tuple(
        Bin(
            value="(none)" if value is None else str(value),
            before=shares[0].get(value, 0.0),
            after=shares[1].get(value, 0.0),
        )
        for value in values.unique().sort(nulls_last=True).to_list()
    )
    return Drift(column=name, distance=sum(abs(part.after - part.before) for part in bins) / 2, bins=bins)


def _edges(before: pl.Series, after: pl.Series) -> list[float] | None:
    """The deciles of the side before; None where there are few enough values to show each."""
    if max(before.n_unique(), after.n_unique()) <= _FEW:
        return None
    deciles = (before.quantile(tenth / 10, interpolation="nearest") for tenth in range(1, 10))
    return sorted({float(edge) for edge in deciles if edge is not None})


def _ranges(values: pl.Series, edges: list[float]) -> pl.Series:
    """The range that each number is in, as an enumeration in the order of the ranges."""
    numbers = np.searchsorted(np.array(edges), values.cast(pl.Float64).fill_null(0.0).to_numpy(), side="left")
    bounds = [f"{edge:,g}" for edge in edges]
    between = [f"over {low}, up to {high}" for low, high in pairwise(bounds)]
    names = [f"up to {bounds[0]}", *between, f"over {bounds[-1]}"]
    named = pl.Series(names, dtype=pl.Enum(names)).gather(numbers)
    return named.to_frame("range").select(pl.when(pl.Series(values.is_not_null())).then("range")).to_series()


def _shares(values: pl.Series) -> dict[Any, float]:
    counts = values.alias("value").value_counts()
    return {value: count / max(len(values), 1) for value, count in counts.iter_rows()}
