"""Manifests, plans and differences as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from recipe_compiler.manifest.schema import Manifest, Request, Share, StageRef, Step
from recipe_compiler.report.diff import Change, ManifestDiff


def table(title: str, *columns: str) -> Table:
    """A plain table: the first column is text, the others are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0, overflow="fold")
    return made


def summary(manifest: Manifest) -> RenderableType:
    """A manifest on one screen."""
    title = Text.assemble(
        (f"{manifest.name} {manifest.version or ''}".strip(), "bold"),
        f"  {manifest.draws:,} draws in {len(manifest.shards):,} shard{'s' if len(manifest.shards) != 1 else ''}, "
        f"seed {manifest.seed}",
    )
    ids = table("", "identity", "digest")
    ids.show_header = False
    for name in ("pools", "selection", "order", "manifest"):
        ids.add_row(name, getattr(manifest.ids, name)[:32])
    return Group(
        title,
        ids,
        Text(),
        _pools(manifest),
        Text(),
        funnel(manifest.funnel),
        Text(),
        stages(manifest.stages),
        *asked(manifest.requests, manifest.strata),
    )


def _pools(manifest: Manifest) -> Table:
    made = table("pools", "pool", "samples", "group", "format", "role")
    for pool in manifest.pools:
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


def stages(refs: Iterable[StageRef]) -> Table:
    """What each source of each stage was to have, and has."""
    made = table("stages", "stage", "source", "available", "requested", "realised", "positions")
    made.columns[1].justify = "left"
    for ref in refs:
        for number, share in enumerate(ref.shares):
            place = f"{ref.start:,} - {ref.start + ref.draws - 1:,}" if number == 0 and ref.draws else ""
            made.add_row(
                ref.name if number == 0 else "",
                share.name,
                f"{share.available:,}",
                exact(share.requested),
                f"{share.realised:,}",
                place,
            )
    return made


def asked(requests: Sequence[Request], strata: Sequence[Share]) -> list[RenderableType]:
    """What the selection asked for, beside what came of it."""
    made: list[RenderableType] = []
    if requests:
        wanted = table("selection", "rule", "requested", "realised", "unit")
        for request in requests:
            wanted.add_row(request.what, request.requested, f"{request.realised:,}", request.unit)
        made += [Text(), wanted]
    if strata:
        shares = table("strata", "stratum", "available", "requested", "realised")
        for share in strata:
            shares.add_row(share.name, f"{share.available:,}", exact(share.requested), f"{share.realised:,}")
        made += [Text(), shares]
    return made


def difference(found: ManifestDiff) -> RenderableType:
    """A difference on one screen."""
    head = Text.assemble((found.before, "bold"), "  ->  ", (found.after, "bold"))
    if found.is_empty:
        return Group(head, Text("the same manifest"))
    changed = Text(f"changed: {', '.join(found.changed_identities)}")
    same = [name for name in ("pools", "selection", "order") if name not in found.changed_identities]
    if same:
        changed.append(f"; the same: {', '.join(same)}")
    counts = table("samples", "", "before", "after")
    counts.add_row("draws", f"{found.draws_before:,}", f"{found.draws_after:,}")
    counts.add_row("samples", f"{found.samples_before:,}", f"{found.samples_after:,}")
    moves = table("changes", "", "samples")
    for name, number in (
        ("added", found.added),
        ("removed", found.removed),
        ("kept", found.kept),
        ("  in another order", found.moved),
        ("  in another stage", found.restaged),
        ("  drawn more or less often", found.repeats_changed),
    ):
        moves.add_row(name, f"{number:,}")
    parts: list[RenderableType] = [head, changed, Text(), counts, Text(), moves]
    contents = [pool for pool in found.pool_contents if not pool.same]
    if contents:
        made = table("pool contents", "pool", "samples before", "samples after")
        for pool in contents:
            before, after = (
                "-" if number is None else f"{number:,}" for number in (pool.samples_before, pool.samples_after)
            )
            made.add_row(pool.name, before, after)
        parts += [Text(), made]
    for title, changes in (("pools", found.pools), ("groups", found.groups), ("stages", found.stages)):
        parts += [Text(), _changes(title, changes)]
    return Group(*parts)


def _changes(title: str, changes: Sequence[Change]) -> Table:
    made = table(title, title.removesuffix("s"), "draws before", "draws after", "change", "added", "removed")
    for change in changes:
        delta = change.draws_after - change.draws_before
        made.add_row(
            change.name,
            f"{change.draws_before:,}",
            f"{change.draws_after:,}",
            f"{delta:+,}" if delta else "",
            f"{change.added:,}" if change.added else "",
            f"{change.removed:,}" if change.removed else "",
        )
    return made
