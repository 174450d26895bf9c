"""What the tests of shipped recipes share: their names, and how each is compiled."""

from __future__ import annotations

from pathlib import Path

from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.resolve.workspace import Workspace
from tests.support import REPOSITORY

RECIPES = REPOSITORY / "recipes"
# A demo may have left others beside its data.
SHIPPED = sorted(
    path.relative_to(RECIPES).as_posix()
    for path in RECIPES.rglob("*.yaml")
    if not {"data", "build"} & set(path.relative_to(RECIPES).parts)
)


def root_of(place: Path, name: str) -> Path:
    """The folder with the data of a recipe: the quickstart's, where it has none of its own."""
    own = (place / name).parent
    return own if (own / "data").is_dir() else place / "quickstart"


def compiled(place: Path, name: str) -> Path:
    """The folder of a recipe's manifest."""
    recipe = place / name
    out = place / "out" / name.removesuffix(".yaml")
    compile_recipe(recipe, Workspace(root=root_of(place, name), cache=place / ".recipe"), out)
    return out
