"""Options and profiles that all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Tests never reach for a hub; a name that is not local fails at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("fast", max_examples=40, deadline=None)
settings.register_profile("deep", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden manifests anew")
    parser.addoption("--update-spec", action="store_true", help="write what is said into the specification anew")
    parser.addoption("--update-table", action="store_true", help="write the table of realised counts anew")
