"""What can be chosen from: every sample with what it is worth, what it costs, and the quotas that it counts for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels, sift, table
from recipe_compiler.execute.quotas.requests import Parts
from recipe_compiler.execute.quotas.system import F64, I64, Columns, Row, System

#: A random draw gives way in so many steps on either side, each dearer than the one before, so that all give way alike.
_STEPS = 4
#: What is no difference between prices.
TINY = 1e-7


#: (samples, tokens) of each value of each quota; of a smoothed sum, parts of them.
Tallies: TypeAlias = Sequence[tuple[kernels.U64, kernels.U64]] | Sequence[tuple[F64, F64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The samples that can be taken (`able`), what tells them apart, what each is worth, its tokens, and its value in each
    quota.

    `value` is of a unit, and orders the samples of a cell; `worth` is of the whole sample: where units are tokens, so many
    times its value. So a cell gives its best units first, and what is taken of it is a prefix of its order.
    """

    keys: kernels.Keys
    able: kernels.Bools
    value: F64
    worth: F64
    tokens: kernels.U64
    parts: Parts
    in_tokens: bool

    def of(self, rows: kernels.U32) -> Offer:
        """Some of the samples, which can be taken."""
        columns: list[NDArray[Any]] = [self.value, self.tokens, *self.parts.codes.words]
        value, tokens, *words = table.gather([[column] for column in columns], rows)
        worth = value * tokens if self.in_tokens else value
        return Offer(
            keys=table.keys_of(self.keys, rows),
            able=np.ones(len(rows), dtype=np.bool_),
            value=value,
            worth=worth,
            tokens=tokens,
            parts=self.parts.of(words),
            in_tokens=self.in_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Samples that are the same to every quota: the cell of each sample that is able, and the first of each cell."""

    cell: kernels.U32
    first: kernels.U32
    able: kernels.Bools

    def __len__(self) -> int:
        return len(self.first)


def nearness(key: int, keys: kernels.Keys, able: kernels.Bools, drawn: kernels.Bools) -> F64:
    """What a sample is worth to a draw that is to be as near as can be to a random one, `drawn`.

    To leave out a sample of the draw costs more the earlier it stands in the keyed order, and to take another the later
    it stands: four steps each as long as a quarter of the draw, and the rest. So cells give way in proportion, and what is
    taken of each is a prefix of its order.
    """
    return kernels.nearness(key, keys, able=able, drawn=drawn, steps=_STEPS)


def cells_of(parts: Parts, able: kernels.Bools) -> Cells:
    """Samples that are the same to every quota."""
    cell, first = kernels.packed_cells(parts.codes.words, able)
    return Cells(cell=cell, first=first, able=able)


def system_of(offer: Offer, cells: Cells, rows: Sequence[Row]) -> System:
    """The rows over these cells: samples of a cell that are worth the same are one column."""
    columns, _ = columns_of(offer, cells)
    starts, members = _membership(cells, offer.parts, rows)
    return System(rows=tuple(rows), starts=starts, members=members, columns=columns, whole=not offer.in_tokens)


def columns_of(offer: Offer, cells: Cells) -> tuple[Columns, I64]:
    """The columns of a system, and which column each sample is in that can be taken."""
    cell, values, spent = cells.cell, offer.value, offer.tokens
    if not cells.able.all():
        able = np.flatnonzero(cells.able)
        cell, values, spent = cell[able], values[able], spent[able]
    level = np.zeros(len(cell), dtype=np.uint32)
    if values.any():
        level = np.unique(values, return_inverse=True)[1].astype(np.uint32)
    column, first = kernels.cells([cell, level], np.ones(len(cell), dtype=np.bool_))
    num = len(first)
    samples = np.bincount(column, minlength=num).astype(np.float64)
    tokens = np.bincount(column, weights=spent.astype(np.float64), minlength=num).astype(np.float64)
    value = values[first]
    width = np.maximum(tokens, 1e-9) if offer.in_tokens else samples
    columns = Columns(
        cell=cell[first].astype(np.int64),
        width=width,
        slope=value,
        samples=samples / width,
        tokens=tokens / width,
    )
    order = np.lexsort((-value, columns.cell))
    place = np.empty(num, dtype=np.int64)
    place[order] = np.arange(num)
    return columns[order], place[column]


def _membership(cells: Cells, parts: Parts, rows: Sequence[Row]) -> tuple[I64, I64]:
    """The rows of each cell, as (starts, members): the budget, and every bound of every part that holds the cell."""
    numbers: dict[tuple[int, str], list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault((row.asked.quota, row.name), []).append(number)
    # For each quota and each of its bounds, the row of each value; -1 where the value has none.
    listed = [np.zeros(len(cells), dtype=np.int64)]
    for quota, size in enumerate(parts.sizes):
        mine = [part for part in parts.parts if part.quota == quota]
        of = [numbers[quota, part.name] for part in mine]
        for bound in range(max(map(len, of), default=0)):
            row_of = np.full(size, -1)
            for part, rows_ in zip(mine, of, strict=True):
                if part.value < len(row_of):
                    row_of[part.value] = rows_[bound]
            listed.append(row_of[parts.values(quota, cells.first)])
    table = np.stack(listed, axis=1)
    there = table >= 0
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return starts.astype(np.int64), table[there]


def priced(offer: Offer, rows: Sequence[Row], prices: F64) -> F64:
    """What each sample is worth beyond the prices of the rows that it counts for."""
    return sift.priced(paying(offer, rows, prices))


def sides_of(offer: Offer, rows: Sequence[Row], prices: F64, reach: float) -> sift.Sides:
    """On which side of the prices each sample is that can be taken: out, in, or within `reach` of them."""
    return sift.sides(paying(offer, rows, prices), offer.able, reach)


def wrong_side(offer: Offer, rows: Sequence[Row], sides: kernels.U8, prices: F64) -> kernels.U32:
    """The samples whose side is not the one on which prices put them."""
    return sift.wrong(paying(offer, rows, prices), offer.able, sides, TINY)


def paying(offer: Offer, rows: Sequence[Row], prices: F64) -> sift.Paying:
    """The samples with what the prices of rows make each pay."""
    tables = _price_tables(offer.parts, rows, prices)
    return sift.Paying(offer.worth, offer.tokens, offer.parts.codes, tables, _of_all(rows, prices))


def _of_all(rows: Sequence[Row], prices: F64) -> tuple[float, float]:
    """The price of the budget, for a sample and for a token."""
    budget = rows[0]
    return (0.0, float(prices[0])) if budget.tokens else (float(prices[0]), 0.0)


def _price_tables(parts: Parts, rows: Sequence[Row], prices: F64) -> list[tuple[F64, F64]]:
    """For each quota, what a sample of each value pays and what each of its tokens pays."""
    tables = []
    for quota, size in enumerate(parts.sizes):
        per_sample, per_token = np.zeros(size), np.zeros(size)
        values = {part.name: part.value for part in parts.parts if part.quota == quota}
        for row, price in zip(rows, prices.tolist(), strict=True):
            if row.asked.quota == quota and values[row.name] < len(per_sample):
                (per_token if row.tokens else per_sample)[values[row.name]] += price
        tables.append((per_sample, per_token))
    return tables


def sums(parts: Parts, rows: Sequence[Row], tallies: Tallies) -> F64:
    """What each row adds up to over samples, by the (samples, tokens) of each value of each quota."""
    found = np.zeros(len(rows))
    # Every sample has one value in each quota.
    found[0] = float(tallies[0][rows[0].tokens].sum())
    for quota, totals in enumerate(tallies):
        values = {part.name: part.value for part in parts.parts if part.quota == quota}
        for number, row in enumerate(rows):
            if row.asked.quota == quota and values[row.name] < len(totals[0]):
                found[number] = float(totals[row.tokens][values[row.name]])
    return found
