"""Any text is a recipe or is told why not, at a place, in little time."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path

import pytest

from recipe_compiler.diagnostics import Findings, render
from recipe_compiler.errors import RecipeError
from recipe_compiler.pipeline import check_recipe
from recipe_compiler.syntax.expression import ExpressionError, canonical, columns, parse_expression
from tests.fuzz import mutate
from tests.spec.test_spec import CASES

RECIPES = [text for case in CASES for text in (case.recipe, case.mended) if text]
WORDS = (
    "- ", ": ", "{", "}", "[", "]", "&a ", "*a ", "<<: *a", "!!str ", "|\n", ">-\n", "? ", "---\n", "...\n", "%YAML 1.1\n",
    "#", "'", '"', "\\", "~", "null", "1e999", "0x", "-0", "100%", "1/0", "1/3", "10M", "99999999999999999999", "any",
    "extends: recipe.yaml\n", "extends: [base.yaml, base.yaml]\n", "../", "/", "**/*", "\u0000", "pools:\n", "stages:\n",
    "select: {budget: {share: 1e-300}}\n", "weights: {values: {a: 0}}\n", "where: not not (a == 1)\n", "draws: {count: 0}\n",
)  # fmt: skip
EXPRESSIONS = (
    "tokens < 10 and not (pool == \"a\" or images > 0)", "capability.ocr in ['a', \"b\\\"c\", 3, -0.5, null, true]",
    '"web" in tags', "a not in b", "not (a) and (b)", "score >= 1e-3 or x != null", "((((a))))",
)  # fmt: skip
EXPRESSION_WORDS = (
    "(",
    ")",
    "not ",
    "and ",
    "or ",
    "in ",
    "[",
    "]",
    ",",
    "==",
    "<=",
    "1",
    "-1e9",
    "0.0",
    '"',
    "'",
    "a.b",
    "\\",
)
MAX_SECONDS = 5.0


def check_text(folder: Path, data: bytes) -> None:
    path = folder / "recipe.yaml"
    path.write_bytes(data)
    findings = Findings()
    begun = time.process_time()
    with suppress(RecipeError):
        check_recipe(path, findings)
    render.full(findings.diagnostics, colour=True)
    render.concise(findings.diagnostics)
    render.as_json(findings.diagnostics)
    for found in findings.diagnostics:
        assert found.span is None or 0 <= found.span.start <= found.span.end <= len(found.span.source.text)
    assert time.process_time() - begun < MAX_SECONDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("recipe: 1\nname: base\npools: {a: {source: a.jsonl}}\n")
    return tmp_path


@pytest.mark.parametrize("path", sorted(mutate.CORPUS.glob("*.yaml")), ids=lambda path: path.name)
def test_a_text_that_once_failed(folder: Path, path: Path) -> None:
    check_text(folder, path.read_bytes())


@pytest.mark.timeout(0)
def test_any_text_is_a_recipe_or_is_told_why_not(folder: Path) -> None:
    for chance in mutate.chances(400):
        data = mutate.text(chance, RECIPES, WORDS).encode(errors="surrogatepass")
        name = f"recipe-{hashlib.sha256(data).hexdigest()[:12]}.yaml"
        mutate.keep(name, data, lambda data=data: check_text(folder, data))  # type: ignore[misc]


def check_expression(text: str) -> None:
    try:
        found = parse_expression(text)
    except ExpressionError as error:
        assert 0 <= error.start <= error.end <= max(len(text), 1)
        return
    assert all(text[column.start : column.end] == column.name for column in columns(found))
    # What is printed means the same again.
    once = canonical(found)
    if len(once) <= 4096:
        assert canonical(parse_expression(once)) == once


@pytest.mark.parametrize("path", sorted(mutate.CORPUS.glob("*.expression")), ids=lambda path: path.name)
def test_an_expression_that_once_failed(path: Path) -> None:
    check_expression(path.read_text(encoding="utf-8"))


@pytest.mark.timeout(0)
def test_any_text_is_an_expression_or_is_told_why_not() -> None:
    for chance in mutate.chances(2000):
        text = mutate.text(chance, EXPRESSIONS, EXPRESSION_WORDS)
        name = f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.expression"
        mutate.keep(name, text.encode(), lambda text=text: check_expression(text))  # type: ignore[misc]
