"""What changed: `diff`, and `plan --against`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import CACHE, ROOT, at_hand, complete_files, speaking
from recipe_compiler.errors import DataError
from recipe_compiler.remote.address import is_remote
from recipe_compiler.resolve.workspace import Workspace

if TYPE_CHECKING:
    from recipe_compiler.review.compare import Compiled

CHANGED = 3

BY = click.option(
    "--by", "columns", multiple=True, metavar="COLUMN", help="Show the drift of this column, too; may be given again."
)


@click.command()
@click.argument("before", shell_complete=complete_files)
@click.argument("after", shell_complete=complete_files)
@click.option("--exit-code", is_flag=True, help="Exit with 3 if the two differ.")
@BY
@ROOT
@CACHE
@speaking("text", "json", "md", "concise")
def diff(
    before: str,
    after: str,
    columns: tuple[str, ...],
    root: Path | None,
    cache: Path | None,
    *,
    exit_code: bool,
    voice: Voice,
) -> int:
    """Show what changed between two manifests or recipes, and which line or pool content is responsible.

    BEFORE and AFTER are each a manifest, a recipe, or REV:recipe.yaml in git (compiled from its lock, if it has one).
    Nothing is written but the cache.

    \b
    Examples:
      recipe diff releases/1.3 releases/1.4
      recipe diff HEAD~1:recipe.yaml recipe.yaml
      recipe diff releases/1.4 recipe.yaml --by difficulty --format md
    """
    from recipe_compiler.review.compare import compile_sides

    before, after = (str(at_hand(side, root, cache)) if is_remote(side) else side for side in (before, after))
    with voice.progress() as progress:
        place = Workspace(root=(home := _home(after, root)), cache=cache or home / ".recipe", progress=progress)
        old, new = compile_sides(before, after, place)
    return show_difference(old, new, columns, exit_code=exit_code, voice=voice)


def show_difference(
    before: Compiled, after: Compiled, columns: tuple[str, ...], *, exit_code: bool, voice: Voice
) -> int:
    """Says how two sides differ; 3 where they do and the exit code is asked for."""
    for side in (before, after):
        if side.remark:
            voice.say(side.remark)
    # The other side is what it is; what is worth knowing is about the one that is still being written.
    voice.diagnose(after.warnings)
    from recipe_compiler.report.diff import document
    from recipe_compiler.report.difference import markdown, text
    from recipe_compiler.review.compare import compare

    found = compare(before, after, columns)
    voice.show(markdown(found) if voice.format == "md" else text(found), document(found))
    return CHANGED if exit_code and not found.is_empty else 0


def _home(name: str, root: Path | None) -> Path:
    """The folder that paths are relative to: that of a recipe, or the one a manifest's files lie in."""
    if root is not None:
        return root
    path = Path(name)
    if path.is_dir():
        from recipe_compiler.manifest import store

        try:
            return store.find_root(path, store.read(path))
        except DataError:
            # Without the data, two manifests can still be compared: by what they say.
            return path.parent
    return Path(name.partition(":")[2]).parent if not path.exists() and ":" in name else path.parent
