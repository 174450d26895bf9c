"""From a recipe to a manifest: `check`, `schema`, `index`, `plan`, `compile`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recipe_compiler.cli.commands.comparing import BY, show_difference
from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import (
    AFTER,
    CACHE,
    RECIPE,
    ROOT,
    at_hand,
    complete_files,
    prefix_of,
    speaking,
    workspace,
)
from recipe_compiler.diagnostics import Findings
from recipe_compiler.errors import RecipeError
from recipe_compiler.remote.address import is_remote

if TYPE_CHECKING:
    from recipe_compiler.manifest.schema import Manifest
    from recipe_compiler.resolve.pinned import Pins


@click.command()
@RECIPE
@speaking("text", "json", "concise")
def check(recipe: Path, *, voice: Voice) -> None:
    """Check a recipe for mistakes. Reads no data.

    \b
    Example:
      recipe check recipe.yaml
    """
    from recipe_compiler import pipeline
    from recipe_compiler.plan import explain, nodes

    findings = Findings()
    plan = pipeline.check_recipe(recipe, findings).plan
    voice.diagnose(findings.diagnostics)
    if voice.format == "json":
        steps = [{"digest": node.digest, "does": explain.describe(node.operation)} for node in plan.nodes]
        voice.show("", {"name": plan.name, "version": plan.version, "plan": plan.digest, "nodes": steps})
    else:
        voice.text(explain.text(plan))
    pools, stages = (len(list(plan.select(kind))) for kind in (nodes.Scan, nodes.Stage))
    voice.say(f"{recipe}: {_counted(pools, 'pool')}, {_counted(stages, 'stage')}, nothing wrong")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors.

    \b
    Example:
      recipe schema > recipe.schema.json
      # then, on the first line of a recipe:
      # yaml-language-server: $schema=recipe.schema.json
    """
    from recipe_compiler.model.recipe import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@RECIPE
@ROOT
@CACHE
@speaking("text", "json", "concise")
def index(recipe: Path, root: Path | None, cache: Path | None, *, voice: Voice) -> int:
    """Index the pools of a recipe: what each file is, how it is read, and every record that is malformed.

    \b
    Example:
      recipe index recipe.yaml
    """
    from rich.console import Group
    from rich.text import Text

    from recipe_compiler import pipeline
    from recipe_compiler.report.tables import table
    from recipe_compiler.resolve.bind import bind

    findings = Findings()
    checked = pipeline.check_recipe(recipe, findings)
    with workspace(recipe, root, cache, voice) as place:
        bound = bind(checked.plan, place, checked.recipe, findings)
    shown = table("files", "file", "pool", "shape", "read as", "samples", "malformed")
    document: list[dict[str, Any]] = []
    for pool in bound.pools:
        for file in pool.files:
            shape = file.layout["shape"] + ("" if file.wrapping == "plain" else f", {file.wrapping}")
            num = file.index.table.num_rows
            shown.add_row(file.path, pool.scan.pool, shape, pool.preset, f"{num:,}", f"{len(file.index.malformed):,}")
            document.append(
                {
                    "file": file.path,
                    "pool": pool.scan.pool,
                    "wrapping": file.wrapping,
                    "layout": file.layout,
                    "preset": pool.preset,
                    "why": pool.why,
                    "fields": pool.fields,
                    "samples": num,
                    "malformed": [
                        {**dataclasses.asdict(record), "record": record.record + 1} for record in file.index.malformed
                    ],
                }
            )
    most = 20
    bad = [
        f"{file.path}, record {record.record + 1:,} (byte {record.offset:,}): {record.reason}"
        for pool in bound.pools
        for file in pool.files
        for record in file.index.malformed
    ]
    if len(bad) > most:
        bad = [*bad[:most], f"and {len(bad) - most:,} more; `--format json` lists them all"]
    voice.show(Group(shown, *([Text(), Text("malformed")] if bad else []), *(Text(line) for line in bad)), document)
    voice.diagnose(findings.diagnostics)
    return 1 if findings.errors else 0


