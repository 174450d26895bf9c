"""All that the command says. The only room of the terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click

from recipe_compiler.diagnostics import Diagnostic
from recipe_compiler.resolve.workspace import Progress as Report

# What draws tables and bars takes half as long to import as a whole `recipe check`, which needs neither.
if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, ProgressColumn

OutputFormat: TypeAlias = Literal["text", "json", "md", "concise"]

#: Where there is no terminal to ask, tables are this wide, so that what is piped is the same everywhere.
_PIPE_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Voice:
    """How this run speaks: in which format, and whether it talks at all."""

    format: OutputFormat
    quiet: bool

    def show(self, shown: RenderableType, document: Any, *, of_many: bool = False) -> None:
        """The data asked for, to stdout: a table for people, JSON for programs, a line each where it is one of many."""
        if self.format == "json":
            click.echo(json.dumps(document, indent=None if of_many else 2, ensure_ascii=False))
        elif isinstance(shown, str):
            click.echo(shown)
        else:
            from rich.console import Console

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

    def fail(self, message: str) -> None:
        """What went wrong, to stderr, also of a quiet run; as JSON it is told as diagnostics are."""
        if self.format == "json":
            from recipe_compiler.diagnostics import render

            click.echo(render.failure_as_json(message), nl=False, err=True)
        else:
            click.echo(f"error: {message}", err=True)

    def diagnose(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Diagnostics, to stderr; as JSON they are data. Quiet runs still tell errors."""
        told = [found for found in diagnostics if found.severity == "error" or not self.quiet]
        told.sort(key=lambda found: (found.span is None, found.span.start if found.span else 0))
        if not told:
            return
        from recipe_compiler.diagnostics import render

        if self.format == "json":
            click.echo(render.as_json(told), nl=False, err=True)
        elif self.format == "concise":
            click.echo(render.concise(told), nl=False, err=True)
        else:
            click.echo(render.full(told, colour=_colour()), err=True)

    @contextmanager
    def progress(self, *, of_bytes: bool = True) -> Iterator[Report]:
        """A bar on stderr for work on bytes, or on other things that are counted, where somebody watches."""
        if self.quiet or not (console := _terminal()):
            yield lambda _what, _done, _total: None
            return
        from rich.progress import DownloadColumn, MofNCompleteColumn

        with _bar(console, DownloadColumn() if of_bytes else MofNCompleteColumn()) as bar:
            yield _reporter(bar)

    @contextmanager
    def steps(self) -> Iterator[Callable[[int, int, float], None]]:
        """A bar on stderr for steps of training, with the last loss, where somebody watches."""
        if self.quiet or not (console := _terminal()):
            yield lambda _done, _total, _loss: None
            return
        from rich.progress import MofNCompleteColumn, TimeRemainingColumn

        with _bar(console, MofNCompleteColumn(), TimeRemainingColumn()) as bar:
            task = bar.add_task("train", total=None)
            yield lambda done, total, loss: bar.update(
                task, completed=done, total=total, description=f"train, loss {loss:.3f}"
            )


def _terminal() -> Console | None:
    """Where somebody watches stderr, or the environment says so."""
    if not sys.stderr.isatty() and not any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE")):
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return console if console.is_terminal else None


def _bar(console: Console, *columns: ProgressColumn) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=console, transient=True)


def _reporter(bar: Progress) -> Callable[[str, int, int], None]:
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done, total=total)

    return report


def _colour() -> bool:
    console = _terminal()
    return console is not None and console.color_system is not None and not console.no_color
