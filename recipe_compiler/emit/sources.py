"""How many draws each source of a stage gets: the values of the column it is mixed by, and the stages it replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from recipe_compiler.diagnostics import Findings, Span
from recipe_compiler.emit import course
from recipe_compiler.emit.uses import Source, Uses, places_of
from recipe_compiler.execute import apportion, frames
from recipe_compiler.execute.expressions import require_column
from recipe_compiler.execute.weights import Tables, weigh
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes

#: All draws of a stage are put in order in memory.
MOST_DRAWS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The sources of a stage, and the draws of each in every block that is mixed by itself, one block after another."""

    sources: list[Source]
    blocks: list[list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Division:
    """Weights of own sources, as shares of the stage's own draws: at the start, at the end, and how they move."""

    start: list[Fraction]
    end: list[Fraction]
    course: nodes.Course | None

    def blocks(self, own: int, replayed: Sequence[int]) -> tuple[list[Fraction], list[list[int]]]:
        """(what each own source should have, draws of each source in each block) with these replays among the draws."""
        if self.course is None:
            return [own * share for share in self.start], [[*apportion.apportion(own, self.start), *replayed]]
        total = own + sum(replayed)
        ends, gone = course.progress(total, self.course.blocks, self.course.shape)
        moving = course.integrals(self.start, self.end, ends, gone)
        ideal = [[value * own / total for value in values] for values in moving]
        ideal += [[Fraction(count * border, total) for border in ends] for count in replayed]
        return [values[-1] for values in ideal[: len(moving)]], course.block_counts(ideal, ends)


class StagePlanner:
    """Decides how many draws each source of one stage gets in an epoch."""

    def __init__(
        self,
        stage: nodes.Stage,
        node: nodes.Node,
        frame: pl.DataFrame,
        own: Uses,
        pools: Mapping[str, Uses],
        tables: Tables,
        checked: CheckedRecipe,
        findings: Findings,
    ) -> None:
        self.stage = stage
        self.node = node
        self.frame = frame
        self.own = own
        self.pools = pools
        self.tables = tables
        self.checked = checked
        self.findings = findings

    def planned(self) -> Planned | None:
        """The plan, or None where the findings say why there is none."""
        total = self.own_draws()
        parts = self.parts() if total else None
        if parts is None:
            return None
        uses, names = parts
        division = self.division(names, [len(part) for part in uses], total)
        if division is None:
            return None
        replays = self.replays(total)
        whole = total + sum(source.draws for source in replays)
        for key in ("replay", "epochs"):
            if whole > MOST_DRAWS and not self.findings.errors:
                self.too_many(whole, self.checked.span(*self.node.at, key))
            whole *= self.stage.epochs
        if self.findings.errors:
            return None
        requested, blocks = division.blocks(total, [source.draws for source in replays])
        counts = [sum(block[source] for block in blocks) for source in range(len(names))]
        self.check_supply(names, uses, division, counts, total)
        own = [
            Source(
                name=name,
                rule=f"stage {self.stage.name}",
                uses=part,
                requested=share,
                draws=count,
                choice=("select",),
            )
            for name, part, share, count in zip(names, uses, requested, counts, strict=True)
        ]
        return Planned(sources=own + replays, blocks=blocks)

    def own_draws(self) -> int:
        """Draws of the stage's own samples; 0 where there can be none or not so many."""
        stage, own, amount = self.stage, self.own, self.stage.draws
        total = len(own)
        if amount is not None:
            total = int(len(own) * amount.share) if amount.share is not None else amount.count or 0
        span = self.checked.span(*self.node.at, "draws")
        if total == 0:
            headline = f"stage `{stage.name}`: {amount} of {len(own):,} samples is not one draw"
            self.findings.error("execute.short", headline, span, help="ask for more, or leave the stage out")
        if total > MOST_DRAWS:
            self.too_many(total, span)
            return 0
        return total

    def parts(self) -> tuple[list[Uses], list[str]] | None:
        """The uses of each own source, and their names."""
        stage, own = self.stage, self.own
        if stage.by is None:
            return [own], [stage.name]
        if not require_column(self.frame, stage.by, self.findings, self.checked.span(*self.node.at, "mix", "by")):
            return None
        numbers, names = frames.numbered(self.frame[stage.by].gather(own.rows))
        return [own[places] for places in places_of(numbers, len(names))], names

    def division(self, names: list[str], sizes: list[int], total: int) -> _Division | None:
        """The weights of the own sources."""
        weights = self.stage.weights
        at = (*self.node.at, "mix", "weights")
        if isinstance(weights, nodes.Weights):
            shares = self.shares(weights, names, sizes, total, self.checked.span(*at))
            return None if shares is None else _Division(start=shares, end=shares, course=None)
        start = self.shares(weights.start, names, sizes, total, self.checked.span(*at, "from"))
        end = self.shares(weights.end, names, sizes, total, self.checked.span(*at, "to"))
        return None if start is None or end is None else _Division(start=start, end=end, course=weights)

    def shares(
        self, weights: nodes.Weights, names: list[str], sizes: list[int], total: int, span: Span
    ) -> list[Fraction] | None:
        """Weights as shares that add up to 1."""
        weighed = weigh(weights, names, sizes, total, self.findings, span, self.tables)
        whole = sum(weighed, Fraction(0))
        if whole <= 0:
            headline = f"stage `{self.stage.name}` gives no source any weight"
            self.findings.error("execute.weights", headline, span)
            return None
        if weights.kind == "unimax" and whole < total and self.stage.weights is weights:
            headline = f"unimax {weights.unimax} allows {int(whole):,} draws and {total:,} are asked for"
            self.short(headline, "")
        return [weight / whole for weight in weighed]

    def check_supply(
        self, names: list[str], uses: list[Uses], division: _Division, counts: list[int], total: int
    ) -> None:
        """A source is not drawn more often than its samples may repeat; the way out is computed, not guessed."""
        stage = self.stage
        limit = stage.repeat
        if limit is None or (isinstance(stage.weights, nodes.Weights) and stage.weights.kind == "unimax"):
            return
        sizes = [len(part) for part in uses]
        short = [part for part, count in enumerate(counts) if count > sizes[part] * limit]
        if not short:
            return
        needed = max(-(-counts[part] // max(sizes[part], 1)) for part in short)
        most = _most_draws(stage, division, [size * limit for size in sizes], total)
        worst = max(short, key=lambda part: (counts[part] - sizes[part] * limit, names[part]))
        self.short(
            f"source `{names[worst]}` is to be drawn {counts[worst]:,} times and has "
            f"{sizes[worst]:,} samples{f', each at most {limit} times' if limit > 1 else ''}",
            f"repeat samples with `repeat: {{max: {needed}}}`, or draw less with `draws: {{count: {most}}}`",
        )

    def too_many(self, total: int, span: Span) -> None:
        """More draws than a stage can have."""
        headline = f"stage `{self.stage.name}` asks for {total:,} draws; {MOST_DRAWS:,} is the most there can be"
        self.findings.error("execute.too-many", headline, span)

    def short(self, headline: str, way_out: str) -> None:
        """Fewer samples than the stage asks for."""
        span = self.checked.span(*self.node.at, "draws" if self.stage.draws else "mix")
        self.findings.error("execute.short", f"stage `{self.stage.name}`: {headline}", span, help=way_out)

    def replays(self, num_own: int) -> list[Source]:
        """Replayed draws, beside so many of the stage's own."""
        stage = self.stage
        sources = []
        for name, (requested, draws) in _replayed(stage, num_own).items():
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
            rule = f"replay {name} in {stage.name}"
            choice = ("replay", rule)
            sources.append(
                Source(name=f"replay {name}", rule=rule, uses=uses, requested=requested, draws=draws, choice=choice)
            )
        return sources


def _replayed(stage: nodes.Stage, num_own: int) -> dict[str, tuple[Fraction, int]]:
    """What each replay should have and its draws, so that each share is of the whole stage, replays included."""
    shares = {name: amount.share or Fraction(0) for name, amount in sorted(stage.replay.items())}
    fixed = sum(amount.count or 0 for amount in stage.replay.values())
    replayed = sum(shares.values(), Fraction(0))
    total = (num_own + fixed) / (1 - replayed)
    counts = apportion.apportion(round(total * replayed), list(shares.values()))
    found = {}
    for (name, share), count in zip(shares.items(), counts, strict=True):
        given = stage.replay[name].count
        found[name] = (total * share, count) if given is None else (Fraction(given), given)
    return found


def _most_draws(stage: nodes.Stage, division: _Division, limits: list[int], total: int) -> int:
    """The most own draws, below `total`, that keep every source within its limit."""

    def blocks(draws: int) -> tuple[list[Fraction], list[list[int]]]:
        return division.blocks(draws, [count for _, count in _replayed(stage, draws).values()])

    requested, _ = blocks(total)
    bounds = [Fraction(limit) * total / share for share, limit in zip(requested, limits, strict=True) if share > 0]
    most = min(int(min(bounds)) + len(limits), total - 1)
    while most > 0:
        _, found = blocks(most)
        if all(sum(block[part] for block in found) <= limit for part, limit in enumerate(limits)):
            break
        most -= 1
    return most
