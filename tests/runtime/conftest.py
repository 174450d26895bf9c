"""Manifests compiled once for a session; tests that change pools compile their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.helpers import MIXED, SINGLE, compiled


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 draws of one plain pool, in shards of 7."""
    return compiled(tmp_path_factory.mktemp("single"), SINGLE)


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stages of a plain and a compressed pool, with repeats and a replay."""
    return compiled(tmp_path_factory.mktemp("mixed"), MIXED)


@pytest.fixture(params=["single", "mixed"])
def manifest(request: pytest.FixtureRequest) -> Path:
    """Each of the two."""
    path: Path = request.getfixturevalue(request.param)
    return path
