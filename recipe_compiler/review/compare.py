"""`compare`: two sides by name (a manifest, a recipe, `REV:recipe` in git) -> what an edit changed, and why."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recipe_compiler import kernels, pipeline
from recipe_compiler.diagnostics import Diagnostic, Findings
from recipe_compiler.emit.ordered import Ordered
from recipe_compiler.errors import DataError, RecipeError
from recipe_compiler.execute.run import Selection
from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.manifest.schema import Manifest
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import describe
from recipe_compiler.report.diff import ManifestDiff, Setting, diff
from recipe_compiler.report.side import Exit, Fates, Side
from recipe_compiler.resolve import lock
from recipe_compiler.resolve.pinned import Pins
from recipe_compiler.resolve.texts import RevisionTexts
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.review.explain import line_of
from recipe_compiler.review.gone import labels, with_gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A side as far as it could be compiled (again): without a selection, `why_not` says why.

    `remark` is what people should know of how it was compiled.
    """

    manifest: Manifest
    folder: Path | None
    checked: CheckedRecipe | None
    selection: Selection | None
    ordered: Ordered | None
    prefix: Prefix | None = None
    why_not: str = ""
    remark: str = ""
    warnings: tuple[Diagnostic, ...] = ()


def compile_sides(before: str, after: str, workspace: Workspace) -> tuple[Compiled, Compiled]:
    """Both sides by name: side by side where both are manifests, whose indexes are at hand as a rule."""
    num_threads = 2 if all((Path(name) / store.DOCUMENT).exists() for name in (before, after)) else 1
    with ThreadPoolExecutor(num_threads) as threads:
        first, second = threads.map(lambda name: compile_side(name, workspace), (before, after))
    return first, second


def compile_side(name: str, workspace: Workspace) -> Compiled:
    """A side by name. Raises `RecipeError` where there is none."""
    path = Path(name)
    if (path / store.DOCUMENT).exists():
        return compile_manifest(path, workspace)
    findings = Findings()
    if path.is_file():
        return compile_checked(pipeline.check_recipe(path, findings), workspace, findings)
    revision, colon, inside = name.partition(":")
    if colon and revision and inside.endswith((".yaml", ".yml")):
        target = Path(inside)
        texts = RevisionTexts(target.parent, revision)
        checked = pipeline.check_texts(texts, target.name, findings)
        return _compile_locked(name, texts, checked, workspace, findings)
    raise RecipeError(f"{name}: neither a manifest, a recipe, nor `REV:recipe.yaml` in git")


def _compile_locked(
    name: str, texts: RevisionTexts, checked: pipeline.Checked, workspace: Workspace, findings: Findings
) -> Compiled:
    """A recipe of a revision, from the pools that were locked with it where that can be, and said where it cannot."""
    lock_file = lock.lock_name(checked.texts[0][0])
    locked = texts.read(lock_file)
    remark = f"{name} has no lock beside it"
    if locked is not None:
        try:
            return compile_checked(checked, workspace, findings, lock.decode(locked, texts.shown(lock_file)))
        except DataError as error:
            remark = f"{name} cannot be compiled from its lock ({error})"
    compiled = compile_checked(checked, workspace, findings)
    return dataclasses.replace(compiled, remark=f"{remark}, so it is compiled from the pools as they are now")


def compile_manifest(folder: Path, workspace: Workspace) -> Compiled:
    """A manifest, compiled again from what it was compiled from where that is at hand."""
    manifest = store.read(folder)
    try:
        checked, bound = pipeline.bind_manifest(manifest, workspace, Findings())
        prefix = Prefix.kept(folder)
        replay = pipeline.replay(manifest, checked, bound, Findings(), prefix=prefix)
    except RecipeError as error:
        return Compiled(
            manifest=manifest, folder=folder, checked=None, selection=None, ordered=None, why_not=str(error)
        )
    return Compiled(
        manifest=manifest,
        folder=folder,
        checked=checked.recipe,
        selection=replay.selection,
        ordered=replay.ordered,
        prefix=prefix,
    )


def compile_checked(
    checked: pipeline.Checked,
    workspace: Workspace,
    findings: Findings,
    pins: Pins | None = None,
    prefix: Prefix | None = None,
) -> Compiled:
    """A recipe, compiled in memory: from the pools as they are, or from those that were locked with it."""
    built = pipeline.build_manifest(checked, workspace, findings, pinned=pins, prefix=prefix)
    return Compiled(
        manifest=built.manifest,
        folder=None,
        checked=checked.recipe,
        selection=built.selection,
        ordered=built.ordered,
        prefix=prefix,
        warnings=tuple(findings.diagnostics),
    )


def compare(before: Compiled, after: Compiled, columns: Sequence[str]) -> ManifestDiff:
    """The difference of two sides; `columns` are those whose drift is asked for beside the usual ones."""
    pools = tuple(sorted({pool.name for side in (before, after) for pool in side.manifest.pools}))
    with ThreadPoolExecutor(2) as threads:
        sides = list(threads.map(partial(_side, pools=pools), (before, after)))
    for name in columns:
        if any(side.column(name) is None for side in sides):
            raise RecipeError(f"there is no column `{name}` on both sides to compare")
    return diff(*sides, settings=tuple(_settings(before, after)), columns=columns)


