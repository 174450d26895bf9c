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
from runtime.stream import ManifestDataset
from tests.recipes.shipped import RECIPES, SHIPPED, compiled, root_of
from tests.support import REPOSITORY, draws, run_recipe

QUICKSTART = RECIPES / "quickstart"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_compiles_and_streams(place: Path, name: str) -> None:
    out = compiled(place, name)
    dataset = ManifestDataset(out, root=root_of(place, name), cache=place / ".recipe")
    assert len(dataset) == store.read(out).draws > 0
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


def test_a_control_has_as_many_samples_as_what_it_controls(place: Path) -> None:
    for kind in ("pism", "cmab"):
        sizes = {
            name: store.read(compiled(place, f"difficulty/{kind}_{name}.yaml")) for name in ("mid_hard", "control")
        }
        assert len({found.draws for found in sizes.values()}) == 1
        assert len({found.ids.selection for found in sizes.values()}) == 2


def test_the_selections_are_of_one_size_and_differ(place: Path) -> None:
    names = sorted(path.stem for path in (RECIPES / "selection").glob("*.yaml") if path.stem != "pools")
    found = [store.read(compiled(place, f"selection/{name}.yaml")) for name in names]
    assert len({manifest.ids.selection for manifest in found}) == len(names)
    # One filters first, and takes its share of what is left.
    assert len({manifest.draws for manifest, name in zip(found, names, strict=True) if name != "ifd"}) == 1


def test_three_epochs_draw_every_sample_once_or_twice(place: Path) -> None:
    drawn = draws(compiled(place, "practice/epochs.yaml"))
    assert drawn["sample_id"].n_unique() == 360
    assert set(drawn["sample_id"].value_counts()["count"]) == {1, 2}


def test_the_quotas_of_the_base_mix_hold(place: Path) -> None:
    drawn = draws(compiled(place, "individual_select/base_mix.yaml"))
    counts = drawn["pool"].value_counts()["count"]
    assert len(counts) == 12
    assert all(0.04 * 370 <= count <= 0.13 * 370 for count in counts)


def test_goals_differ_in_their_videos_and_the_control_has_ten_times_as_many(place: Path) -> None:
    goals = {name: store.read(compiled(place, f"gdo/{name}.yaml")) for name in ("minloss", "diverse", "temp_plus")}
    asked = {name: {request.what: request for request in goal.requests} for name, goal in goals.items()}
    videos = [asked[name]["videos, at least"].realised / goals[name].draws for name in goals]
    assert videos == sorted(videos) and 0.15 <= videos[0] <= 0.32 and 0.5 <= videos[2] <= 0.64
    assert store.read(compiled(place, "gdo/uniform_10x.yaml")).draws == 10 * goals["temp_plus"].draws


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


@pytest.mark.timeout(900)
def test_the_demo_runs(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "quickstart"
    for name in ("quickstart", "data_organization"):
        shutil.copytree(RECIPES / name, tmp_path / name, ignore=shutil.ignore_patterns("data", "build", ".recipe"))
    done = subprocess.run(
        [sys.executable, folder / "demo.py"], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert "changed: order, manifest; the same: pools, selection" in done.stdout
    assert "| fixed | direct |" in done.stdout
    assert "Try next" in done.stdout
