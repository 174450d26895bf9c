"""Options and profiles that all tests share."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import settings

from tests.support import REPOSITORY

# Tests never reach for a hub; a name that is not local fails at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("fast", max_examples=40, deadline=None)
settings.register_profile("deep", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden manifests anew")
    parser.addoption("--update-spec", action="store_true", help="write what is said into the specification anew")
    parser.addoption("--update-table", action="store_true", help="write the table of realised counts anew")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests that fork get a process of their own: a child inherits whatever locks threads of other tests' libraries hold."""
    if pyfuncitem.get_closest_marker("forks") is None or "TEST_ALONE" in os.environ:
        return None
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", pyfuncitem.nodeid]
    done = subprocess.run(
        command, env={**outside, "TEST_ALONE": "1"}, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return True
