"""Options that several commands share, and the voice each command is given. The only room of argv's shape."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from recipe_compiler.cli import process
from recipe_compiler.cli.console import OutputFormat, Voice
from recipe_compiler.diagnostics import Rejected
from recipe_compiler.errors import RecipeError
from recipe_compiler.remote.address import is_remote, refusal
from recipe_compiler.resolve.workspace import Workspace

if TYPE_CHECKING:
    from recipe_compiler.manifest.prefix import Prefix


def complete_files(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Has the shell complete file names where an argument may be one among other things."""
    return [CompletionItem(typed, type="file")]


class _Place(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions alone
    """A folder, or the URL of one."""

    name = "path"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Path | str:
        """A path, or a URL as it was written."""
        if not isinstance(value, str) or not is_remote(value):
            return Path(value)
        refused = refusal(value)
        if refused is not None:
            self.fail(f"{refused.reason}; {refused.help}", parameter, context)
        return value

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Folders of this disk."""
        return [CompletionItem(incomplete, type="dir")]


RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
MANIFEST = click.argument("manifest", type=_Place())
ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that paths in the recipe are relative to.  [default: the recipe's folder]",
)
CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where indexes are kept.  [default: .recipe beside the recipe]",
)
MANIFEST_ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that paths in the manifest are relative to.  [default: the nearest above it that holds a source]",
)
MANIFEST_CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where indexes and what was fetched are kept.  [default: .recipe in the root]",
)
AFTER = click.option(
    "--after",
    metavar="MANIFEST@POSITION",
    shell_complete=complete_files,
    help="Go on from a manifest whose draws below POSITION were consumed.",
)


def prefix_of(after: str | None) -> Prefix | None:
    """The draws that `--after` names. Raises `RecipeError` where there are none, and what click says of a misuse."""
    if after is None:
        return None
    folder, _, position = after.rpartition("@")
    if not folder or not re.fullmatch("[0-9]{1,18}", position):
        example = f"{after.partition('@')[0] or 'releases/1.4'}@31200"
        raise click.UsageError(f"`--after {after}` names no position; say how many draws were consumed: `{example}`")
    from recipe_compiler.manifest.prefix import Prefix

    return Prefix.of(at_hand(folder, None, None), int(position))


def at_hand(manifest: Path | str, root: Path | None, cache: Path | None, *, shards: bool = True) -> Path:
    """The folder of a manifest on this disk; of a remote one, in the cache, with its shards if they are asked for."""
    if not is_remote(str(manifest)):
        return Path(manifest)
    from recipe_compiler.manifest.fetched import RemoteManifest
    from recipe_compiler.remote.access import Access

    home = cache or (root or Path()) / ".recipe"
    remote = RemoteManifest.open(str(manifest), home, Access(tries=4))
    return remote.bring_all() if shards else remote.folder


def speaking(*formats: OutputFormat) -> Callable[[Callable[..., int | None]], Callable[..., int]]:
    """Gives a command its `voice`, with `--format` and `--quiet`; what it rejects is told and exits with 1.

    `concise` is a form of diagnostics, for commands that have some.
    """

    def decorate(command: Callable[..., int | None]) -> Callable[..., int]:
        @click.option(
            "--format",
            "output_format",
            type=click.Choice(formats or ("text", "json")),
            default="text",
            show_default=True,
            help="The form of what is said.",
        )
        @click.option("--quiet", "-q", is_flag=True, help="Say nothing but data and errors.")
        @functools.wraps(command)
        def run(*args: Any, output_format: OutputFormat, quiet: bool, **kwargs: Any) -> int:
            voice = Voice(output_format, quiet)
            try:
                return command(*args, voice=voice, **kwargs) or 0
            except Rejected as rejected:
                voice.diagnose(rejected.findings.diagnostics)
                return 1
            except RecipeError as error:
                voice.fail(str(error))
                return 1

        return run

    return decorate


def needs(option: str, *names: str) -> None:
    """Refuses those of some parameters that stand on the command line: they mean something with an option alone."""
    context = click.get_current_context()
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)} {'goes' if len(given) == 1 else 'go'} with {option}")


@contextmanager
def workspace(recipe: Path, root: Path | None, cache: Path | None, voice: Voice) -> Iterator[Workspace]:
    """The root and the cache of a recipe, with progress on stderr."""
    with voice.progress() as progress:
        folder = recipe.parent
        yield Workspace(root=root or folder, cache=cache or folder / ".recipe", progress=progress)


@contextmanager
def manifest_workspace(manifest: Path, root: Path | None, cache: Path | None, voice: Voice) -> Iterator[Workspace]:
    """The root and the cache of what a manifest was compiled from, with progress on stderr."""
    from recipe_compiler.manifest import store

    home = root or store.find_root(manifest, store.read(manifest))
    with voice.progress() as progress:
        yield Workspace(root=home, cache=cache or home / ".recipe", progress=progress)


def runtime(what: str) -> ModuleType:
    """A module of the runtime's commands. The compiler does not import the runtime; its command line reaches it by name."""
    process.go_on_long()
    return importlib.import_module(f"runtime.commands.{what}")
