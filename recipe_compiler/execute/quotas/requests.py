"""What quotas ask of cells: amounts as numbers, and the members of each row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.execute import frames
from recipe_compiler.execute.expressions import bits
from recipe_compiler.execute.quotas.system import INFINITY, Asked, Kind, Row
from recipe_compiler.execute.task import Budget, Task
from recipe_compiler.plan import nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One value of a quota: the samples that count for it, by number. A condition has the values false and true."""

    quota: int
    name: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All values that quotas speak of: the value of every sample for each quota, packed; and the parts among these."""

    codes: kernels.Codes
    parts: tuple[Part, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each quota has."""
        return tuple(size for _, _, size in self.codes.fields)

    def values(self, quota: int, rows: kernels.U32 | slice = slice(None)) -> kernels.U32:
        """The values of rows in a quota."""
        word, shift, size = self.codes.fields[quota]
        mask = np.uint64((1 << (size - 1).bit_length()) - 1)
        return (self.codes.words[word][rows] >> np.uint64(shift) & mask).astype(np.uint32)

    def of(self, words: list[kernels.U64]) -> Parts:
        """The same for other samples."""
        return Parts(codes=self.codes._replace(words=words), parts=self.parts)

    def only(self, quotas: Collection[int]) -> Parts:
        """The same where these quotas alone tell samples apart."""
        words = [np.zeros_like(word) for word in self.codes.words]
        fields = []
        for quota, (word, shift, size) in enumerate(self.codes.fields):
            if quota in quotas:
                mask = np.uint64(((1 << (size - 1).bit_length()) - 1) << shift)
                words[word] |= self.codes.words[word] & mask
            fields.append((word, shift, size if quota in quotas else 1))
        parts = tuple(part for part in self.parts if part.quota in quotas)
        return Parts(codes=kernels.Codes(words, fields), parts=parts)


def parts_of(task: Task, quotas: Sequence[nodes.Quota], alive: kernels.Bools) -> Parts | None:
    """The values that quotas speak of; None where the findings say why."""
    groups: dict[int, tuple[kernels.U32 | kernels.Bits, int]] = {}
    conditions: dict[int, pl.Expr] = {}
    parts: list[Part] = []
    for number, quota in enumerate(quotas):
        at = ("quotas", number)
        if quota.by is not None:
            if task.has_column(quota.by, *at, "by"):
                group, names = frames.numbered(task.frame[quota.by], alive)
                groups[number] = group, max(len(names), 1)
                parts += [Part(quota=number, name=f"{quota.by} {name}", value=at) for at, name in enumerate(names)]
        elif quota.where is not None:
            condition = task.condition(quota.where, *at, "where")
            if condition is not None:
                conditions[number] = condition
            parts.append(Part(quota=number, name=nodes.document(quota.where), value=1))
    if task.findings.errors:
        return None
    held = zip(conditions, bits(task.frame, list(conditions.values())), strict=True)
    groups |= {number: (marks, 2) for number, marks in held}
    columns, sizes = zip(*(groups[number] for number in range(len(quotas))), strict=True)
    return Parts(codes=kernels.packed_codes(columns, sizes), parts=tuple(parts))


def rows_of(quotas: Sequence[nodes.Quota], parts: Parts, budget: Budget) -> tuple[Row, ...]:
    """The budget and every bound of every part. Shares are of the budget; bounds are whole numbers."""
    in_tokens = budget.costs is not None
    rows = [Row(Asked("budget"), "the budget", in_tokens, float(budget.amount), float(budget.amount), 1.0)]
    for part in parts.parts:
        quota = quotas[part.quota]
        for kind, amount in bounds(quota):
            number, tokens = asked_for(kind, amount, budget)
            lower = float(number) if kind in ("min", "target") else -INFINITY
            upper = float(number) if kind in ("max", "target") else INFINITY
            share = float(amount.share or 0)
            rows.append(Row(Asked(kind, part.quota), part.name, tokens, lower, upper, share))
    return tuple(rows)


def bounds(quota: nodes.Quota) -> list[tuple[Kind, nodes.Amount]]:
    """The bounds that a quota has."""
    named: list[tuple[Kind, nodes.Amount | None]] = [("min", quota.min), ("max", quota.max), ("target", quota.target)]
    return [(kind, amount) for kind, amount in named if amount is not None]


def asked_for(kind: Kind, amount: nodes.Amount, budget: Budget) -> tuple[int, bool]:
    """(a bound as a whole number, whether it is of tokens): at least rounds up, at most down, a target to the nearest."""
    if amount.share is not None:
        exact = budget.amount * amount.share
        rounded = {"min": -(-exact.numerator // exact.denominator), "max": int(exact)}
        return rounded.get(kind, round(exact)), budget.costs is not None
    return (amount.count, False) if amount.count is not None else (amount.tokens or 0, True)


def written(amount: nodes.Amount, kind: Kind, number: int, budget: Budget) -> nodes.Amount:
    """The nearest amount of the same unit that asks for no more than this many at least (no fewer at most)."""
    if amount.share is None:
        return nodes.Amount(count=number) if amount.count is not None else nodes.Amount(tokens=number)
    exact = Fraction(number, max(budget.amount, 1))
    for digits in (1, 2, 3, 4, 6, 9):
        scale = 100 * 10**digits
        steps = int(exact * scale) if kind == "min" else -(-(exact * scale).numerator // (exact * scale).denominator)
        share = nodes.Amount(share=Fraction(steps, scale))
        if asked_for(kind, share, budget)[0] == number:
            return share
    return nodes.Amount(share=exact)
