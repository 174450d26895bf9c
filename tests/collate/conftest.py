"""Tiny models of every family, written once for a session."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob: list[str] = []
FAMILIES: tuple[str, ...] = ()
if all(importlib.util.find_spec(library) for library in ("torch", "transformers")):
    from runtime.tiny import FAMILIES
else:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are faster without company, and give the same bits everywhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Family -> the folder of a tiny model."""
    from runtime import tiny

    @cache
    def write(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        tiny.write(folder, family)
        return folder

    return write


@pytest.fixture(scope="session")
def processor_of(folder_of: Any) -> Any:
    """Family -> a processor of its tiny model."""
    from runtime import tiny

    return cache(lambda family: tiny.load_processor(folder_of(family)))


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def processor(processor_of: Any, family: str) -> Any:
    return processor_of(family)
