"""Diagnostics as text for people, one line each, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from recipe_compiler.diagnostics.diagnostic import Diagnostic, Edit, Place
from recipe_compiler.diagnostics.span import Span

_COLOURS = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "place": "\x1b[1;34m",
    "help": "\x1b[1;36m",
    "gone": "\x1b[31m",
    "new": "\x1b[32m",
}
_LONGEST = 160

_Paint = Callable[[str, str], str]


def full(diagnostics: Sequence[Diagnostic], *, colour: bool) -> str:
    """The form of rustc: headline, the lines with carets below, notes, help and the mended line."""

    def paint(text: str, kind: str) -> str:
        return f"{_COLOURS[kind]}{text}\x1b[0m" if colour else text

    return "\n".join("".join(f"{line}\n" for line in _full(found, paint)) for found in diagnostics)


def concise(diagnostics: Sequence[Diagnostic]) -> str:
    """One line each: place, severity, code, headline."""
    lines = []
    for diagnostic in diagnostics:
        place = f"{diagnostic.span}: " if diagnostic.span else ""
        lines.append(f"{place}{diagnostic.severity}[{diagnostic.code}] {diagnostic.headline}\n")
        for record in diagnostic.records:
            where = f"{record.file}: record {record.record:,}, byte {record.offset:,}"
            lines.append(f"{where}: {diagnostic.severity}[{diagnostic.code}] {record.reason}\n")
    return "".join(lines)


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """A JSON list of objects."""
    return json.dumps([_document(diagnostic) for diagnostic in diagnostics], indent=2, ensure_ascii=False) + "\n"


def failure_as_json(headline: str) -> str:
    """An error that is no diagnostic, in the form of a list of one."""
    nowhere: dict[str, Any] = {"place": None, "places": [], "records": [], "notes": [], "help": None, "mended": None}
    told = {"code": None, "severity": "error", "headline": headline, **nowhere}
    return json.dumps([told], indent=2, ensure_ascii=False) + "\n"


def _document(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "headline": diagnostic.headline,
        "place": None if diagnostic.span is None else _place(diagnostic.span, diagnostic.label),
        "places": [_place(place.span, place.label) for place in diagnostic.places],
        "records": [
            {"file": record.file, "record": record.record, "offset": record.offset, "reason": record.reason}
            for record in diagnostic.records
        ],
        "notes": list(diagnostic.notes),
        "help": diagnostic.help or None,
        "mended": None if diagnostic.mended is None else _mended(diagnostic.mended),
    }


def _place(span: Span, label: str) -> dict[str, Any]:
    line, column = span.source.position(span.end)
    document = {"file": span.source.name, "line": span.line, "column": span.column}
    return {**document, "end_line": line, "end_column": column, "label": label or None}


def _mended(edit: Edit) -> dict[str, Any]:
    before, after = _before_and_after(edit)
    return {**_place(edit.span, ""), "text": edit.text, "before": before, "after": after}


def _before_and_after(edit: Edit) -> tuple[str, str]:
    """The line that an edit changes, and what it becomes."""
    line = edit.span.source.line(edit.span.line)
    start = edit.span.column - 1
    return line, line[:start] + edit.text + line[start + edit.span.end - edit.span.start :]


def _full(diagnostic: Diagnostic, paint: _Paint) -> Iterator[str]:
    """The lines of a diagnostic."""
    yield f"{paint(f'{diagnostic.severity}[{diagnostic.code}]', diagnostic.severity)}: {diagnostic.headline}"
    marks = [] if diagnostic.span is None else [Place(diagnostic.span, diagnostic.label)]
    lines = [mark.span.line for mark in (*marks, *diagnostic.places)]
    lines += [] if diagnostic.mended is None else [diagnostic.mended.span.line]
    margin = " " * len(str(max(lines, default=1)))
    bar = f"{margin} {paint('|', 'place')}"
    if diagnostic.span is not None:
        yield from _snippets(diagnostic, marks[0], margin, paint)
    for record in diagnostic.records:
        yield f"{margin}{paint(':::', 'place')} {record.file}: record {record.record:,}, byte {record.offset:,}"
        yield bar
        yield f"{bar} {_cut(record.excerpt)}"
        yield f"{bar} {paint(record.reason, diagnostic.severity)}"
    for note in diagnostic.notes:
        yield f"{margin} {paint('=', 'place')} {note}"
    if diagnostic.help:
        yield f"{margin} {paint('=', 'place')} {paint('help:', 'help')} {diagnostic.help}"
    if diagnostic.mended is not None:
        before, after = _before_and_after(diagnostic.mended)
        number = str(diagnostic.mended.span.line).rjust(len(margin))
        yield bar
        yield f"{paint(number, 'place')} {paint('-', 'gone')} {_cut(before)}"
        yield f"{paint(number, 'place')} {paint('+', 'new')} {_cut(after)}"


def _snippets(diagnostic: Diagnostic, first: Place, margin: str, paint: _Paint) -> Iterator[str]:
    """The lines of the recipe that a diagnostic is about, its own file first, each with its marks below."""
    bar = f"{margin} {paint('|', 'place')}"
    own = first.span.source.name
    marks = sorted(
        [(first, "^", diagnostic.severity), *((place, "-", "place") for place in diagnostic.places)],
        key=lambda mark: (mark[0].span.source.name != own, mark[0].span.source.name, mark[0].span.start),
    )
    for file, in_file in groupby(marks, key=lambda mark: mark[0].span.source.name):
        marked = list(in_file)
        head = (
            f"{paint('-->', 'place')} {first.span}" if file == own else f"{paint(':::', 'place')} {marked[0][0].span}"
        )
        yield f"{margin}{head}"
        yield bar
        last = None
        for line, on_line in groupby(marked, key=lambda mark: mark[0].span.line):
            if last is not None and line > last + 1:
                yield paint("...", "place")
            last = line
            for number, (place, sign, kind) in enumerate(on_line):
                shown, start, length = _line(place.span)
                if number == 0:
                    yield f"{paint(str(line).rjust(len(margin)), 'place')} {paint('|', 'place')} {shown}"
                yield f"{bar} {' ' * start}{paint(f'{sign * length} {place.label}'.rstrip(), kind)}"


def _line(span: Span) -> tuple[str, int, int]:
    """(the line, where the mark below it starts, its length), cut so that the mark is seen."""
    line = span.source.line(span.line).replace("\t", " ")
    start = span.column - 1
    length = max(1, min(span.end - span.start, len(line) - start))
    if len(line) > _LONGEST:
        cut = max(0, start - _LONGEST // 2)
        line, start = line[cut : cut + _LONGEST], start - cut
        length = min(length, max(1, len(line) - start))
    return line, start, length


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
