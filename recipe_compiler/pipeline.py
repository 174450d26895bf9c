"""The order of the stages, and nothing else. No stage knows another; this file knows them all.

parse -> compose -> check -> lower -> bind -> run -> order -> build -> write
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_compiler.diagnostics import Diagnostic, Findings, Rejected, SourceText, Span
from recipe_compiler.errors import DataError, RecipeError
from recipe_compiler.model.check import CheckedRecipe, check, did_you_mean
from recipe_compiler.plan.lower import Plan, lower
from recipe_compiler.resolve.texts import FolderTexts, KeptTexts, Texts, beside
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.syntax.compose import compose
from recipe_compiler.syntax.parse import parse

if TYPE_CHECKING:
    from recipe_compiler.emit.build import Built
    from recipe_compiler.emit.ordered import Ordered
    from recipe_compiler.execute.run import Selection
    from recipe_compiler.execute.watch import Watch
    from recipe_compiler.manifest.prefix import Prefix
    from recipe_compiler.manifest.schema import Manifest
    from recipe_compiler.resolve.bind import BoundPlan
    from recipe_compiler.resolve.pinned import Pins


#: How many texts a recipe may be made of; each level of extending twice would double them.
MAX_EXTENDED = 64
#: How many files are told by name.
_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A recipe that means something, its plan, and the (name, text) it was read from, its own first."""

    recipe: CheckedRecipe
    plan: Plan
    texts: tuple[tuple[str, str], ...]


def check_recipe(path: Path, findings: Findings) -> Checked:
    """Text to plan. Reads the recipe and what it extends, and no data."""
    if path.is_dir():
        raise RecipeError(f"{path}: is a folder; name the recipe in it")
    return check_texts(FolderTexts(path.parent), path.name, findings)


def check_texts(texts: Texts, name: str, findings: Findings) -> Checked:
    """The same from any place that holds recipes."""
    source = _decoded(texts, name, findings)
    if source is None:
        raise RecipeError(f"{texts.shown(name)}: there is no such recipe")
    names = {source.name: name}
    read = {name: source}

    num_extended = 0

    def extended(written: str, span: Span) -> SourceText | None:
        nonlocal num_extended
        num_extended += 1
        if num_extended > MAX_EXTENDED:
            headline = f"extends more than {MAX_EXTENDED} recipes"
            findings.error("syntax.extends", headline, span, help="join some of them")
            findings.stop_if_errors()
        target = beside(names[span.source.name], written)
        try:
            found = None if target is None else _decoded(texts, target, findings)
        except RecipeError as error:
            findings.error("syntax.extends", str(error), span)
            return None
        if target is None or found is None:
            reason = "lies outside the recipe's folder" if target is None else "is not there"
            way_out = did_you_mean(written, texts.names(), span)
            findings.error("syntax.extends", f"`{written}` {reason}", span, **way_out)
            return None
        names[found.name], read[target] = target, found
        return found

    tree = parse(source, findings)
    findings.stop_if_errors()
    assert tree is not None
    composed = compose(tree, extended, findings)
    findings.stop_if_errors()
    recipe = check(composed, findings)
    findings.stop_if_errors()
    assert recipe is not None
    plan = lower(recipe, findings)
    findings.stop_if_errors()
    return Checked(recipe=recipe, plan=plan, texts=tuple((name, text.text) for name, text in read.items()))


