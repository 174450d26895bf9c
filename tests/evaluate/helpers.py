"""A small exam of three benchmarks, its manifest, and runs of it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from recipe_compiler.cli.main import run
from runtime.commands import evaluating
from tests.support import Ran, compile_text, write_jsonl

RECIPE = """recipe: 1
name: exam
pools:
  colours: {source: data/colours.jsonl, format: qa, group: general, category: scene}
  charts: {source: data/charts.jsonl, format: qa, group: reasoning, category: chart}
  doubts: {source: data/doubts.jsonl, format: qa, group: general, category: scene}
stages: [{name: all, order: listed}]
"""
NUM = 12


def write_exam(folder: Path) -> Path:
    """Twelve questions of each kind. Positions 0 to 11 are charts, 12 to 23 colours, 24 to 35 doubts."""
    write_jsonl(
        folder / "data" / "colours.jsonl",
        (
            {"question": f"Colour {number}?", "choices": ["red", "blue", "green"], "answer": number % 3}
            for number in range(NUM)
        ),
    )
    write_jsonl(
        folder / "data" / "charts.jsonl",
        ({"question": f"How high is bar {number}?", "answer": str(10 + number)} for number in range(NUM)),
    )
    write_jsonl(
        folder / "data" / "doubts.jsonl",
        ({"question": f"Is {number} even?", "answer": ["no", "yes"][number % 2 == 0]} for number in range(NUM)),
    )
    compile_text(folder, RECIPE)
    return folder / "out"


def right(position: int) -> str:
    """The right answer at a position."""
    kind, number = divmod(position, NUM)
    return (str(10 + number), "ABC"[number % 3], ["no", "yes"][number % 2 == 0])[kind]


def write_predictions(path: Path, answer: Callable[[int], str], positions: Sequence[int] = range(3 * NUM)) -> Path:
    """Predictions made elsewhere."""
    return write_jsonl(path, ({"position": position, "prediction": answer(position)} for position in positions))


def write_run(folder: Path, name: str, answer: Callable[[int], str], manifest: Path | None = None) -> Path:
    """A judged run."""
    manifest = manifest or folder / "out"
    predictions = write_predictions(folder / f"{name}.predictions.jsonl", answer)
    questions = evaluating.questions_of(manifest, (), root=folder, cache=None)
    evaluating.judge(predictions, questions, folder / f"{name}.jsonl", metrics=(), progress=lambda _w, _d, _t: None)
    return folder / f"{name}.jsonl"


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run_here(*arguments: str | Path, cwd: Path) -> Ran:
    """Runs `recipe` in this process, which has loaded what it needs."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Ran(code, out.getvalue(), err.getvalue())
