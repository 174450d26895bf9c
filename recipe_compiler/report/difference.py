"""A difference as sheets: for a terminal, or as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from recipe_compiler.report.diff import Change, ManifestDiff
from recipe_compiler.report.drift import Drift
from recipe_compiler.report.tables import counted, table, units

#: Drift below this is not shown as text; JSON holds all of it.
_SMALL = 0.0005
_MOST = 12


@dataclass(frozen=True, slots=True)
class Sheet:
    """A title, and rows of text under columns; columns whose names end in `:` hold text and the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def text(found: ManifestDiff) -> RenderableType:
    """The difference on a few screens."""
    parts: list[RenderableType] = [Text(line) for line in _head(found)]
    for sheet in _sheets(found):
        made = table("", *(column.removesuffix(":") for column in sheet.columns))
        for column, name in zip(made.columns, sheet.columns, strict=True):
            column.justify = "left" if name.endswith(":") else "right"
            column.no_wrap = not name.endswith(":")
        for row in sheet.rows:
            made.add_row(*row)
        parts += [Text(), Text(sheet.title, style="bold"), made]
    return Group(*parts)


def markdown(found: ManifestDiff) -> str:
    """The difference as Markdown."""

    def cell(text: str) -> str:
        # What comes from data is shown and not followed.
        for sign in "\\|<`@":
            text = text.replace(sign, f"\\{sign}")
        return " ".join(text.split())

    lines = [f"### {_title(found)}", "", *(f"{line}  " for line in _head(found)[1:])]
    for sheet in _sheets(found):
        lines += ["", f"**{sheet.title}**", ""]
        lines.append(f"| {' | '.join(column.removesuffix(':') for column in sheet.columns)} |")
        lines.append(f"|{'|'.join('---' if column.endswith(':') else '---:' for column in sheet.columns)}|")
        lines += [f"| {' | '.join(map(cell, row))} |" for row in sheet.rows]
    return "\n".join(lines)


def _title(found: ManifestDiff) -> str:
    return f"{found.before}  ->  {found.after}"


def _head(found: ManifestDiff) -> list[str]:
    lines = [_title(found)]
    if found.is_empty:
        lines.append("the same manifest" + ("; its recipe is written otherwise" if found.rewritten else ""))
        return lines
    same = [name for name in ("pools", "selection", "order") if name not in found.changed_identities]
    lines.append(f"changed: {', '.join(found.changed_identities)}" + (f"; the same: {', '.join(same)}" if same else ""))
    lines.append(
        f"{counted(found.added, 'sample')} added, {found.removed:,} removed, {found.kept:,} kept"
        f" (of these {found.moved:,} in another order, {found.restaged:,} in another stage,"
        f" {found.repeats_changed:,} drawn more or less often)"
    )
    if found.units_before != found.units_after:
        was, now = (units(side) if side is not None else "none" for side in (found.units_before, found.units_after))
        lines.append(f"packing changed: {was} -> {now}")
    version = f" ({found.bump.version})" if found.bump.version else ""
    lines.append(f"suggested version: {found.bump.part}{version}, for {found.bump.reason}")
    if found.unexplained:
        lines.append(f"why samples came and went is not known: {found.unexplained}")
    return lines


def _sheets(found: ManifestDiff) -> Iterator[Sheet]:
    if found.is_empty:
        return
    if found.settings:
        rows: list[Sequence[str]] = [
            (
                setting.name,
                setting.before if setting.before is not None else "-",
                setting.after if setting.after is not None else "-",
                setting.line_after or setting.line_before or "",
            )
            for setting in found.settings
        ]
        yield Sheet("recipe", ("setting:", "before:", "after:", "line:"), rows)
    contents = [pool for pool in found.pool_contents if not pool.same]
    if contents:
        rows = [
            (
                pool.name,
                "-" if pool.samples_before is None else f"{pool.samples_before:,}",
                "-" if pool.samples_after is None else f"{pool.samples_after:,}",
                "; ".join([*pool.files[:3], *([f"and {len(pool.files) - 3:,} more"] if len(pool.files) > 3 else [])]),
            )
            for pool in contents
        ]
        yield Sheet("pool contents", ("pool:", "samples before", "samples after", "files:"), rows)
    if found.causes:
        rows = [
            (
                f"[{cause.number}]",
                f"{cause.samples if cause.effect == 'added' else -cause.samples:+,}",
                cause.because,
                ", ".join(f"{pool} {samples:,}" for pool, samples in _largest(cause.pools)),
                cause.line,
            )
            for cause in found.causes
        ]
        yield Sheet("why samples came and went", ("", "samples", "because:", "mostly in:", "line:"), rows)
    yield Sheet(
        "draws",
        ("", "before", "after", "change"),
        [("draws", f"{found.draws_before:,}", f"{found.draws_after:,}", _delta(found.draws_before, found.draws_after))],
    )
    for label, changes in found.counts.items():
        if (len(changes) > 1 or label in ("pool", "stage")) and any(map(_is_change, changes)):
            yield _counts(label, changes)
    drifts = [drift for drift in found.drift if drift.distance >= _SMALL and drift.column not in found.counts]
    for drift in drifts:
        yield _drift(drift)


def _largest(counts: object, most: int = 3) -> list[tuple[str, int]]:
    assert isinstance(counts, dict)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]


def _delta(before: int, after: int) -> str:
    return f"{after - before:+,}" if after != before else ""


def _shift(before: float, after: float) -> str:
    """How a share changed, in percentage points."""
    return f"{100 * (after - before):+.1f} pp" if abs(after - before) >= _SMALL else ""


def _is_change(change: Change) -> bool:
    return change.draws_before != change.draws_after or bool(change.added or change.removed)


def _counts(label: str, changes: Sequence[Change]) -> Sheet:
    old = sum(change.draws_before for change in changes) or 1
    new = sum(change.draws_after for change in changes) or 1
    rows: list[tuple[str, ...]] = []
    for change in filter(_is_change, changes):
        rows.append(
            (
                change.name,
                f"{change.draws_before:,}",
                f"{change.draws_after:,}",
                _delta(change.draws_before, change.draws_after),
                _shift(change.draws_before / old, change.draws_after / new),
                f"{change.added:,}" if change.added else "",
                f"{change.removed:,}" if change.removed else "",
                ", ".join(f"[{number}] {samples:+,}" for number, samples in change.because.items()),
                change.line,
            )
        )
    columns: tuple[str, ...] = (
        f"{label}:",
        "draws before",
        "after",
        "change",
        "share",
        "added",
        "removed",
        "because:",
        "line:",
    )
    if not any(change.line for change in changes):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    same = len(changes) - len(rows)
    return Sheet(f"draws by {label}" + (f" ({same:,} without a change)" if same else ""), columns, rows)


def _drift(drift: Drift) -> Sheet:
    bins = sorted(drift.bins, key=lambda part: -abs(part.after - part.before))[:_MOST]
    shown = [part for part in drift.bins if part in bins]
    rows = [(part.value, f"{part.before:.1%}", f"{part.after:.1%}", _shift(part.before, part.after)) for part in shown]
    title = f"drift of {drift.column}: {drift.distance:.1%} of the draws would have to change"
    return Sheet(title, (f"{drift.column}:", "before", "after", "share"), rows)
