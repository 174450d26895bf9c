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
from recipe_compiler.diagnostics import Findings, Span
from recipe_compiler.execute import apportion, frames
from recipe_compiler.execute.expressions import require_column
from recipe_compiler.execute.run import Selection
from recipe_compiler.execute.task import order_key
from recipe_compiler.execute.watch import Watch
from recipe_compiler.execute.weights import weigh
from recipe_compiler.manifest.schema import Share, StageRef
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes

#: All draws of a stage are put in order in memory.
MOST_DRAWS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Every draw, in order: its row of the selection, `stage`, `rule` and `repeat`; the rules by number; the stages."""

    rows: kernels.U32
    stage: kernels.U32
    rule: kernels.U32
    repeat: kernels.U32
    rules: tuple[str, ...]
    stages: tuple[StageRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Uses:
    """Rows of the selection, each as often as it was selected; `use` counts a row's uses."""

    rows: kernels.U32
    use: kernels.U32

    @staticmethod
    def of(rows: kernels.U32, times: kernels.U32) -> _Uses:
        """Each of these rows, `times` times."""
        if len(times) == 0 or times.max() == 1:
            return _Uses(rows=rows, use=np.zeros(len(rows), dtype=np.uint32))
        row, use = _repeated(times)
        return _Uses(rows=rows[row], use=use)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: NDArray[np.integer]) -> _Uses:
        return _Uses(rows=self.rows[which], use=self.use[which])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The uses of samples that a source of a stage can draw, and how many draws it gets."""

    name: str
    rule: str
    uses: _Uses
    requested: Fraction
    draws: int
    choice: int
    """The key of the order in which samples are chosen where not all of them are drawn."""


def order(selection: Selection, checked: CheckedRecipe, findings: Findings, watch: Watch | None = None) -> Ordered:
    """Puts the selection in order. A `watch` is told which uses were drawn where not all were."""
    _check_sort_columns(selection, checked, findings)
    findings.stop_if_errors()
    frame, keys, times = selection.frame, selection.keys, selection.times
    taken = np.flatnonzero(times).astype(np.uint32)
    parts = _parts(selection.stage[taken].astype(np.uint32), len(selection.stages))
    by_stage = [taken] if len(parts) == 1 else [taken[places] for places in parts]
    rows: list[kernels.U32] = []
    rule: list[kernels.U32] = []
    stages: list[StageRef] = []
    rules: list[str] = []
    pools: dict[str, _Uses] = {}
    start = 0
    for node, members in zip(selection.stages, by_stage, strict=True):
        stage = node.operation
        assert isinstance(stage, nodes.Stage)
        own = pools[stage.name] = _Uses.of(members, times[members])
        sources = _StagePlanner(stage, node, frame, own, pools, checked, findings).sources()
        if findings.errors:
            continue
        if watch is not None:
            for source in sources:
                _tell_drawn(watch, node, source, frame, keys)
        sequences = [_sequence(source, stage, frame, keys) for source in sources]
        turns, drawn = _mix(sequences)
        rows.append(drawn)
        rule.append(turns + np.uint32(len(rules)))
        rules += [source.rule for source in sources]
        stages.append(
            StageRef(
                name=stage.name,
                start=start,
                draws=len(drawn),
                samples=_num_different(drawn, frame.height),
                shares=tuple(
                    Share(
                        name=source.name,
                        requested=str(source.requested),
                        available=len(source.uses),
                        realised=source.draws,
                    )
                    for source in sources
                ),
            )
        )
        start += len(drawn)
    findings.stop_if_errors()
    whole = np.concatenate(rows)
    return Ordered(
        rows=whole,
        stage=np.repeat(np.arange(len(stages), dtype=np.uint32), [stage.draws for stage in stages]),
        rule=np.concatenate(rule),
        repeat=kernels.earlier_equals(whole, frame.height),
        rules=tuple(rules),
        stages=tuple(stages),
    )


def _num_different(rows: kernels.U32, height: int) -> int:
    seen = np.zeros(height, dtype=np.bool_)
    seen[rows] = True
    return int(seen.sum())


def _repeated(times: NDArray[np.integer]) -> tuple[kernels.U32, kernels.U32]:
    """(item, turn) of each of `times[item]` copies of each item."""
    items = np.repeat(np.arange(len(times), dtype=np.uint32), times)
    return items, kernels.earlier_equals(items, len(times))


def _parts(numbers: kernels.U32, num: int) -> list[kernels.U32]:
    """The places of each number below `num`, in order."""
    if num == 1:
        return [np.arange(len(numbers), dtype=np.uint32)]
    # Sixteen bits are sorted by counting.
    small = numbers.astype(np.uint16) if num <= 1 << 16 else numbers
    places = np.argsort(small, kind="stable").astype(np.uint32)
    return np.split(places, np.cumsum(np.bincount(numbers, minlength=num))[:-1])


class _StagePlanner:
    """Decides how many draws each source of one stage gets."""

    def __init__(
        self,
        stage: nodes.Stage,
        node: nodes.Node,
        frame: pl.DataFrame,
        own: _Uses,
        pools: dict[str, _Uses],
        checked: CheckedRecipe,
        findings: Findings,
    ) -> None:
        self.stage = stage
        self.node = node
        self.frame = frame
        self.own = own
        self.pools = pools
        self.checked = checked
        self.findings = findings

    def sources(self) -> list[_Source]:
        own = self.own_sources()
        sources = own + self.replays(sum(source.draws for source in own))
        total = sum(source.draws for source in sources)
        if total > MOST_DRAWS and not self.findings.errors:
            self.too_many(total, self.checked.span(*self.node.at, "replay"))
        return sources

    def own_sources(self) -> list[_Source]:
        stage, own = self.stage, self.own
        amount = stage.draws
        total = len(own)
        if amount is not None:
            total = int(len(own) * amount.share) if amount.share is not None else amount.count or 0
        span = self.checked.span(*self.node.at, "draws")
        if total == 0:
            headline = f"stage `{stage.name}`: {amount} of {len(own):,} samples is not one draw"
            self.findings.error("execute.short", headline, span, help="ask for more, or leave the stage out")
            return []
        if total > MOST_DRAWS:
            self.too_many(total, span)
            return []
        if stage.by is None:
            parts, names = [own], [stage.name]
        else:
            at = self.checked.span(*self.node.at, "mix", "by")
            if not require_column(self.frame, stage.by, self.findings, at):
                return []
            numbers, names = frames.numbered(self.frame[stage.by].gather(own.rows))
            parts = [own[places] for places in _parts(numbers, len(names))]
        sizes = [len(part) for part in parts]
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
                uses=part,
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

    def too_many(self, total: int, span: Span) -> None:
        headline = f"stage `{self.stage.name}` asks for {total:,} draws; {MOST_DRAWS:,} is the most there can be"
        self.findings.error("execute.too-many", headline, span)

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
            uses = self.pools.get(name)
            if uses is None:
                continue
            limit = stage.repeat
            if limit is not None and draws > len(uses) * limit:
                span = self.checked.span(*self.node.at, "replay", name)
                self.findings.error(
                    "execute.short",
                    f"stage `{stage.name}` replays {draws:,} draws of `{name}`, which has {len(uses):,} samples",
                    span,
                    help="replay less, or allow repeats with `repeat`",
                )
            requested = total * share if amount.count is None else Fraction(amount.count)
            rule = f"replay {name} in {stage.name}"
            choice = order_key(stage.seed, "replay", rule)
            sources.append(
                _Source(name=f"replay {name}", rule=rule, uses=uses, requested=requested, draws=draws, choice=choice)
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


def _mix(sequences: list[kernels.U32]) -> tuple[kernels.U32, kernels.U32]:
    """(the source of each draw, its row): the n-th turn of a source takes the n-th row of its sequence."""
    counts = np.array([len(sequence) for sequence in sequences], dtype=np.uint64)
    if len(sequences) == 1:
        return np.zeros(len(sequences[0]), dtype=np.uint32), sequences[0]
    turns = kernels.interleave(counts)
    starts = (np.cumsum(counts) - counts).astype(np.int64)
    return turns, np.concatenate(sequences)[starts[turns] + kernels.earlier_equals(turns, len(sequences))]


def _sequence(source: _Source, stage: nodes.Stage, frame: pl.DataFrame, keys: kernels.Keys) -> kernels.U32:
    """The rows of one source's draws, in its own order; a sample's next pass comes after everyone's last."""
    rows, passes = _uses_drawn(source)
    if source.draws < len(rows):
        # Who is drawn in an unfinished pass follows the order in which samples were selected, so that a selection
        # that grows pushes none of them out.
        chosen = kernels.ranking(source.choice, keys, rows=rows, passes=passes)[: source.draws]
        rows, passes = rows[chosen], passes[chosen]
    if stage.order.kind == "listed":
        return rows[np.lexsort((rows, passes))]
    shuffled = kernels.ranking(order_key(stage.seed, "order", source.rule), keys, rows=rows, passes=passes)
    rows, passes = rows[shuffled], passes[shuffled]
    return rows if stage.order.kind == "shuffle" else _sorted(rows, passes, stage.order, frame)


