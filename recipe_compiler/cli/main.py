"""`recipe`: the argument tree, and the last handler of anything that goes wrong."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import click

from recipe_compiler import __version__
from recipe_compiler.cli import commands, process
from recipe_compiler.errors import RecipeError

OK: Final = 0
WRONG_INPUT: Final = 1
OUR_BUG: Final = 2
STOPPED: Final = 130


class _Commands(Mapping[str, click.Command]):
    """The commands by name. One is imported when it is asked for, since each brings libraries of its own."""

    def __getitem__(self, name: str) -> click.Command:
        file, function = commands.ALL[name]
        command: click.Command = getattr(importlib.import_module(f"recipe_compiler.cli.commands.{file}"), function)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(commands.ALL)

    def __len__(self) -> int:
        return len(commands.ALL)


@click.group(commands=_Commands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="recipe")
def recipe() -> None:
    """Compile data recipes for vision-language fine-tuning into exact, content-addressed manifests.

    \b
    Start with:
      recipe init                  write a first recipe for the data in this folder
      recipe plan recipe.yaml      see what it would do
      recipe compile recipe.yaml   do it
    """


def main() -> NoReturn:
    """Runs the command of this process and exits."""
    process.begin_short()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs a command: 0 fine, 1 the input is wrong, 2 our bug, 3 something changed."""
    try:
        result: Any = recipe.main(args=arguments, prog_name="recipe", standalone_mode=False)
        return result if isinstance(result, int) else OK
    except RecipeError as error:
        click.echo(f"error: {error}", err=True)
        return WRONG_INPUT
    except click.ClickException as error:
        error.show()
        return WRONG_INPUT
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("stopped; nothing is left half-written", err=True)
        return STOPPED
    except BrokenPipeError:
        # The reader of our output went away, as in `recipe show | head`.
        sys.stderr.close()
        return OK
    except MemoryError:
        click.echo("error: there is not enough memory on this machine for this; nothing is left half-written", err=True)
        return WRONG_INPUT
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {place}{error.strerror or error}; nothing is left half-written", err=True)
        return WRONG_INPUT
    except Exception:  # noqa: BLE001 - the last handler
        import traceback

        click.echo(f"recipe {__version__} failed; this is a bug in recipe, not in your recipe:", err=True)
        traceback.print_exc()
        return OUR_BUG
