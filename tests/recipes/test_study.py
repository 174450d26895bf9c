"""The study of data organisation: what differs between its recipes, and that it gives the same numbers twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe_compiler.manifest import store
from tests.recipes.shipped import RECIPES, compiled
from tests.support import REPOSITORY

SCHEDULES = ("direct", "curriculum", "balanced", "reverse")


def test_with_exposure_held_fixed_only_the_order_differs(place: Path) -> None:
    made = [store.read(compiled(place, f"data_organization/fixed_{name}.yaml")).ids for name in SCHEDULES]
    assert len({ids.selection for ids in made}) == 1
    assert len({ids.order for ids in made}) == 4


def test_as_the_study_describes_only_balancing_changes_what_is_seen(place: Path) -> None:
    made = {name: store.read(compiled(place, f"data_organization/study_{name}.yaml")) for name in SCHEDULES}
    assert len({manifest.draws for manifest in made.values()}) == 1
    assert len({made[name].ids.selection for name in ("direct", "curriculum", "reverse")}) == 1
    assert made["balanced"].ids.selection != made["direct"].ids.selection


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_study_gives_the_same_numbers_twice(tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        done = subprocess.run(
            [sys.executable, str(RECIPES / "data_organization" / "run.py"), "--quick", "--seeds", "1", "--out", name],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert done.stdout.count("\n") == 2 + 8
        tables.append((tmp_path / name / "table.json").read_text())
    assert tables[0] == tables[1]