def _uses_drawn(source: _Source) -> tuple[kernels.U32, kernels.U32]:
    """(row, pass) of every use in as many rounds as the draws need; all of one round come before any of the next."""
    uses = source.uses
    rounds = max(-(-source.draws // max(len(uses), 1)), 1)
    if rounds == 1:
        return uses.rows, uses.use
    per_round = int(uses.use.max()) + 1 if len(uses) else 1
    round_ = np.repeat(np.arange(rounds, dtype=np.uint32), len(uses))
    return np.tile(uses.rows, rounds), round_ * np.uint32(per_round) + np.tile(uses.use, rounds)


def _tell_drawn(watch: Watch, node: nodes.Node, source: _Source, frame: pl.DataFrame, keys: kernels.Keys) -> None:
    """Tells who is drawn in an unfinished pass, and who is not; of a source without draws, nobody is."""
    if source.draws == 0 or source.draws % max(len(source.uses), 1):
        rows, passes = _uses_drawn(source)
        chosen = kernels.ranking(source.choice, keys, rows=rows, passes=passes)
        watch.drawn(node, source.name, frame, rows, chosen, source.draws)


def _sorted(rows: kernels.U32, passes: kernels.U32, order: nodes.Order, frame: pl.DataFrame) -> kernels.U32:
    """Shuffled rows sorted by a column inside each pass, ties as shuffled; wholly, or with windows."""
    assert order.sort is not None
    draws = pl.DataFrame({"@pass": passes, "@row": rows, "@value": frame[order.sort].gather(rows)})
    draws = draws.with_row_index("@shuffled")
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


def _check_sort_columns(selection: Selection, checked: CheckedRecipe, findings: Findings) -> None:
    """Every column that a stage sorts by is there; rows without a value are counted."""
    for number, node in enumerate(selection.stages):
        stage = node.operation
        assert isinstance(stage, nodes.Stage)
        column = stage.order.sort
        if column is None or not require_column(
            selection.frame, column, findings, checked.span(*node.at, "order", "sort")
        ):
            continue
        missing = selection.frame[column].is_null().to_numpy()
        without = int((missing & (selection.stage == number)).sum())
        if without:
            has, come = ("sample has", "comes") if without == 1 else ("samples have", "come")
            headline = f"{without:,} {has} no `{column}` and {come} last in `{stage.name}`"
            findings.warn("note.unsorted", headline)
