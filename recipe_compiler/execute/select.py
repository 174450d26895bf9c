"""The budget: strata, caps and the walk along the keyed order.

Churn: with strata or without, what is taken of a stratum is a prefix of its keyed order, so that a changed budget,
weight or pool changes each stratum by exactly the change of its count: the least that the counts allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Edit, Findings
from recipe_compiler.execute import apportion, frames
from recipe_compiler.execute.expressions import Lowering, holds, require_column
from recipe_compiler.execute.watch import Watch
from recipe_compiler.execute.weights import weigh
from recipe_compiler.manifest.schema import Request, Share
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import cap_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """All samples, what tells them apart, and which of them can be chosen."""

    frame: pl.DataFrame
    keys: kernels.Keys
    alive: kernels.Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How often each sample is taken, and what was asked for."""

    times: kernels.U32
    requests: tuple[Request, ...]
    strata: tuple[Share, ...]


def order_key(seed: int, *names: str) -> int:
    """The seed of one rule's keyed order: it depends on the rule's own names and on nothing else."""
    parts = [str(seed).encode(), *(name.encode() for name in names)]
    return int(kernels.digest_parts("order key", parts)[:16], 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strata:
    """The stratum of each row, and what each stratum asks for, has, and may take."""

    names: list[str]
    group: kernels.U32
    requested: list[Fraction]
    available: list[int]
    limits: list[int]


def select(
    samples: Samples,
    node: nodes.Node,
    operation: nodes.Select,
    checked: CheckedRecipe,
    findings: Findings,
    watch: Watch | None = None,
) -> Chosen:
    """Takes the budget."""
    return _Walk(samples, node, operation, checked, findings).chosen(watch)


class _Walk:
    """One selection. A use is one time that a sample could be taken; all first uses come before any second."""

    def __init__(
        self,
        samples: Samples,
        node: nodes.Node,
        operation: nodes.Select,
        checked: CheckedRecipe,
        findings: Findings,
    ) -> None:
        self.node = node
        self.operation = operation
        self.checked = checked
        self.findings = findings
        self.frame = frame = samples.frame
        self.keys = samples.keys
        self.alive = samples.alive
        self.num = int(samples.alive.sum())
        self.in_tokens = operation.budget.tokens is not None
        self.unit = "tokens" if self.in_tokens else "samples"
        amount = operation.budget
        share = None if amount.share is None else int(self.num * amount.share)
        self.budget = share if share is not None else (amount.count if amount.count is not None else amount.tokens or 0)
        self.costs = frame["tokens"].to_numpy().astype(np.uint64) if self.in_tokens else None

    def chosen(self, watch: Watch | None) -> Chosen:
        """The samples taken."""
        nothing = Chosen(times=self.alive.astype(np.uint32), requests=(), strata=())
        for position, name in enumerate(self.operation.by):
            span = self.checked.span(*self.node.at, "by", position)
            require_column(self.frame, name, self.findings, span)
        if self.findings.errors:
            return nothing
        strata = self.strata()
        caps = [] if strata is None else [(strata.group, np.array(strata.limits, dtype=np.uint64))]
        caps += self.caps()
        if self.findings.errors:
            return nothing
        key = order_key(self.operation.seed, "select")
        passes = self.operation.repeat
        taken = kernels.take(
            key, self.keys, alive=self.alive, passes=passes, costs=self.costs, budget=self.budget, caps=caps
        )
        self.tell_short(taken, strata)
        if watch is not None:
            rows, turn = frames.uses(np.flatnonzero(self.alive).astype(np.uint32), passes)
            order = kernels.ranking(key, self.keys, rows=rows, passes=turn)
            stratum = None if strata is None else (strata.group, strata.names)
            watch.selected(self.node, self.operation, self.frame, (rows[order], turn[order]), taken, stratum)
        request = Request(what="select", requested=str(self.operation.budget), realised=taken.total, unit=self.unit)
        return Chosen(
            times=taken.times,
            requests=(request,),
            strata=_realised(strata, self.costs, taken.times),
        )

    def available(self) -> int:
        """Tokens or samples, each sample once."""
        return self.num if self.costs is None else int(self.costs[self.alive].sum())

    def strata(self) -> _Strata | None:
        by = self.operation.by
        if not by:
            return None
        values = self.frame[by[0]]
        if len(by) > 1:
            texts = [pl.col(name).cast(pl.String).fill_null("(none)") for name in by]
            values = self.frame.select(pl.concat_str(texts, separator=" / ").alias("@by"))["@by"]
        group, names = frames.numbered(values, self.alive)
        once = kernels.totals(group, len(names), weights=self.costs, alive=self.alive).tolist()
        available = [size * self.operation.repeat for size in once]
        span = self.checked.span(*self.node.at, "weights")
        weights = weigh(self.operation.weights, names, available, self.budget, self.findings, span)
        whole = sum(weights, Fraction(0)) or Fraction(1)
        return _Strata(
            names=names,
            group=group,
            requested=[self.budget * weight / whole for weight in weights],
            available=available,
            limits=apportion.apportion_within(self.budget, weights, available),
        )

    def caps(self) -> list[tuple[kernels.U32, kernels.U64]]:
        caps: list[tuple[kernels.U32, kernels.U64]] = []
        for position, cap in enumerate(self.operation.caps):
            at = (*self.node.at, "caps", position)
            if (cap.max.tokens is not None) != self.in_tokens and cap.max.share is None:
                headline = f"the budget is in {self.unit}, and this cap is not"
                self.findings.error("model.conflict", headline, self.checked.span(*at, "max"))
                continue
            share = None if cap.max.share is None else int(self.budget * cap.max.share)
            limit = (
                share if share is not None else (cap.max.count if cap.max.count is not None else cap.max.tokens or 0)
            )
            if cap.by is not None:
                if require_column(self.frame, cap.by, self.findings, self.checked.span(*at, "by")):
                    group, values = frames.numbered(self.frame[cap.by])
                    caps.append((group, np.full(len(values), limit, dtype=np.uint64)))
            elif cap.where is not None:
                lowering = Lowering(self.frame, self.findings, self.checked.expression_place(*at, "where"))
                condition = lowering.condition(cap.where)
                if not self.findings.errors:
                    unlimited = np.iinfo(np.uint64).max
                    inside = holds(self.frame, condition).astype(np.uint32)
                    caps.append((inside, np.array([unlimited, limit], dtype=np.uint64)))
        return caps

    def tell_short(self, taken: kernels.Taken, strata: _Strata | None) -> None:
        """A budget that could not be filled is an error, unless only whole samples would not fit any more."""
        unused = self.budget - taken.total
        largest = 1 if self.costs is None else int(self.costs[self.alive].max(initial=0))
        ends = 1 if strata is None else len(strata.names)
        if unused <= 0 or (self.in_tokens and unused < largest * ends):
            return
        held = int((taken.refused_by > (0 if strata is None else 1)).sum())
        texts = "; ".join(cap_text(cap) for cap in self.operation.caps)
        notes = [f"caps held back {held:,} samples: {texts}"] if held and texts else []
        ways_out = [f"ask for {taken.total:,}"] * bool(taken.total)
        if notes:
            ways_out.append("loosen a cap")
        else:
            wanted = (
                zip(strata.available, strata.requested, strict=True)
                if strata is not None
                else ((self.available() * self.operation.repeat, 1),)
            )
            once = sum(available for available, requested in wanted if requested) // self.operation.repeat
            ways_out.append(f"allow repeats with `repeat: {{max: {-(-self.budget // max(once, 1))}}}`")
        unit = "tokens" if self.in_tokens else "count"
        written = self.checked.span(*self.node.at, "budget", unit)
        counted = self.operation.budget.share is None and taken.total
        self.findings.error(
            "execute.short",
            f"the budget asks for {self.budget:,} {self.unit} and {taken.total:,} can be had",
            self.checked.span(*self.node.at, "budget"),
            notes=notes,
            help=" or ".join(ways_out),
            mended=Edit(written, str(taken.total)) if counted else None,
        )


def _realised(strata: _Strata | None, costs: kernels.U64 | None, times: kernels.U32) -> tuple[Share, ...]:
    if strata is None:
        return ()
    spent = times.astype(np.uint64) if costs is None else costs * times
    realised = kernels.totals(strata.group, len(strata.names), weights=spent).tolist()
    return tuple(
        Share(name=name, requested=str(requested), available=available, realised=got)
        for name, requested, available, got in zip(
            strata.names, strata.requested, strata.available, realised, strict=True
        )
    )
