"""The study of data organisation: four schedules, as the study describes them and with exposure held fixed.

    python recipes/data_organization/run.py             # 24 runs, four at a time, one thread each
    python recipes/data_organization/run.py --quick     # the same at a sixteenth of the length: tries the machinery
    python recipes/data_organization/run.py --demo      # one schedule, one seed, a minute; ends with its table
    python recipes/data_organization/run.py --scale gpu # 130 M parameters, 51,200 samples, one run after another

Every run is `recipe compile`, `recipe train` and `recipe eval`, as a user would type them. Stopped and started again, it
goes on where it was. The same machine and versions give the same numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import generate
import numpy as np
import yaml

from runtime import tiny
from runtime.evaluate.bootstrap import interval, resampled_means
from runtime.evaluate.chance import key_of

HERE = Path(__file__).resolve().parent
SETTINGS = ("study", "fixed")
SCHEDULES = ("direct", "curriculum", "balanced", "reverse")
TASKS = {"general": "general", "chart": "reasoning", "ocr": "ocr"}
WORDS = [*generate.QUESTIONS.values(), *generate.COLOURS, *generate.SHAPES, "bar", *"0123456789"]


@dataclass(frozen=True)
class Scale:
    """How large a study is: times the samples, and a part of the recipes' epochs."""

    samples: float
    shorter: int
    batch: int
    hidden: int
    layers: int
    muon: float
    adamw: float
    device: str
    precision: str
    workers: int


SCALES = {
    "cpu": Scale(1, 1, 32, 96, 2, 0.02, 0.002, "cpu", "float32", 0),
    "quick": Scale(0.125, 2, 32, 96, 2, 0.02, 0.002, "cpu", "float32", 0),
    "demo": Scale(1, 2, 32, 96, 2, 0.02, 0.002, "cpu", "float32", 0),
    "gpu": Scale(12.5, 2, 256, 768, 12, 0.01, 0.0005, "cuda", "bfloat16", 8),
}


@dataclass(frozen=True)
class Run:
    """A schedule of a setting under a seed, which decides the weights it begins with and the order of its draws."""

    setting: str
    schedule: str
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.setting}-{self.schedule}-{self.seed}"


class Study:
    """A study in a folder: data, models, manifests, runs, answers."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.folder, self.scale = folder, scale

    def recipe(self, *arguments: str | Path) -> str:
        """A command of `recipe` in a process of its own, on one thread; its output."""
        done = subprocess.run(
            [sys.executable, "-m", "recipe_compiler", *map(str, arguments)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"recipe {' '.join(map(str, arguments))}\n{done.stderr}")
        return done.stdout

    def prepare(self, runs: Sequence[Run]) -> None:
        """Data, the exam, and a model with random weights for each seed."""
        data = self.folder / "data"
        if not (data / "whole").exists():
            options = ["--out", str(data), "--scale", str(self.scale.samples)]
            subprocess.run([sys.executable, str(HERE / "generate.py"), *options], check=True, stdout=subprocess.DEVNULL)
            (data / "whole").touch()
        for name in ("pools", "fixed_pools", "exam", *(f"{run.setting}_{run.schedule}" for run in runs)):
            shutil.copy(HERE / f"{name}.yaml", self.folder)
        self.recipe("compile", self.folder / "exam.yaml", "--out", self.folder / "exam", "--quiet")
        for seed in {run.seed for run in runs}:
            sizes = {"hidden": self.scale.hidden, "layers": self.scale.layers, "vocabulary": 400}
            tiny.write(self.folder / f"model-{seed}", "llava", seed=seed, texts=WORDS, **sizes)

    def carry_out(self, run: Run) -> str:
        """Compiles, trains, asks. What was done before is not done again. Gives the run's name."""
        answers = self.folder / f"{run.name}.answers.jsonl"
        scores = self.folder / f"{run.name}.scores.json"
        if scores.exists():
            return run.name
        lines = [f"extends: {run.setting}_{run.schedule}.yaml", "recipe: 1", f"name: {run.name}", f"seed: {run.seed}"]
        if self.scale.shorter > 1:
            stages = yaml.safe_load((self.folder / f"{run.setting}_{run.schedule}.yaml").read_text())["stages"]
            lines += ["stages:"]
            for stage in stages:
                lines += [f"  - {{name: {stage['name']}, epochs: {stage['epochs'] // self.scale.shorter}}}"]
        lines += [f"batch: {{rows: {self.scale.batch}}}"]
        text = self.folder / f"{run.name}.yaml"
        text.write_text("\n".join(lines) + "\n")
        self.recipe("compile", text, "--out", self.folder / f"{run.name}.manifest", "--quiet")
        config = self.folder / f"{run.name}.train.yaml"
        settings = [
            "train: 1",
            f"model: model-{run.seed}",
            f"manifest: {run.name}.manifest",
            f"out: {run.name}.run",
            f"batch: {self.scale.batch}",
            f"learning_rate: {{adamw: {self.scale.adamw}, muon: {self.scale.muon}}}",
            "schedule: {shape: cosine}",
            "weight_decay: 0.1",
            "clip: 0",
            "checkpoint: {every: 400, keep: 1, at_stages: false}",
            f"precision: {self.scale.precision}",
            f"device: {self.scale.device}",
            f"workers: {self.scale.workers}",
            f"seed: {run.seed}",
            *(["threads: 1"] if self.scale.device == "cpu" else []),
        ]
        config.write_text("\n".join(settings) + "\n")
        trained = json.loads(self.recipe("train", config, "--resume", "--quiet", "--format", "json"))
        options = ["--manifest", self.folder / "exam", "--out", answers, "--batch", "200", "--max-new-tokens", "8"]
        found = self.recipe("eval", Path(trained["checkpoint"]) / "model", *options, "--quiet", "--format", "json")
        scores.write_text(found)
        return run.name

    def told(self, runs: Sequence[Run]) -> dict[str, Any]:
        """What came of all runs, as plain JSON: for each setting and schedule, exposure and scores."""
        rows = []
        for setting, schedule in dict.fromkeys((run.setting, run.schedule) for run in runs):
            own = [run for run in runs if (run.setting, run.schedule) == (setting, schedule)]
            kept = [self._right(run) for run in own]
            seen = [self._exposure(run) for run in own]
            row: dict[str, Any] = {"setting": setting, "schedule": schedule, "seeds": [run.seed for run in own]}
            for task, group in TASKS.items():
                scores = np.mean([right[task] for right in kept], axis=0)
                low, high = interval(resampled_means(scores, key_of(task, 0)))
                row[task] = {
                    "draws": seen[0][group],
                    "score": float(scores.mean()),
                    "low": low,
                    "high": high,
                    "by_seed": [float(right[task].mean()) for right in kept],
                }
            rows.append(row)
        return {"samples": self.scale.samples, "rows": rows}

    def _right(self, run: Run) -> dict[str, Any]:
        """For each task, the scores of its questions in order."""
        found: dict[str, list[float]] = {task: [] for task in TASKS}
        for line in (self.folder / f"{run.name}.answers.jsonl").read_text().splitlines()[1:]:
            answer = json.loads(line)
            found[answer["pool"]].append(answer["score"])
        return {task: np.array(scores) for task, scores in found.items()}

    def _exposure(self, run: Run) -> dict[str, int]:
        """How many draws of each group the last checkpoint has seen, as the ledger says."""
        folder = self.folder / f"{run.name}.run"
        last = str(max(json.loads(self.recipe("ledger", folder, "--format", "json"))["checkpoints"]))
        seen: dict[str, int] = json.loads(self.recipe("ledger", folder, "--checkpoint", last, "--format", "json"))[
            "group"
        ]
        return seen


