"""All that the command says. The only room of the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import click
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from recipe_compiler.diagnostics import Diagnostic, render
from recipe_compiler.resolve.workspace import Progress as Report

OutputFormat: TypeAlias = Literal["text", "json", "md", "concise"]

#: Where there is no terminal to ask, tables are this wide, so that what is piped is the same everywhere.
_PIPE_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Voice:
    """How this run speaks: in which format, and whether it talks at all."""

    format: OutputFormat
    quiet: bool

    def show(self, shown: RenderableType, document: Any) -> None:
        """The data asked for, to stdout: a table for people, JSON for programs."""
        if self.format == "json":
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        elif isinstance(shown, str):
            click.echo(shown)
        else:
            watched = sys.stdout.isatty()
            # What users wrote is shown as they wrote it, brackets and all.
            console = Console(highlight=False, markup=False, emoji=False, width=None if watched else _PIPE_WIDTH)
            with console.capture() as captured:
                console.print(shown)
            lines = captured.get().rstrip("\n").split("\n")
            click.echo("\n".join(lines if watched else (line.rstrip() for line in lines)))

    def text(self, data: str) -> None:
        """Data that is text already, to stdout."""
        click.echo(data, nl=False)

    def say(self, message: str) -> None:
        """A remark, to stderr."""
        if not self.quiet:
            click.echo(message, err=True)

    def diagnose(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Diagnostics, to stderr; as JSON they are data. Quiet runs still tell errors."""
        told = [found for found in diagnostics if found.severity == "error" or not self.quiet]
        told.sort(key=lambda found: (found.span is None, found.span.start if found.span else 0))
        if not told:
            return
        if self.format == "json":
            click.echo(render.as_json(told), nl=False, err=True)
        elif self.format == "concise":
            click.echo(render.concise(told), nl=False, err=True)
        else:
            click.echo(render.full(told, colour=_colour()), err=True)

    @contextmanager
    def progress(self, *, of_bytes: bool = True) -> Iterator[Report]:
        """A bar on stderr for work on bytes, or on other things that are counted, where somebody watches."""
        console = Console(stderr=True)
        if self.quiet or not console.is_terminal:
            yield lambda _what, _done, _total: None
            return
        done = DownloadColumn() if of_bytes else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), done)
        with Progress(*columns, console=console, transient=True) as bar:
            yield _reporter(bar)

    @contextmanager
    def steps(self) -> Iterator[Callable[[int, int, float], None]]:
        """A bar on stderr for steps of training, with the last loss, where somebody watches."""
        console = Console(stderr=True)
        if self.quiet or not console.is_terminal:
            yield lambda _done, _total, _loss: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("train", total=None)
            yield lambda done, total, loss: bar.update(
                task, completed=done, total=total, description=f"train, loss {loss:.3f}"
            )


def _reporter(bar: Progress) -> Callable[[str, int, int], None]:
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done, total=total)

    return report


def _colour() -> bool:
    console = Console(stderr=True)
    return console.is_terminal and console.color_system is not None and not console.no_color
