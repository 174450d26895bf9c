"""Manifests, plans and differences as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from recipe_compiler.manifest.schema import Manifest, Optimum, Request, Share, StageRef, Step, Units


def table(title: str, *columns: str) -> Table:
    """A plain table: the first column is text, the others are numbers."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim"
    )
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0, overflow="fold")
    return made


def counted(number: int, noun: str) -> str:
    """`1 sample`, `2 samples`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summary(manifest: Manifest) -> RenderableType:
    """A manifest on one screen."""
    title = Text.assemble(
        (f"{manifest.name} {manifest.version or ''}".strip(), "bold"),
        f"  {manifest.draws:,} draws in {len(manifest.shards):,} shard{'s' if len(manifest.shards) != 1 else ''}, "
        f"seed {manifest.seed}",
    )
    after = manifest.after
    head = [title]
    if after is not None:
        head.append(Text(f"goes on after {after.position:,} draws of manifest {after.manifest[:32]}"))
    if manifest.units is not None:
        head.append(Text(units(manifest.units)))
    if manifest.units is not None or manifest.counted is not None:
        head.append(Text(f"tokens: exact, by {manifest.counted}" if manifest.counted else "tokens: estimated"))
    ids = table("", "identity", "digest")
    ids.show_header = False
    for name in ("pools", "selection", "order", "manifest"):
        ids.add_row(name, getattr(manifest.ids, name)[:32])
    return Group(
        *head,
        ids,
        Text(),
        _pools(manifest),
        Text(),
        funnel(manifest.funnel),
        Text(),
        *stages(manifest),
        *asked(manifest.requests, manifest.strata, manifest.optima),
    )


def units(found: Units) -> str:
    """`packs: 12,345 of 4,096 tokens, 99.7% full, longest draw 4,011`."""
    share = Fraction(found.tokens, max(found.room, 1))
    if found.kind == "pack":
        told = f"packs: {found.units:,} of {found.most:,} tokens, {percent(share)} full"
    else:
        padded = " padded" if found.measure == "padded" else ""
        told = f"batches: {found.units:,} of {found.most:,}{padded} tokens, {percent(1 - share)} padding"
    return f"{told}, longest draw {found.longest:,}"


def percent(share: Fraction) -> str:
    """A share with one decimal, rounded down: what is not full is not told to be."""
    tenths = int(share * 1000)
    return f"{tenths // 10}.{tenths % 10}%"


def _pools(manifest: Manifest) -> Table:
    made = table("pools", "pool", "samples", "group", "format", "role")
    for pool in manifest.own_pools:
        made.add_row(pool.name, f"{pool.samples:,}", pool.group or "-", pool.preset, pool.role)
    return made


def funnel(steps: Iterable[Step]) -> Table:
    """How many samples each step left."""
    made = table("funnel", "step", "samples", "dropped", "mostly from")
    for step in steps:
        dropped = sum(step.dropped.values())
        most = max(step.dropped.items(), key=lambda item: (item[1], item[0]), default=None)
        made.add_row(
            step.what,
            f"{sum(step.kept.values()):,}",
            f"{dropped:,}" if dropped else "",
            f"{most[0]} {most[1]:,}" if most else "",
        )
    return made


def exact(text: str) -> str:
    """A requested amount: whole, or with the fraction that could not be had."""
    value = Fraction(text)
    return f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):,.2f}"


def stages(manifest: Manifest) -> list[RenderableType]:
    """What each source of each stage was to have, and has: those of the recipe, behind those that it goes on after."""
    own = manifest.own_stages
    if manifest.after is None:
        return [_stages("stages", own, goes_on=False)]
    earlier = manifest.stages[: len(manifest.stages) - len(own)]
    return [_stages("stages before", earlier, goes_on=False), Text(), _stages("stages", own, goes_on=True)]


def _stages(title: str, refs: Iterable[StageRef], *, goes_on: bool) -> Table:
    had = ["had before"] if goes_on else []
    made = table(title, "stage", "source", "available", "requested", *had, "realised", "positions")
    made.columns[1].justify = "left"
    for ref in refs:
        for number, share in enumerate(ref.shares):
            place = f"{ref.start:,} - {ref.start + ref.draws - 1:,}" if number == 0 and ref.draws else ""
            made.add_row(
                ref.name if number == 0 else "",
                share.name,
                f"{share.available:,}",
                exact(share.requested),
                *([f"{share.earlier:,}"] if goes_on else []),
                f"{share.realised:,}",
                place,
            )
    return made


def asked(requests: Sequence[Request], strata: Sequence[Share], optima: Sequence[Optimum]) -> list[RenderableType]:
    """What rules and stages asked for, beside what came of it."""
    made: list[RenderableType] = []
    if requests:
        wanted = table("requests", "rule", "requested", "available", "realised", "unit")
        for request in requests:
            wanted.add_row(
                request.what, request.requested, f"{request.available:,}", f"{request.realised:,}", request.unit
            )
        made += [Text(), wanted]
    if strata:
        shares = table("strata", "stratum", "available", "requested", "realised")
        for share in strata:
            shares.add_row(share.name, f"{share.available:,}", exact(share.requested), f"{share.realised:,}")
        made += [Text(), shares]
    if optima:
        best = table("optimum", "utility", "realised", "proven bound")
        for optimum in optima:
            best.add_row(optimum.what, optimum.realised, optimum.bound)
        made += [Text(), best]
    return made
