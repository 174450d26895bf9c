"""The trainers of others over a manifest: what each step learns from, beside our own loop."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import ledger
from runtime.train.config import read
from runtime.train.loop import fit
from tests.support import REPOSITORY


def trained(place: Path, out: Path, name: str, batch: int, ranks: int = 1) -> str:
    options = {"--model": place / "model", "--manifest": place / "out", "--out": out, "--batch": batch, "--save": 3}
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    done = subprocess.run(
        [
            sys.executable,
            *launch,
            f"recipes/training/{name}.py",
            *(str(part) for pair in options.items() for part in pair),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def ours(place: Path, out: Path, batch: int) -> list[float]:
    (place / "same.yaml").write_text(
        f"train: 1\nmodel: model\nmanifest: out\nout: x\nbatch: {batch}\nlearning_rate: {{adamw: 0.001}}\n"
        "weight_decay: 0\nclip: 1\nschedule: {shape: linear}\nthreads: 1\n"
    )
    fit(dataclasses.replace(read(place / "same.yaml"), out=out))
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_trainer_learns_what_our_loop_learns_and_its_last_step_is_short(place: Path, tmp_path: Path) -> None:
    trained(place, tmp_path / "run", "trainer", 10)
    steps = ledger.read(tmp_path / "run").steps
    assert [(step.start, step.stop) for step in steps] == [(at, min(at + 10, 48)) for at in range(0, 48, 10)]
    state = json.loads((tmp_path / "run" / "checkpoint-5" / "trainer_state.json").read_text())
    told = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert told == pytest.approx(ours(place, tmp_path / "ours", 10), rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name, ranks", [("trainer", 2), ("sft", 1), ("sft", 2), ("with_accelerate", 2)])
def test_others_learn_it_too(place: Path, tmp_path: Path, name: str, ranks: int) -> None:
    said = trained(place, tmp_path / "run", name, 8, ranks)
    steps = ledger.read(tmp_path / "run").steps
    assert [(step.start, step.stop) for step in steps] == [(at, at + 8) for at in range(0, 48, 8)]
    if name == "with_accelerate":
        told = [json.loads(line)["loss"] for line in said.splitlines() if line.startswith('{"step"')]
        assert len(told) == 6 and told[0] == pytest.approx(ours(place, tmp_path / "ours", 8)[0], rel=2e-3)
    else:
        state = json.loads((tmp_path / "run" / "checkpoint-6" / "trainer_state.json").read_text())
        told = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
        assert told == pytest.approx(ours(place, tmp_path / "ours", 8), rel=2e-3)
