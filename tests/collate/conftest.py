"""Tiny models of every family, written once for a session."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from runtime import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are faster without company, and give the same bits everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Family -> the folder of a tiny model."""

    @cache
    def write(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        tiny.write(folder, family)
        return folder

    return write


@pytest.fixture(scope="session")
def processor_of(folder_of: Any) -> Any:
    """Family -> a processor of its tiny model."""
    return cache(lambda family: tiny.load_processor(folder_of(family)))


@pytest.fixture(params=tiny.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def processor(processor_of: Any, family: str) -> Any:
    return processor_of(family)
