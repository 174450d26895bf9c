"""What a recipe reads: `lock`, `tree`."""

from __future__ import annotations

from pathlib import Path

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import CACHE, RECIPE, ROOT, speaking, workspace
from recipe_compiler.diagnostics import Findings
from recipe_compiler.errors import DataError, RecipeError


@click.command()
@RECIPE
@ROOT
@CACHE
@speaking("text", "json", "concise")
def lock(recipe: Path, root: Path | None, cache: Path | None, *, voice: Voice) -> None:
    """Pin every pool of a recipe by content, in a lock file beside it.

    Commit the lock with the recipe. `recipe compile --locked` then fails, with the exact difference, when a pool has
    moved.

    \b
    Example:
      recipe lock recipe.yaml
    """
    from recipe_compiler import pipeline
    from recipe_compiler.resolve import lock as locks

    findings = Findings()
    checked = pipeline.check_recipe(recipe, findings)
    with workspace(recipe, root, cache, voice) as place:
        pins = locks.pins_of(pipeline.bind_recipe(checked, place, findings))
    target = recipe.with_name(locks.lock_name(recipe.name))
    try:
        before = locks.read(target)
        changes = [] if before is None else list(locks.differences(before, pins))
    except RecipeError as error:
        changes = [str(error).partition(";")[0]]
    locks.write(pins, target)
    voice.diagnose(findings.diagnostics)
    document = {
        "lock": str(target),
        "changes": changes,
        "pools": {name: sum(file.samples for file in pool.files) for name, pool in pins.pools.items()},
    }
    lines = [
        f"{name}: {sum(file.samples for file in pool.files):,} samples in {len(pool.files):,} "
        f"file{'' if len(pool.files) == 1 else 's'}, read as {pool.preset}"
        for name, pool in pins.pools.items()
    ]
    lines += [f"changed: {change}" for change in changes]
    voice.show("\n".join(lines), document)
    voice.say(f"wrote {target}")


@click.command()
@RECIPE
@ROOT
@speaking("text", "json", "concise")
def tree(recipe: Path, root: Path | None, *, voice: Voice) -> None:
    """Show what a recipe is made of: recipes it extends, pools and their files, annotations, stages. Reads no data.

    \b
    Example:
      recipe tree recipe.yaml
    """
    from rich.tree import Tree

    from recipe_compiler import pipeline
    from recipe_compiler.plan import nodes
    from recipe_compiler.remote.address import is_remote
    from recipe_compiler.resolve.inventory import list_files

    checked = pipeline.check_recipe(recipe, Findings())
    home = root or recipe.parent
    plan = checked.plan
    shown = Tree(f"{plan.name} {plan.version or ''}".strip())
    texts = shown.add(checked.texts[0][0])
    for name, _ in checked.texts[1:]:
        texts.add(f"extends {name}")
    pools = []
    for _, scan in plan.select(nodes.Scan):
        try:
            # No store is asked: a URL stands as it was written.
            named = ({pattern} if is_remote(pattern) else list_files(home, pattern) for pattern in scan.source)
            files = sorted({file for files in named for file in files})
            nothing = "no file matches"
        except (DataError, ValueError, NotImplementedError) as error:
            files, nothing = [], str(error)
        labels = ", ".join(filter(None, (scan.group, scan.category, "holdout" if scan.role == "holdout" else None)))
        branch = shown.add(f"pool {scan.pool}" + (f" ({labels})" if labels else ""))
        for file in files or [nothing]:
            branch.add(file)
        if scan.media is not None:
            branch.add(f"media {scan.media}")
        pools.append({"name": scan.pool, "files": files, "media": scan.media})
    annotations = [path for _, path, _ in plan.tables()]
    for source in annotations:
        shown.add(f"annotation {source}")
    stages = [stage.name for _, stage in plan.select(nodes.Stage)]
    for name in stages:
        shown.add(f"stage {name}")
    document = {
        "recipes": [name for name, _ in checked.texts],
        "pools": pools,
        "annotations": annotations,
        "stages": stages,
    }
    voice.show(shown, document)
