"""Golden manifests: what was compiled once is compiled again byte for byte, and stays readable.

The kept manifests are also the fixtures of their format version. `pytest tests/golden --update-golden` writes them anew;
a change in them is a change of what users' manifests say, and needs a reason in the changelog.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recipe_compiler.manifest import store
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.manifest.schema import FORMAT
from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.resolve.workspace import Workspace

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/recipe.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_a_recipe_compiles_to_its_golden_manifest(case: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder, kept = HERE / case, HERE / case / f"format-{FORMAT}"
    compile_recipe(folder / "recipe.yaml", Workspace(root=folder, cache=tmp_path / "cache"), tmp_path / "out")
    if request.config.getoption("--update-golden"):
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(tmp_path / "out", kept)
    assert (tmp_path / "out" / store.DOCUMENT).read_text() == (kept / store.DOCUMENT).read_text()


def test_a_recipe_that_goes_on_compiles_to_its_golden_manifest(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """`continued.yaml`, after 20 of the draws of the three stages, which is inside the second."""
    folder = HERE / "three_stages"
    kept = folder / f"format-{FORMAT}-continued"
    prefix = Prefix.of(folder / f"format-{FORMAT}", 20)
    place = Workspace(root=folder, cache=tmp_path / "cache")
    compile_recipe(folder / "continued.yaml", place, tmp_path / "out", prefix)
    if request.config.getoption("--update-golden"):
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(tmp_path / "out", kept)
    assert (tmp_path / "out" / store.DOCUMENT).read_text() == (kept / store.DOCUMENT).read_text()


@pytest.mark.parametrize("kept", sorted(HERE.glob("*/format-*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_kept_manifest_is_read_and_verified(kept: Path) -> None:
    found = store.verify(kept, kept.parent)
    assert found.rows == store.read(kept).draws > 0
    assert found.changed == ()