def markdown(told: dict[str, Any]) -> Iterator[str]:
    """The trade-off as a table: for each task the exact matches in %, with the 95% interval over questions of the mean over
    seeds, each seed's own, and how many draws of the task were trained on."""
    yield f"| setting | schedule | {' | '.join(f'{task}: % (95%) seeds, draws' for task in TASKS)} | mean |"
    yield "|---|---|" + "---|" * len(TASKS) + "--:|"
    for row in told["rows"]:
        cells = []
        for task in TASKS:
            part = row[task]
            seeds = " ".join(f"{100 * score:.1f}" for score in part["by_seed"])
            interval = f"({100 * part['low']:.1f} to {100 * part['high']:.1f})"
            cells.append(f"**{100 * part['score']:.1f}** {interval} {seeds}, {part['draws']:,}")
        mean = sum(row[task]["score"] for task in TASKS) / len(TASKS)
        yield f"| {row['setting']} | {row['schedule']} | {' | '.join(cells)} | {100 * mean:.1f} |"


def main() -> None:
    """Carries out the study and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small, to try it")
    parser.add_argument("--demo", action="store_true", help="one run of a minute, and its scores")
    parser.add_argument("--scale", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4, help="runs at a time; on a GPU, one is best")
    parser.add_argument("--out", type=Path, help="the study's folder  [default: build/ beside this file]")
    told = parser.parse_args()
    size = "quick" if told.quick else "demo" if told.demo else told.scale
    folder = told.out or HERE / "build" / f"study-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(folder, SCALES[size])
    begun = time.perf_counter()
    runs = [
        Run(setting, schedule, seed) for seed in range(told.seeds) for setting in SETTINGS for schedule in SCHEDULES
    ]
    if told.demo:
        runs = [Run("fixed", "direct", 0)]
    study.prepare(runs)
    with ThreadPoolExecutor(1 if size == "gpu" else told.jobs) as pool:
        for done, name in enumerate(pool.map(study.carry_out, runs), 1):
            print(f"{name}: {done} of {len(runs)} runs, {time.perf_counter() - begun:,.0f} s", file=sys.stderr)
    found = study.told(runs)
    (folder / "table.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(markdown(found)))
    print(f"{len(runs)} runs took {time.perf_counter() - begun:,.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
