"""The shape of the project, kept by tests: rooms, light imports, one table of codes, a schema that explains itself."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recipe_compiler
from recipe_compiler import _core  # type: ignore[attr-defined]
from recipe_compiler.diagnostics.codes import CODES
from recipe_compiler.model.recipe import json_schema
from tests.support import REPOSITORY

PACKAGES = ("recipe_compiler", "runtime")
#: Library -> the rooms it may be imported in. One library, one room.
ROOMS = {
    "yaml": ("recipe_compiler/syntax/parse.py",),
    "pydantic": ("recipe_compiler/model/",),
    "polars": (
        "recipe_compiler/execute/",
        "recipe_compiler/emit/",
        "recipe_compiler/report/",
        "recipe_compiler/review/",
    ),
    "click": ("recipe_compiler/cli/",),
    "rich": ("recipe_compiler/cli/", "recipe_compiler/report/"),
    "torch": ("runtime/loader.py", "runtime/collate/", "runtime/train/", "runtime/evaluate/", "runtime/tiny.py"),
    "transformers": (
        "runtime/collate/",
        "runtime/train/",
        "runtime/evaluate/",
        "runtime/counts.py",
        "runtime/models.py",
        "runtime/tiny.py",
    ),
    "fsspec": ("recipe_compiler/remote/",),
    "av": ("runtime/decode.py",),
    "rapidfuzz": ("runtime/evaluate/",),
    "faiss": (),
    "PIL": ("runtime/sample.py", "runtime/decode.py"),
    "subprocess": ("recipe_compiler/resolve/texts.py",),
    "pickle": (),
    "random": (),
    "time": ("runtime/commands/streaming.py", "runtime/train/"),
}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_stays_in_its_room(library: str) -> None:
    outside = [
        name
        for path in modules()
        if library in imports(path) and not (name := path.relative_to(REPOSITORY).as_posix()).startswith(ROOMS[library])
    ]
    assert outside == []


def test_nothing_evaluates_text_as_code() -> None:
    calls = {"eval", "exec", "compile", "__import__"}
    found = [
        f"{path.name}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls
    ]
    assert found == []


def test_importing_the_package_is_light() -> None:
    code = "import sys, recipe_compiler, runtime; print(sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    loaded = ast.literal_eval(done.stdout)
    assert not {"polars", "pydantic", "pyarrow", "numpy", "torch", "yaml", "click", "rich"} & set(loaded)


#: What each command does without; what it needs is another command's business.
SPARING = {
    ("--help",): {"numpy", "polars", "pyarrow", "pydantic", "rich", "yaml", "asyncio", "torch"},
    ("check", "recipe.yaml"): {"numpy", "polars", "pyarrow", "rich", "asyncio", "subprocess", "torch"},
    ("schema",): {"numpy", "polars", "pyarrow", "rich", "asyncio", "torch"},
    ("explain", "model.wrong-type"): {"numpy", "polars", "pyarrow", "rich", "asyncio", "torch", "yaml", "pydantic"},
}


@pytest.mark.parametrize("arguments", SPARING, ids=lambda arguments: arguments[0])
def test_a_short_command_imports_little(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "recipe: 1\nname: short\npools: {a: {source: a.jsonl}}\nstages: [{name: s}]\n"
    )
    code = (
        "import sys, recipe_compiler.cli.main as main; status = main.run(sys.argv[1:]); "
        "print(status, sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    status, _, loaded = done.stderr.splitlines()[-1].partition(" ")
    assert status == "0"
    assert done.stdout
    assert not SPARING[arguments] & set(ast.literal_eval(loaded))


def test_the_binary_is_this_version() -> None:
    assert _core.__version__ == recipe_compiler.__version__


def test_every_code_that_is_used_is_in_the_table_and_the_other_way_round() -> None:
    stages = {code.split(".")[0] for code in CODES}
    pattern = re.compile(rf'"((?:{"|".join(stages)})\.[a-z-]+)"')
    used = {code for path in modules() if path.name != "codes.py" for code in pattern.findall(path.read_text())}
    assert used == set(CODES)


def test_the_schema_explains_every_setting() -> None:
    schema = json_schema()
    parts = [schema, *schema["$defs"].values()]
    bare = []
    for part in parts:
        for option in [part, *part.get("anyOf", [])]:
            for name, setting in option.get("properties", {}).items():
                if "description" not in json.dumps(setting):
                    bare.append(f"{part.get('title')}.{name}")
    assert bare == []


def test_the_stub_names_what_the_binary_has() -> None:
    stub = ast.parse((REPOSITORY / "recipe_compiler" / "_core.pyi").read_text())
    named = {node.name for node in stub.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert named == {name for name in dir(_core) if not name.startswith("_")}


def test_files_can_be_read_in_one_sitting() -> None:
    long = {
        path.relative_to(REPOSITORY).as_posix(): lines
        for folder in (*PACKAGES, "rust_core/src")
        for path in (REPOSITORY / folder).rglob("*.*")
        if path.suffix in (".py", ".rs") and (lines := len(path.read_text().splitlines())) > 620
    }
    assert long == {}
