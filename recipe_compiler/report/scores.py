"""Scores of runs as tables for a terminal and as Markdown, from the plain JSON that the runtime gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from recipe_compiler.report.tables import table

Cells = Sequence[Sequence[str]]


def scores(document: Mapping[str, Any]) -> list[tuple[str, Cells]]:
    """The tables of one run, as (title, rows of cells), the first row being the head."""
    head = ("", "metric", "samples", "score", "95% interval", "malformed", "empty", "unscored")
    parts: list[tuple[str, Cells]] = []
    for level, rows in _by_level(document["rows"]):
        cells = [
            (
                row["name"],
                ", ".join(row["metrics"]) or "-",
                f"{row['samples']:,}",
                _percent(row["score"]),
                _between(row["low"], row["high"]),
                f"{row['malformed']:,}",
                f"{row['empty']:,}",
                f"{row['unscored']:,}",
            )
            for row in rows
        ]
        parts.append((level, [head, *cells]))
    figures = [
        (row["name"], name.replace("_", " "), _percent(value))
        for row in document["rows"]
        for name, value in row.get("figures", {}).items()
    ]
    if figures:
        parts.append(("yes or no", [("", "figure", "value"), *figures]))
    return parts


def contrast(document: Mapping[str, Any]) -> list[tuple[str, Cells]]:
    """The tables of runs side by side. Differences are to the first run, in points."""
    parts: list[tuple[str, Cells]] = []
    for level, rows in _by_level(document["rows"]):
        cells: list[Sequence[str]] = [("", "run", "samples", "score", "95% interval", "difference", "95% interval")]
        for row in rows:
            for number, entry in enumerate(row["runs"]):
                first = number == 0
                cells.append(
                    (
                        row["name"] if first else "",
                        entry["run"],
                        f"{row['samples']:,}" if first else "",
                        _percent(entry["score"]),
                        _between(entry["low"], entry["high"]),
                        "" if first else f"{100 * entry['difference']:+.2f}",
                        "" if first else _between(entry["difference_low"], entry["difference_high"], "+"),
                    )
                )
        parts.append((level, cells))
    summaries = document["summaries"]
    if any("of_full" in summary or "above_random" in summary for summary in summaries):
        cells = [("", "/FULL", "95% interval", ">Random")]
        for summary in summaries:
            above = summary.get("above_random")
            cells.append(
                (
                    summary["run"],
                    _percent(summary.get("of_full")),
                    _between(summary.get("of_full_low"), summary.get("of_full_high")),
                    "-" if above is None else f"{above}/{summary['benchmarks']}",
                )
            )
        parts.append(("summary", cells))
    if "curve" in document:
        cells = [("", "target", "samples to match", "reference", "reduction")]
        for match in document["curve"]:
            reached = match["samples_to_match"] is not None
            cells.append(
                (
                    match["benchmark"],
                    _percent(match["target"]),
                    f"{match['samples_to_match']:,.0f}" if reached else "not reached",
                    f"{match['reference_samples']:,}",
                    f"{match['reduction']:.1f}x" if match["reduction"] is not None else "-",
                )
            )
        parts.append(("samples to match", cells))
    return parts


def shown(parts: Iterable[tuple[str, Cells]]) -> RenderableType:
    """For a terminal."""
    lines: list[RenderableType] = []
    for title, (head, *rows) in parts:
        made = table(title, *head)
        made.columns[1].justify = "left"
        for row in rows:
            made.add_row(*row)
        lines += [made, Text()]
    return Group(*lines[:-1])


def markdown(parts: Iterable[tuple[str, Cells]]) -> str:
    """For a pull request or a page."""
    lines: list[str] = []
    for title, (head, *rows) in parts:
        lines += [f"### {title}", "", _line(head), _line(["---", *["---:"] * (len(head) - 1)])]
        lines += [*(_line(row) for row in rows), ""]
    return "\n".join(lines).rstrip("\n")


def _by_level(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    levels: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        levels.setdefault(row["level"], []).append(row)
    return list(levels.items())


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _between(low: float | None, high: float | None, sign: str = "") -> str:
    return "-" if low is None or high is None else f"{100 * low:{sign}.2f} to {100 * high:{sign}.2f}"
