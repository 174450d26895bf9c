"""Every recipe that is shipped compiles, on data anyone can make; the demo runs; the schema is the models'."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from recipe_compiler.manifest import store
from recipe_compiler.model.recipe import json_schema
from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.resolve.workspace import Workspace
from runtime.stream import ManifestDataset
from tests.support import REPOSITORY, run_recipe

RECIPES = REPOSITORY / "recipes"
QUICKSTART = RECIPES / "quickstart"
SHIPPED = sorted(path.relative_to(RECIPES).as_posix() for path in RECIPES.rglob("*.yaml"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All recipes, with a tenth of the quickstart's data."""
    folder = tmp_path_factory.mktemp("quickstart")
    for recipes in {Path(name).parts[0] for name in SHIPPED}:
        shutil.copytree(RECIPES / recipes, folder / recipes, ignore=shutil.ignore_patterns("data", "build", ".recipe"))
    generate = [sys.executable, "generate.py", "--out", "data", "--scale", "0.1", "--scores"]
    subprocess.run(generate, cwd=folder / "quickstart", check=True, capture_output=True)
    return folder


def compiled(place: Path, name: str) -> Path:
    recipe = place / name
    out = place / "out" / name
    compile_recipe(recipe, Workspace(root=place / "quickstart", cache=place / ".recipe"), out)
    return out


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_compiles_and_streams(place: Path, name: str) -> None:
    out = compiled(place, name)
    dataset = ManifestDataset(out, root=place / "quickstart", cache=place / ".recipe")
    assert len(dataset) > 10
    for position in range(0, len(dataset), 17):
        for media in dataset[position].media:
            assert media.image().size[0] >= 32


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_says_why_it_is_there(name: str) -> None:
    lines = (RECIPES / name).read_text().splitlines()
    assert lines[0] == "# yaml-language-server: $schema=../recipe.schema.json"
    assert lines[1].startswith("# Why: ")
    assert lines[2].startswith("# Compared with: ")


def test_the_schedules_organise_the_same_samples(place: Path) -> None:
    ids = {
        name: store.read(compiled(place, f"quickstart/{name}.yaml")).ids for name in ("mixed", "curriculum", "reverse")
    }
    assert len({found.selection for found in ids.values()}) == 1
    assert len({found.order for found in ids.values()}) == 3


def test_the_schema_is_that_of_the_models_and_knows_every_key_in_use() -> None:
    kept = json.loads((RECIPES / "recipe.schema.json").read_text())
    assert kept == json_schema(), "run `recipe schema > recipes/recipe.schema.json`"
    for name in SHIPPED:
        assert set(yaml.safe_load((RECIPES / name).read_text())) <= set(kept["properties"])


def test_every_sample_has_its_scores(place: Path) -> None:
    scores = pl.read_parquet(place / "quickstart/data/scores/scores.parquet")
    small = pl.read_parquet(place / "quickstart/data/scores.parquet")
    assert scores["key"].to_list() == small["key"].to_list()
    assert scores["key"].is_unique().all()
    for name in scores.columns[1:]:
        assert scores[name].n_unique() > 1, name
    assert scores.filter(pl.col("solved") == (pl.col("pism").fill_null(1) == 0)).height == 0
    for vector in scores["embedding.clip"].to_list():
        assert abs(sum(part * part for part in vector) - 1) < 1e-5


def test_init_writes_a_recipe_that_compiles(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(place / "quickstart" / "data", folder)
    ran = run_recipe("init", cwd=folder)
    assert ran.code == 0, ran.err
    ran = run_recipe("compile", "recipe.yaml", cwd=folder)
    assert ran.code == 0, ran.err
    (manifest,) = (folder / "build").iterdir()
    pools = {pool.name: pool for pool in store.read(manifest).pools}
    assert set(pools) == {"scenes", "dialogues", "charts", "diagrams", "words", "receipts", "exam"}
    assert pools["charts"].media == "charts/images"
    assert store.read(manifest).draws == sum(pool.samples for pool in pools.values())


def test_the_demo_runs(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "quickstart"
    shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns("data", "build", ".recipe"))
    done = subprocess.run(
        [sys.executable, folder / "demo.py"], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert "changed: order, manifest; the same: pools, selection" in done.stdout
    assert "Try next" in done.stdout
