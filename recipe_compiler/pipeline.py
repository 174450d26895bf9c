"""The order of the stages, and nothing else. No stage knows another; this file knows them all.

parse -> compose -> check -> lower -> bind -> run -> build -> write
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_compiler.diagnostics import Diagnostic, Findings, SourceText, Span
from recipe_compiler.errors import RecipeError
from recipe_compiler.manifest.files import is_file, leads_out
from recipe_compiler.model.check import CheckedRecipe, check, suggest
from recipe_compiler.plan.lower import Plan, lower
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.syntax.compose import compose
from recipe_compiler.syntax.parse import parse

if TYPE_CHECKING:
    from recipe_compiler.emit.build import Built
    from recipe_compiler.execute.run import Selection
    from recipe_compiler.resolve.bind import BoundPlan

MAX_RECIPE_BYTES = 1 << 20
#: How many texts a recipe may be made of; each level of extending twice would double them.
MAX_EXTENDED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A recipe that means something, and its plan."""

    recipe: CheckedRecipe
    plan: Plan


def check_recipe(path: Path, findings: Findings) -> Checked:
    """Text to plan. Reads the recipe and what it extends, and no data."""
    source = read_recipe(path, str(path), findings)
    tree = parse(source, findings)
    findings.stop_if_errors()
    assert tree is not None
    folder = path.parent
    num_read = 0

    def read(name: str, span: Span) -> SourceText | None:
        nonlocal num_read
        num_read += 1
        if num_read > MAX_EXTENDED:
            findings.error(
                "syntax.extends", f"extends more than {MAX_EXTENDED} recipes", span, help="join some of them"
            )
            findings.stop_if_errors()
        target = Path(span.source.name).parent / name
        inside = not Path(name).is_absolute() and not leads_out(target, folder)
        if inside and is_file(target):
            return read_recipe(target, str(target), findings)
        nearby = [found.name for found in target.parent.glob("*.yaml")]
        reason = "is not there" if inside else "lies outside the recipe's folder"
        findings.error("syntax.extends", f"`{name}` {reason}", span, help=suggest(name, nearby))
        return None

    composed = compose(tree, read, findings)
    findings.stop_if_errors()
    recipe = check(composed, findings)
    findings.stop_if_errors()
    assert recipe is not None
    plan = lower(recipe, findings)
    findings.stop_if_errors()
    return Checked(recipe=recipe, plan=plan)


def read_recipe(path: Path, name: str, findings: Findings) -> SourceText:
    """The text of a recipe file."""
    try:
        if path.is_symlink() and leads_out(path, path.parent):
            # Mistakes are shown with the line they stand on, and the line of another file may be nobody's business.
            raise RecipeError(f"{name}: a link that leads out of its folder; name the file itself")
        with path.open("rb") as file:
            data = file.read(MAX_RECIPE_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{name}: {error.strerror}") from None
    if len(data) > MAX_RECIPE_BYTES:
        raise RecipeError(f"{name}: a recipe is at most {MAX_RECIPE_BYTES:,} bytes; share settings with `extends`")
    try:
        return SourceText(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        source = SourceText(name, data.decode("utf-8-sig", errors="replace"))
        findings.error("syntax.yaml", f"not UTF-8 at byte {error.start}", Span(source, 0, 0))
        findings.stop_if_errors()
        raise AssertionError from None


def bind_recipe(checked: Checked, workspace: Workspace, findings: Findings) -> BoundPlan:
    """Plan to bound plan: reads what of the pools it has not read before."""
    from recipe_compiler.resolve.bind import bind

    bound = bind(checked.plan, workspace, checked.recipe, findings)
    findings.stop_if_errors()
    return bound


def select_samples(checked: Checked, workspace: Workspace, findings: Findings) -> Selection:
    """Everything up to which samples are chosen."""
    from recipe_compiler.execute.run import run

    bound = bind_recipe(checked, workspace, findings)
    selection = run(bound, checked.recipe, findings)
    findings.stop_if_errors()
    return selection


def build_manifest(checked: Checked, workspace: Workspace, findings: Findings) -> Built:
    """Everything but writing."""
    from recipe_compiler.emit.build import build

    built = build(select_samples(checked, workspace, findings), checked.recipe, findings)
    findings.stop_if_errors()
    return built


def compile_recipe(path: Path, workspace: Workspace, out: Path) -> tuple[Built, list[Diagnostic]]:
    """A recipe to a manifest folder; also the warnings. Raises `Rejected` with the findings where it cannot be done."""
    from recipe_compiler.manifest import store

    findings = Findings()
    built = build_manifest(check_recipe(path, findings), workspace, findings)
    store.write(built.manifest, built.tables(), out)
    return built, findings.diagnostics
