"""One selection to carry out: the samples, what is asked of them, and what methods have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Edit, Findings, Span
from recipe_compiler.execute import apportion, frames
from recipe_compiler.execute.expressions import Lowering, holds, require_column
from recipe_compiler.execute.watch import Watch
from recipe_compiler.execute.weights import weigh
from recipe_compiler.manifest.schema import Optimum, Request, Share
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.syntax.expression import Expression, Operand, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """All samples, what tells them apart, and which of them can be chosen."""

    frame: pl.DataFrame
    keys: kernels.Keys
    alive: kernels.Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How often each sample is taken, what was asked for, and how near to the best that could be had it is."""

    times: kernels.Times
    requests: tuple[Request, ...] = ()
    strata: tuple[Share, ...] = ()
    optima: tuple[Optimum, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much to take: samples, or tokens where `costs` has those of each row."""

    amount: int
    costs: kernels.U64 | None
    available: int

    @property
    def unit(self) -> str:
        """What it counts."""
        return "samples" if self.costs is None else "tokens"

    def sum(self, rows: kernels.Bools) -> int:
        """What some rows come to."""
        return int(np.count_nonzero(rows)) if self.costs is None else int(self.costs[rows].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """The stratum of each row, and what each stratum asks for, has, and may take."""

    names: list[str]
    group: kernels.U32
    requested: list[Fraction]
    available: list[int]
    limits: list[int]

    def shares(self, realised: Sequence[int]) -> tuple[Share, ...]:
        """What was asked for beside what came of it."""
        return tuple(
            Share(name=name, requested=str(requested), available=available, realised=got)
            for name, requested, available, got in zip(
                self.names, self.requested, self.available, realised, strict=True
            )
        )


def order_key(seed: int, *names: str) -> int:
    """The seed of one rule's keyed order: it depends on the rule's own names and on nothing else."""
    parts = [str(seed).encode(), *(name.encode() for name in names)]
    return int(kernels.digest_parts("order key", parts)[:16], 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One selection: its node, its samples, where to tell what is wrong, and who watches."""

    samples: Samples
    node: nodes.Node
    checked: CheckedRecipe
    findings: Findings
    watch: Watch | None

    @property
    def frame(self) -> pl.DataFrame:
        """All samples."""
        return self.samples.frame

    @property
    def keys(self) -> kernels.Keys:
        """What tells them apart."""
        return self.samples.keys

    @property
    def alive(self) -> kernels.Bools:
        """Which of them can be chosen."""
        return self.samples.alive

    @property
    def nothing(self) -> Chosen:
        """No sample, where the findings say why."""
        return Chosen(times=np.zeros(self.frame.height, dtype=np.uint32))

    def span(self, *setting: str | int) -> Span:
        """Where the recipe has a setting of this selection."""
        return self.checked.span(*self.node.at, *setting)

    def has_column(self, name: str, *setting: str | int) -> bool:
        """Whether there is such a column with one value a sample; if not, it is told at the setting."""
        return require_column(self.frame, name, self.findings, self.span(*setting))

    def budget(self, amount: nodes.Amount, alive: kernels.Bools | None = None) -> Budget:
        """An amount of what is alive, as a number."""
        alive = self.alive if alive is None else alive
        costs = None if amount.tokens is None else self.frame["tokens"].cast(pl.UInt64).to_numpy()
        available = int(np.count_nonzero(alive)) if costs is None else int(costs[alive].sum())
        number = amount.count if amount.count is not None else amount.tokens
        if amount.share is not None:
            number = int(available * amount.share)
        return Budget(amount=number or 0, costs=costs, available=available)

    def condition(self, where: Expression, *setting: str | int) -> pl.Expr | None:
        """A condition on rows; None where the findings say why."""
        place = self.checked.expression_place(*self.node.at, *setting)
        before = len(self.findings.errors)
        condition = Lowering(self.frame, self.findings, place).condition(where)
        return None if len(self.findings.errors) > before else condition

    def holds(self, where: Expression, *setting: str | int) -> kernels.Bools:
        """The rows that a condition holds for; none where the findings say why."""
        condition = self.condition(where, *setting)
        return np.zeros(self.frame.height, dtype=np.bool_) if condition is None else holds(self.frame, condition)

    def scores(
        self, score: Operand, *setting: str | int, lost: str = "cannot be taken"
    ) -> tuple[kernels.F64, kernels.Bools]:
        """(the score of each row, which living rows have one). Rows without one are counted, and what is lost is told."""
        place = self.checked.expression_place(*self.node.at, *setting)
        before = len(self.findings.errors)
        number = Lowering(self.frame, self.findings, place).number(score)
        if len(self.findings.errors) > before:
            return np.zeros(self.frame.height), np.zeros(self.frame.height, dtype=np.bool_)
        values = self.frame.with_columns(number.alias("@score"))["@score"]
        there: NDArray[np.bool_] = self.alive & values.is_not_null().to_numpy()
        without = int(self.alive.sum() - there.sum())
        if without:
            given = pl.all_horizontal(pl.lit(True), *(pl.col(column.name).is_not_null() for column in columns(score)))
            strange = int(np.count_nonzero(self.alive & ~there & holds(self.frame, given)))
            noun = "sample has" if without == 1 else "samples have"
            self.findings.warn(
                "note.unscored",
                f"{without:,} {noun} no {'finite ' * bool(strange)}score and {lost}",
                self.span(*setting),
                notes=[f"{strange:,} of them with a value, of which nothing finite comes out"] * bool(strange),
            )
        return np.ascontiguousarray(values.fill_null(0.0).to_numpy()), there

    def strata(
        self, by: Sequence[str], weights: nodes.Weights, budget: Budget, *, alive: kernels.Bools, passes: int = 1
    ) -> Strata | None:
        """The values of columns as strata that a budget is divided among; None where the findings say why."""
        for position, name in enumerate(by):
            self.has_column(name, "by", position)
        if self.findings.errors:
            return None
        group, names = frames.combined(self.frame, by, alive)
        once = kernels.totals(group, len(names), weights=budget.costs, alive=alive).tolist()
        available = [size * passes for size in once]
        before = len(self.findings.errors)
        parts = weigh(weights, names, available, budget.amount, self.findings, self.span("weights"))
        if len(self.findings.errors) > before:
            return None
        whole = sum(parts, Fraction(0)) or Fraction(1)
        return Strata(
            names=names,
            group=group,
            requested=[budget.amount * weight / whole for weight in parts],
            available=available,
            limits=apportion.apportion_within(budget.amount, parts, available),
        )

    def short(self, budget: Budget, amount: nodes.Amount, total: int, *, notes: list[str], ways_out: list[str]) -> None:
        """A budget that cannot be had."""
        ways_out = [f"ask for {total:,}"] * bool(total) + ways_out
        written = self.span("budget", "tokens" if amount.tokens is not None else "count")
        counted = amount.share is None and total
        self.findings.error(
            "execute.short",
            f"the budget asks for {budget.amount:,} {budget.unit} and {total:,} can be had",
            self.span("budget"),
            notes=notes,
            help=" or ".join(ways_out),
            mended=Edit(written, str(total)) if counted else None,
        )

    def request(self, amount: nodes.Amount, budget: Budget, realised: int, available: int) -> Request:
        """What the budget asked for, beside what came of it, and what could be taken."""
        return Request(what="select", requested=str(amount), available=available, realised=realised, unit=budget.unit)
