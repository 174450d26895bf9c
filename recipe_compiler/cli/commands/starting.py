"""A first recipe: `init`."""

from __future__ import annotations

from pathlib import Path

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import speaking
from recipe_compiler.errors import RecipeError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path())
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The recipe.  [default: FOLDER/recipe.yaml]"
)
@click.option("--name", help="What the data mix is called.  [default: the folder's name]")
@speaking()
def init(folder: Path, out: Path | None, name: str | None, *, voice: Voice) -> None:
    """Look at the data in a folder and write a first recipe that compiles.

    \b
    Example:
      cd my-data && recipe init
    """
    from recipe_compiler import starter

    target = out or folder / "recipe.yaml"
    if target.exists():
        raise RecipeError(f"{target} is there already; name another file with `--out`")
    with voice.progress() as progress:
        survey = starter.survey(folder, cache=target.parent / ".recipe", progress=progress)
    if not survey.pools:
        reasons = "".join(f"\n  {path}: {reason}" for path, reason in survey.left_out)
        raise RecipeError(f"no data that can be read below {folder}{reasons}")
    starter.write(survey, target, name=name)
    for pool in survey.pools:
        voice.say(f"{pool.name}: {', '.join(pool.sources)}: {pool.why}")
        if pool.media is None and pool.missing_media:
            voice.say(
                f"{pool.name}: none of its {pool.missing_media:,} media files was found; name their folder with `media:`"
            )
    for path, reason in survey.left_out:
        voice.say(f"left out {path}: {reason}")
    voice.say(f"wrote {target}; try `recipe plan {target}`")
