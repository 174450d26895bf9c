"""Diagnostics as text for people, one line each, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from recipe_compiler.diagnostics.diagnostic import Diagnostic
from recipe_compiler.diagnostics.span import Span

_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "place": "\x1b[1;34m", "help": "\x1b[1;36m"}


def full(diagnostics: Sequence[Diagnostic], *, colour: bool) -> str:
    """The form of rustc: headline, the line with a caret below, notes and help."""
    return "\n".join(_full(diagnostic, colour) for diagnostic in diagnostics)


def concise(diagnostics: Sequence[Diagnostic]) -> str:
    """One line each: place, severity, code, headline."""
    lines = []
    for diagnostic in diagnostics:
        place = f"{diagnostic.span}: " if diagnostic.span else ""
        lines.append(f"{place}{diagnostic.severity}[{diagnostic.code}] {diagnostic.headline}\n")
    return "".join(lines)


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """A JSON list of objects."""
    return json.dumps([_document(diagnostic) for diagnostic in diagnostics], indent=2, ensure_ascii=False) + "\n"


def _document(diagnostic: Diagnostic) -> dict[str, object]:
    span = diagnostic.span
    place = None if span is None else {"file": span.source.name, "line": span.line, "column": span.column}
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "headline": diagnostic.headline,
        "place": place,
        "notes": list(diagnostic.notes),
        "help": diagnostic.help or None,
    }


def _full(diagnostic: Diagnostic, colour: bool) -> str:
    def paint(text: str, kind: str) -> str:
        return f"{_COLOURS[kind]}{text}\x1b[0m" if colour else text

    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity)
    lines = [f"{head}: {diagnostic.headline}"]
    width = 1
    if diagnostic.span is not None:
        span = diagnostic.span
        width = len(str(span.line))
        bar = paint("|", "place")
        lines.append(f"{' ' * width}{paint('-->', 'place')} {span}")
        lines.append(f"{' ' * width} {bar}")
        shown, caret = _line_and_caret(span)
        lines.append(f"{paint(str(span.line), 'place')} {bar} {shown}")
        marked = paint(f"{caret} {diagnostic.label}".rstrip(), diagnostic.severity)
        lines.append(f"{' ' * width} {bar} {marked}")
    for note in diagnostic.notes:
        lines.append(f"{' ' * width} {paint('=', 'place')} {note}")
    if diagnostic.help:
        lines.append(f"{' ' * width} {paint('=', 'place')} {paint('help:', 'help')} {diagnostic.help}")
    return "\n".join(lines) + "\n"


def _line_and_caret(span: Span) -> tuple[str, str]:
    longest = 160
    line = span.source.line(span.line).replace("\t", " ")
    start = span.column - 1
    length = max(1, min(span.end - span.start, len(line) - start))
    if len(line) > longest:
        cut = max(0, start - longest // 2)
        line, start = line[cut : cut + longest], start - cut
        length = min(length, max(1, len(line) - start))
    return line, " " * start + "^" * length