@click.command()
@RECIPE
@click.option(
    "--against",
    metavar="RELEASE",
    shell_complete=complete_files,
    help="Show what would change since a manifest or recipe; exit 3 if any.",
)
@BY
@AFTER
@ROOT
@CACHE
@speaking("text", "json", "md", "concise")
def plan(
    recipe: Path,
    against: str | None,
    columns: tuple[str, ...],
    after: str | None,
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> int:
    """Show what a recipe would select, and in which stages, before anything is written.

    \b
    Examples:
      recipe plan recipe.yaml
      recipe plan recipe.yaml --against releases/1.4
      recipe plan recipe.yaml --after releases/1.4@31200
    """
    if against is None:
        if columns:
            raise click.UsageError("`--by` goes with `--against`")
        if voice.format == "md":
            raise click.UsageError("`--format md` goes with `--against`")
        _show(_build(recipe, root, cache, None, voice, after=after), voice)
        return 0
    from recipe_compiler import pipeline
    from recipe_compiler.review.compare import compile_checked, compile_side

    findings = Findings()
    checked = pipeline.check_recipe(recipe, findings)
    if is_remote(against):
        against = str(at_hand(against, root, cache or recipe.parent / ".recipe"))
    with workspace(recipe, root, cache, voice) as place:
        before = compile_side(against, place)
        planned = compile_checked(checked, place, findings, prefix=prefix_of(after))
    voice.diagnose(findings.diagnostics)
    return show_difference(before, planned, columns, exit_code=True, voice=voice)


@click.command("compile")
@RECIPE
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The manifest's folder.  [default: build/NAME-VERSION beside the recipe]",
)
@click.option("--locked", is_flag=True, help="Fail unless every pool is as `recipe lock` pinned it.")
@AFTER
@ROOT
@CACHE
@speaking("text", "json", "concise")
def compile_(
    recipe: Path,
    out: Path | None,
    after: str | None,
    root: Path | None,
    cache: Path | None,
    *,
    locked: bool,
    voice: Voice,
) -> None:
    """Compile a recipe into a manifest.

    With --after, the manifest begins with the draws of another one that were consumed, row for row, and goes on with
    what the recipe asks for beyond them. A state that was saved at that position can be loaded for it.

    \b
    Examples:
      recipe compile recipe.yaml --out releases/1.4
      recipe compile recipe.yaml --locked
      recipe compile recipe.yaml --after releases/1.4@31200 --out releases/1.5
    """
    manifest = _build(recipe, root, cache, out or Path(), voice, locked=locked, after=after)
    _show(manifest, voice)
    voice.say(f"wrote {out or default_out(recipe, manifest)}")


def default_out(recipe: Path, manifest: Manifest) -> Path:
    """Where a manifest goes unless the user says otherwise."""
    name = f"{manifest.name}-{manifest.version}" if manifest.version else manifest.name
    return recipe.parent / "build" / name


def _build(
    recipe: Path,
    root: Path | None,
    cache: Path | None,
    out: Path | None,
    voice: Voice,
    *,
    locked: bool = False,
    after: str | None = None,
) -> Manifest:
    """Builds the manifest; writes it to `out` unless that is None. An empty `out` is the default place."""
    from recipe_compiler import pipeline
    from recipe_compiler.manifest import store

    findings = Findings()
    checked = pipeline.check_recipe(recipe, findings)
    prefix = prefix_of(after)
    with workspace(recipe, root, cache, voice) as place:
        lock = _lock_of(recipe) if locked else None
        built = pipeline.build_manifest(checked, place, findings, lock=lock, prefix=prefix)
        if out is not None:
            target = default_out(recipe, built.manifest) if out == Path() else out
            if prefix is not None and target.resolve() == prefix.folder.resolve():
                raise RecipeError(f"{target}: is the manifest to go on from; name another folder with `--out`")
            replaced = store.write(built.manifest, built.tables(), target)
            if replaced is not None:
                voice.say(f"{target}: manifest {replaced[:12]} was here and is replaced")
    voice.diagnose(findings.diagnostics)
    return built.manifest


def _lock_of(recipe: Path) -> Pins:
    """The lock beside a recipe."""
    from recipe_compiler.resolve import lock

    path = recipe.with_name(lock.lock_name(recipe.name))
    pins = lock.read(path)
    if pins is None:
        raise RecipeError(f"{path}: there is no lock; write one with `recipe lock {recipe}`")
    return pins


def _show(manifest: Manifest, voice: Voice) -> None:
    from recipe_compiler.manifest import codec
    from recipe_compiler.report import tables

    voice.show(tables.summary(manifest), json.loads(codec.encode(manifest)))
