"""A manifest over every container, and its copies, made once for a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.materialize.helpers import KINDS, STREAMED, compiled, copy


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest that is copied."""
    return compiled(tmp_path_factory.mktemp("copied"))


@pytest.fixture(scope="session")
def written(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of each kind, far from the pools. Not to be changed."""
    folder = tmp_path_factory.mktemp("copies")
    for kind in KINDS:
        copy(source, folder / kind, kind)
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture(params=STREAMED)
def streamed(request: pytest.FixtureRequest, written: dict[str, Path]) -> Path:
    """Each copy that is streamed."""
    return written[request.param]