def _side(compiled: Compiled, pools: tuple[str, ...]) -> Side:
    manifest = compiled.manifest
    title = f"{manifest.name} {manifest.version or ''}".strip() + f" ({manifest.ids.manifest[:12]})"
    if compiled.selection is None or compiled.ordered is None or compiled.checked is None:
        assert compiled.folder is not None
        own = np.array([pools.index(pool.name) for pool in manifest.pools], dtype=np.uint32)
        table = store.read_rows(compiled.folder, manifest)
        ids = rows.cells(table, "sample_id").view(">u8").reshape(-1, 2).astype(np.uint64)
        keys = kernels.Keys(
            high=[np.ascontiguousarray(ids[:, 0])],
            low=[np.ascontiguousarray(ids[:, 1])],
            occurrence=rows.cells(table, "occurrence"),
            pool=own[rows.cells(table, "pool")],
        )
        kept = pl.DataFrame(pl.from_arrow(table.select(["tokens", "images", "videos"])))
        labelled = labels(manifest, rows.cells(table, "pool"))
        return Side(
            title=title,
            manifest=manifest,
            pools=pools,
            keys=keys,
            draws=np.arange(table.num_rows, dtype=np.uint32),
            stage=rows.cells(table, "stage"),
            column=lambda name: kept[name] if name in kept.columns else labelled.get(name),
            times=np.ones(table.num_rows, dtype=np.uint64),
            first=np.arange(table.num_rows, dtype=np.int64),
            fates=None,
            why_not=compiled.why_not,
        )
    selection, ordered = compiled.selection, compiled.ordered
    frame, keys = selection.frame, selection.keys
    own = np.array([pools.index(pool.scan.pool) for pool in selection.bound.pools], dtype=np.uint32)
    # Draws that an earlier manifest made of samples which are gone stand at the number of samples.
    times, first = kernels.occurrences(ordered.rows, frame.height + 1)
    side = Side(
        title=title,
        manifest=manifest,
        pools=pools,
        keys=keys if np.array_equal(own, np.arange(len(own))) else keys._replace(pool=own[keys.pool]),
        draws=ordered.rows,
        stage=ordered.stage,
        column=lambda name: frame[name] if name in frame.columns else None,
        times=times[: frame.height],
        first=first[: frame.height],
        fates=_fates(selection, compiled.checked),
        why_not="",
    )
    return side if compiled.prefix is None else with_gone(side, compiled.prefix)


def _fates(selection: Selection, checked: CheckedRecipe) -> Fates:
    exits = {
        step: _exit(node, checked)
        if node is not None
        else Exit(rule=funnel.what, line=line_of(checked, ("stages",)), place="stages", digest=funnel.what)
        for step, (node, funnel) in enumerate(zip(selection.exits, selection.funnel, strict=True))
    }
    return Fates(
        left_at=selection.left_at,
        stage=selection.stage,
        exits=exits,
        stages=tuple(_exit(node, checked) for node in selection.stages),
        pool_lines={pool.scan.pool: line_of(checked, pool.node.at) for pool in selection.bound.pools},
    )


def _exit(node: nodes.Node, checked: CheckedRecipe) -> Exit:
    text = json.dumps(nodes.document(node.operation), sort_keys=True)
    digest = kernels.digest_parts("rule", [type(node.operation).__name__.encode(), text.encode()])
    return Exit(
        rule=describe(node.operation),
        line=line_of(checked, node.at),
        place="/".join(map(str, node.at)),
        digest=digest,
    )


def _settings(before: Compiled, after: Compiled) -> Iterator[Setting]:
    """The settings that are not the same, in the order of their names."""
    old, new = (_leaves((), side.manifest.recipe) for side in (before, after))
    for name in sorted({*old, *new}):
        first, second = old.get(name), new.get(name)
        if first is None or second is None or first[1] != second[1]:
            yield Setting(
                name=name,
                before=_written(before, first),
                after=_written(after, second),
                line_before=_line(before, first),
                line_after=_line(after, second),
            )


_Leaf = tuple[nodes.Location, str]


def _leaves(at: nodes.Location, value: Any, name: str = "") -> dict[str, _Leaf]:
    """Every setting by its full name. Stages go by their names, so that an inserted one does not rename the rest."""
    if isinstance(value, Mapping) and value:
        parts = (_leaves((*at, key), item, f"{name}.{key}" if name else key) for key, item in value.items())
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        parts = (
            _leaves((*at, number), item, f"{name}[{item.get('name', number)}]") for number, item in enumerate(value)
        )
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return {name: (at, text)}
    return {key: leaf for part in parts for key, leaf in part.items()}


def _written(side: Compiled, leaf: _Leaf | None) -> str | None:
    """A setting as the recipe writes it, where it stands there as it is."""
    if leaf is None or side.checked is None:
        return None if leaf is None else leaf[1]
    return side.checked.scalar_text(*leaf[0]) or leaf[1]


def _line(side: Compiled, leaf: _Leaf | None) -> str | None:
    return None if leaf is None or side.checked is None else line_of(side.checked, leaf[0])