def _decoded(texts: Texts, name: str, findings: Findings) -> SourceText | None:
    """The text of a recipe, or None where there is none."""
    data = texts.read(name)
    if data is None:
        return None
    try:
        return SourceText(texts.shown(name), data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        source = SourceText(texts.shown(name), data.decode("utf-8-sig", errors="replace"))
        findings.error("syntax.yaml", f"not UTF-8 at byte {error.start}", Span(source, 0, 0))
        findings.stop_if_errors()
        raise AssertionError from None


def bind_recipe(checked: Checked, workspace: Workspace, findings: Findings, lock: Pins | None = None) -> BoundPlan:
    """Plan to bound plan: reads what of the pools it has not read before. With a lock, they must be as it pins them."""
    from recipe_compiler.resolve.bind import bind
    from recipe_compiler.resolve.lock import differences, pins_of

    bound = bind(checked.plan, workspace, checked.recipe, findings)
    findings.stop_if_errors()
    moved = [] if lock is None else list(differences(lock, pins_of(bound)))
    if moved:
        way_out = "bring the locked files back, or accept these with `recipe lock`"
        span = checked.recipe.key_span("pools")
        findings.error("resolve.lock", "the pools are not as they were locked", span, notes=moved, help=way_out)
    findings.stop_if_errors()
    return bound


def build_manifest(
    checked: Checked,
    workspace: Workspace,
    findings: Findings,
    *,
    lock: Pins | None = None,
    pinned: Pins | None = None,
    prefix: Prefix | None = None,
) -> Built:
    """Everything but writing. `lock` says how the pools must be, `pinned` how they were and are to be read once more.

    With a `prefix`, the manifest begins with it, and goes on with what the recipe asks for beyond.
    """
    from recipe_compiler.emit.build import build
    from recipe_compiler.emit.order import order
    from recipe_compiler.execute.run import run
    from recipe_compiler.resolve.pinned import bind_pinned

    if prefix is not None:
        prefix.check_root(workspace.root)
    if pinned is None:
        bound = bind_recipe(checked, workspace, findings, lock)
    else:
        bound = bind_pinned(checked.plan, workspace, pinned)
    selection = run(bound, checked.recipe, findings)
    findings.stop_if_errors()
    ordered = order(selection, checked.recipe, findings, prefix=prefix)
    findings.stop_if_errors()
    built = build(selection, ordered, checked.texts, prefix)
    if prefix is not None:
        _tell_prefix(prefix, built.manifest, workspace, findings)
    return built


def _tell_prefix(prefix: Prefix, manifest: Manifest, workspace: Workspace, findings: Findings) -> None:
    """What is worth knowing of the draws that a manifest begins with."""
    from recipe_compiler.manifest.sources import Sources

    gone = prefix.gone(Sources(workspace.root, workspace.cache), manifest.own_sources)
    if gone:
        draws = sum(number for _, number, _ in gone)
        findings.warn(
            "note.after",
            f"{draws:,} of the {prefix.position:,} draws that were consumed cannot be read again",
            notes=[f"{source.path} ({number:,} draws): {reason}" for source, number, reason in gone[:_TOLD]],
            help="training that goes on there does not read them; to train from the beginning, bring the files back",
        )
    if manifest.draws == prefix.position:
        findings.warn(
            "note.after", f"the {prefix.position:,} draws that were consumed are all that the recipe asks for"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A manifest compiled again from what it was compiled from: its selection and order, known to be the same."""

    manifest: Manifest
    checked: Checked
    selection: Selection
    ordered: Ordered


def bind_manifest(manifest: Manifest, workspace: Workspace, findings: Findings) -> tuple[Checked, BoundPlan]:
    """The recipe that a manifest keeps, bound to the content it was compiled from.

    Raises `DataError` where that is neither on this disk nor in the cache.
    """
    from recipe_compiler.resolve.pinned import Pins, bind_pinned

    texts = KeptTexts({text.name: text.text for text in manifest.texts})
    checked = check_texts(texts, manifest.texts[0].name, findings)
    return checked, bind_pinned(checked.plan, workspace, Pins.of(manifest))


def replay(
    manifest: Manifest,
    checked: Checked,
    bound: BoundPlan,
    findings: Findings,
    watch: Watch | None = None,
    prefix: Prefix | None = None,
) -> Replay:
    """Selects and orders again what a manifest holds. Raises `DataError` where that gives anything else.

    `prefix` are the draws that it took over from another one (`Prefix.kept`).
    """
    import numpy as np

    from recipe_compiler import kernels
    from recipe_compiler.emit.order import order
    from recipe_compiler.execute.run import run
    from recipe_compiler.manifest import rows

    reason = "does not come out the same again; media were added or removed since, or it is of another version"
    try:
        selection = run(bound, checked.recipe, findings, watch)
        ordered = order(selection, checked.recipe, findings, watch, prefix)
    except Rejected as rejected:
        raise DataError(manifest.name, f"{reason}: {rejected}") from None
    ids = kernels.sample_ids(selection.keys, ordered.rows[ordered.position :])
    if prefix is not None:
        ids = np.concatenate([rows.cells(prefix.table, "sample_id"), ids])
    stages = [(stage.name, stage.draws) for stage in ordered.stages]
    if rows.order_digest(ids, stages) != manifest.ids.order:
        raise DataError(manifest.name, reason)
    return Replay(manifest=manifest, checked=checked, selection=selection, ordered=ordered)


def compile_recipe(
    path: Path, workspace: Workspace, out: Path, prefix: Prefix | None = None
) -> tuple[Built, list[Diagnostic]]:
    """A recipe to a manifest folder; also the warnings. Raises `Rejected` with the findings where it cannot be done."""
    from recipe_compiler.manifest import store

    findings = Findings()
    built = build_manifest(check_recipe(path, findings), workspace, findings, prefix=prefix)
    store.write(built.manifest, built.tables(), out)
    return built, findings.diagnostics
