"""`holdouts`: a recipe -> a recipe of its holdout pools, each a stage in the order of its files."""

from __future__ import annotations

import json

from recipe_compiler.model.recipe import LANGUAGE_VERSION, Recipe


def holdouts(recipe: Recipe) -> str | None:
    """The text of that recipe, which stands beside the first one; None where there is no holdout."""
    pools = {name: pool for name, pool in sorted(recipe.pools.items()) if pool.role == "holdout"}
    if not pools:
        return None
    lines = [
        f"# The holdouts of {recipe.name}, for `recipe eval`. Paths are relative to the folder of that recipe.",
        f"recipe: {LANGUAGE_VERSION}",
        f"name: {recipe.name}-holdouts",
        *([f"version: {_flow(recipe.version)}"] if recipe.version is not None else []),
        "",
        "pools:",
    ]
    for name, pool in pools.items():
        settings = pool.model_dump(mode="json", exclude_unset=True, exclude={"role"})
        lines.append(f"  {_flow(name)}: {_flow(settings)}")
    lines += ["", "stages:"]
    for name in pools:
        where = _flow(f"pool == {_flow(name)}")
        lines.append(f"  - {{name: {_flow(name)}, where: {where}, order: listed}}")
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    """JSON, which is YAML."""
    return json.dumps(value, ensure_ascii=False)
