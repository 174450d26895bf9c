"""The global order: the draws of each stage, exactly mixed.

A stage has sources: the values of the column it is mixed by, and the stages it replays. Each source has a sequence of
its own (shuffled, sorted or listed; pass after pass where it repeats), and the interleave decides whose turn it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute import apportion
from recipe_compiler.execute.expressions import require_column
from recipe_compiler.execute.run import Selection
from recipe_compiler.execute.select import TIES, keyed, order_key
from recipe_compiler.execute.weights import weigh
from recipe_compiler.manifest.schema import Share, StageRef
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes

#: All draws of a stage are put in order in memory.
MOST_DRAWS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Every draw, in order, with `stage`, `rule` and `repeat`; the rules by number; what each stage was asked for."""

    draws: pl.DataFrame
    rules: tuple[str, ...]
    stages: tuple[StageRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The uses of samples that a source of a stage can draw, and how many draws it gets."""

    name: str
    rule: str
    units: pl.DataFrame
    requested: Fraction
    draws: int
    choice: int
    """The key of the order in which samples are chosen where not all of them are drawn."""


def order(selection: Selection, checked: CheckedRecipe, findings: Findings) -> Ordered:
    """Puts the selection in order."""
    parts: list[pl.DataFrame] = []
    stages: list[StageRef] = []
    rules: list[str] = []
    pools: dict[str, pl.DataFrame] = {}
    start = 0
    for number, node in enumerate(selection.stages):
        stage = node.operation
        assert isinstance(stage, nodes.Stage)
        own = _uses(selection.frame.filter(pl.col("stage") == number))
        pools[stage.name] = own
        planner = _StagePlanner(stage, node, own, pools, checked, findings)
        sources = planner.sources()
        if findings.errors:
            continue
        draws, first_rule = _mix(sources, stage), len(rules)
        rules += [source.rule for source in sources]
        mixed = draws.with_columns(
            (pl.col("@source") + first_rule).cast(pl.UInt32).alias("rule"),
            pl.lit(number, dtype=pl.UInt32).alias("stage"),
        )
        parts.append(mixed.drop("@source", "@row", "@pass"))
        stages.append(
            StageRef(
                name=stage.name,
                start=start,
                draws=mixed.height,
                samples=mixed["@row"].n_unique(),
                shares=tuple(
                    Share(
                        name=source.name,
                        requested=str(source.requested),
                        available=source.units.height,
                        realised=source.draws,
                    )
                    for source in sources
                ),
            )
        )
        start += mixed.height
    findings.stop_if_errors()
    return Ordered(draws=_with_repeat(pl.concat(parts)), rules=tuple(rules), stages=tuple(stages))


def _uses(frame: pl.DataFrame) -> pl.DataFrame:
    """One row for each use of a sample; `@use` counts them."""
    frame = frame.with_row_index("@row")
    rows, use = _repeated(frame["times"].to_numpy())
    return frame[rows].with_columns(pl.Series("@use", use, dtype=pl.UInt32))


def _repeated(times: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row, turn) of each of `times[row]` copies of each row."""
    rows = np.repeat(np.arange(len(times), dtype=np.int64), times)
    starts = np.cumsum(times, dtype=np.int64) - times
    return rows, np.arange(len(rows), dtype=np.int64) - starts[rows]


class _StagePlanner:
    """Decides how many draws each source of one stage gets."""

    def __init__(
        self,
        stage: nodes.Stage,
        node: nodes.Node,
        own: pl.DataFrame,
        pools: dict[str, pl.DataFrame],
        checked: CheckedRecipe,
        findings: Findings,
    ) -> None:
        self.stage = stage
        self.node = node
        self.own = own
        self.pools = pools
        self.checked = checked
        self.findings = findings

    def sources(self) -> list[_Source]:
        own = self.own_sources()
        return own + self.replays(sum(source.draws for source in own))

    def own_sources(self) -> list[_Source]:
        stage, frame = self.stage, self.own
        amount = stage.draws
        total = frame.height
        if amount is not None:
            total = int(frame.height * amount.share) if amount.share is not None else amount.count or 0
        span = self.checked.span(*self.node.at, "draws")
        if total == 0:
            headline = f"stage `{stage.name}`: {amount} of {frame.height:,} samples is not one draw"
            self.findings.error("execute.short", headline, span, help="ask for more, or leave the stage out")
            return []
        if total > MOST_DRAWS:
            headline = f"stage `{stage.name}` asks for {total:,} draws; {MOST_DRAWS:,} is the most there can be"
            self.findings.error("execute.too-many", headline, span)
            return []
        if stage.by is None:
            parts, names = [frame], [stage.name]
        else:
            at = self.checked.span(*self.node.at, "mix", "by")
            if not require_column(frame, stage.by, self.findings, at):
                return []
            named = frame.with_columns(pl.col(stage.by).cast(pl.String).fill_null("(none)").alias("@by"))
            found = named.partition_by("@by", as_dict=True, include_key=False, maintain_order=True)
            names = sorted(str(name) for (name,) in found)
            parts = [found[(name,)] for name in names]
        sizes = [part.height for part in parts]
        span = self.checked.span(*self.node.at, "mix", "weights")
        weights = weigh(stage.weights, names, sizes, total, self.findings, span)
        whole = sum(weights, Fraction(0))
        if whole <= 0:
            self.findings.error("execute.weights", f"stage `{stage.name}` gives no source any weight", span)
            return []
        counts = apportion.apportion(total, weights)
        self.check_supply(names, sizes, weights, counts, total)
        choice = order_key(stage.seed, "select")
        return [
            _Source(
                name=name,
                rule=f"stage {stage.name}",
                units=part,
                requested=total * weight / whole,
                draws=count,
                choice=choice,
            )
            for name, part, weight, count in zip(names, parts, weights, counts, strict=True)
        ]

    def check_supply(
        self, names: list[str], sizes: list[int], weights: list[Fraction], counts: list[int], total: int
    ) -> None:
        """A source is not drawn more often than its samples may repeat; the way out is computed, not guessed."""
        stage = self.stage
        limit = stage.repeat
        if stage.weights.unimax is not None:
            allowed = sum(weights, Fraction(0))
            if allowed < total:
                self.short(
                    f"unimax {stage.weights.unimax} allows {int(allowed):,} draws and {total:,} are asked for", ""
                )
            return
        if limit is None:
            return
        short = [part for part, count in enumerate(counts) if count > sizes[part] * limit]
        if not short:
            return
        needed = max(-(-counts[part] // max(sizes[part], 1)) for part in short)
        most = _most_draws(weights, [size * limit for size in sizes])
        worst = max(short, key=lambda part: (counts[part] - sizes[part] * limit, names[part]))
        self.short(
            f"source `{names[worst]}` is to be drawn {counts[worst]:,} times and has "
            f"{sizes[worst]:,} samples{f', each at most {limit} times' if limit > 1 else ''}",
            f"repeat samples with `repeat: {{max: {needed}}}`, or draw less with `draws: {{count: {most}}}`",
        )

    def short(self, headline: str, way_out: str) -> None:
        span = self.checked.span(*self.node.at, "draws" if self.stage.draws else "mix")
        self.findings.error("execute.short", f"stage `{self.stage.name}`: {headline}", span, help=way_out)

    def replays(self, num_own: int) -> list[_Source]:
        """Replayed draws, so that each share is of the whole stage, replays included."""
        stage = self.stage
        shares = {name: amount.share or Fraction(0) for name, amount in sorted(stage.replay.items())}
        fixed = sum(amount.count or 0 for amount in stage.replay.values())
        replayed = sum(shares.values(), Fraction(0))
        total = (num_own + fixed) / (1 - replayed)
        counts = apportion.apportion(round(total * replayed), list(shares.values()))
        sources = []
        for (name, share), count in zip(shares.items(), counts, strict=True):
            amount = stage.replay[name]
            draws = count if amount.count is None else amount.count
            units = self.pools.get(name)
            if units is None:
                continue
            limit = stage.repeat
            if limit is not None and draws > units.height * limit:
                span = self.checked.span(*self.node.at, "replay", name)
                self.findings.error(
                    "execute.short",
                    f"stage `{stage.name}` replays {draws:,} draws of `{name}`, which has {units.height:,} samples",
                    span,
                    help="replay less, or allow repeats with `repeat`",
                )
            requested = total * share if amount.count is None else Fraction(amount.count)
            rule = f"replay {name} in {stage.name}"
            choice = order_key(stage.seed, "replay", rule)
            sources.append(
                _Source(name=f"replay {name}", rule=rule, units=units, requested=requested, draws=draws, choice=choice)
            )
        return sources


def _most_draws(weights: list[Fraction], limits: list[int]) -> int:
    """The most draws that keep every source within its limit."""
    whole = sum(weights, Fraction(0))
    bounds = [Fraction(limit) * whole / weight for weight, limit in zip(weights, limits, strict=True) if weight > 0]
    most = int(min(bounds)) + len(weights)
    while most > 0:
        counts = apportion.apportion(most, weights)
        if all(count <= limit for count, limit in zip(counts, limits, strict=True)):
            break
        most -= 1
    return most


def _mix(sources: list[_Source], stage: nodes.Stage) -> pl.DataFrame:
    """The draws of a stage, in order."""
    sequences = [
        _sequence(source, stage).with_columns(pl.lit(number, dtype=pl.UInt32).alias("@source"))
        for number, source in enumerate(sources)
    ]
    turns = kernels.interleave(np.array([source.draws for source in sources], dtype=np.uint64))
    position = np.empty(len(turns), dtype=np.int64)
    # The n-th turn of a source takes the n-th draw of its sequence; sequences stand one after another.
    position[np.argsort(turns, kind="stable")] = np.arange(len(turns))
    return pl.concat(sequences)[position]


def _sequence(source: _Source, stage: nodes.Stage) -> pl.DataFrame:
    """The draws of one source, in its own order; a sample's next pass comes after everyone's last."""
    units = source.units
    times = np.full(units.height, -(-source.draws // max(units.height, 1)), dtype=np.int64)
    rows, turn = _repeated(times)
    uses = int(units["@use"].max() or 0) + 1 if units.height else 1  # type: ignore[arg-type]
    draws = units[rows]
    draws = draws.with_columns((pl.Series("@turn", turn) * uses + draws["@use"]).cast(pl.UInt32).alias("@pass"))
    by_hash = ["@pass", "@hash", *TIES]
    if source.draws < draws.height:
        # Who is drawn in an unfinished pass follows the order in which samples were selected, so that a selection
        # that grows pushes none of them out.
        draws = draws.with_columns(keyed(draws, source.choice)).sort(by_hash).head(source.draws)
    draws = draws.with_columns(keyed(draws, order_key(stage.seed, "order", source.rule)))
    match stage.order.kind:
        case "listed":
            draws = draws.sort(["@pass", "@row"])
        case "sort":
            draws = _sorted(draws.sort(by_hash), stage.order)
        case "shuffle":
            draws = draws.sort(by_hash)
    return draws.drop("@hash", "@use")


def _sorted(draws: pl.DataFrame, order: nodes.Order) -> pl.DataFrame:
    """Sorted by a column, ties by the keyed hash; wholly, or with windows."""
    assert order.sort is not None
    rank = pl.int_range(pl.len(), dtype=pl.UInt32).over("@pass")
    before, after = ["@pass"], ["@hash", *TIES]
    if order.window is not None:
        draws = draws.with_columns((rank // order.window).alias("@window"))
        before = ["@pass", "@window"]
    keys = [*before, order.sort, *after]
    descending = [name == order.sort and order.descending for name in keys]
    draws = draws.sort(keys, descending=descending, nulls_last=True)
    if order.shuffle_window is not None:
        draws = draws.with_columns((rank // order.shuffle_window).alias("@window"))
        draws = draws.sort(["@pass", "@window", *after])
    return draws.drop("@window", strict=False)


def _with_repeat(draws: pl.DataFrame) -> pl.DataFrame:
    """Counts the earlier draws of each sample."""
    same = ["pool", "id_high", "id_low", "occurrence"]
    return draws.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).over(same).alias("repeat"))


def check_sort_columns(selection: Selection, checked: CheckedRecipe, findings: Findings) -> None:
    """Every column that a stage sorts by is there; rows without a value are counted."""
    for number, node in enumerate(selection.stages):
        stage = node.operation
        assert isinstance(stage, nodes.Stage)
        column = stage.order.sort
        if column is None or not require_column(
            selection.frame, column, findings, checked.span(*node.at, "order", "sort")
        ):
            continue
        without = selection.frame.filter(pl.col("stage") == number)[column].null_count()
        if without:
            has, come = ("sample has", "comes") if without == 1 else ("samples have", "come")
            headline = f"{without:,} {has} no `{column}` and {come} last in `{stage.name}`"
            findings.warn("note.unsorted", headline)
