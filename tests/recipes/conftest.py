"""The shipped recipes beside a tenth of their data, made once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.shipped import RECIPES


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes, the quickstart with a tenth of its data, and the other data as they are."""
    folder = tmp_path_factory.mktemp("shipped")
    shutil.copytree(RECIPES, folder, ignore=shutil.ignore_patterns("data", "build", ".recipe"), dirs_exist_ok=True)
    made = {"quickstart": ["--scale", "0.1", "--scores"], "gdo": [], "individual_select": []}
    made["data_organization"] = ["--scale", "0.125"]
    for name, options in made.items():
        generate = [sys.executable, "generate.py", "--out", "data", *options]
        subprocess.run(generate, cwd=folder / name, check=True, capture_output=True)
    return folder
