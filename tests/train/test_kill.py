"""Every integration, killed and resumed: the same samples in the same order, and the same weights bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support import REPOSITORY
from tests.train.killing import INTEGRATIONS


def killed(points: int, seed: int, integrations: tuple[str, ...], seconds: float) -> list[dict[str, int]]:
    options = ["--points", str(points), "--seed", str(seed), "--integrations", *integrations]
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.killing", *options],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_run_that_is_killed_and_resumed_is_the_run_that_was_not() -> None:
    told = killed(len(INTEGRATIONS), 5, INTEGRATIONS, 280)
    assert [summary["integration"] for summary in told] == list(INTEGRATIONS)
    assert sum(summary["kills"] for summary in told) >= len(INTEGRATIONS) - 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_kills() -> None:
    told = killed(200, int(os.environ.get("SEED", "1")), INTEGRATIONS, 3500)
    assert sum(summary["points"] for summary in told) == 200
