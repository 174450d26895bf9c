"""A model's answers: the same in any batch, those of a plain greedy loop, and a run that goes on where it was cut."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from PIL import Image

from recipe_compiler.errors import RecipeError
from runtime import tiny
from runtime.collate import Collator
from runtime.commands import evaluating
from runtime.evaluate.model import Model, digest
from runtime.evaluate.predictions import RunError
from runtime.evaluate.questions import Questions
from runtime.reader import Reader
from tests.evaluate.helpers import run_here
from tests.support import REPOSITORY, compile_text, run_recipe, write_jsonl

NUM = 7


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions with no, one or two pictures, of several sizes and lengths."""
    folder = tmp_path_factory.mktemp("exam")
    (folder / "images").mkdir()
    records = []
    for number in range(NUM):
        names = [f"{number}-{place}.png" for place in range(number % 3)]
        for place, name in enumerate(names):
            shade = np.full((40 + 8 * number, 56, 3), 30 * number + place, np.uint8)
            Image.fromarray(shade).save(folder / "images" / name)
        text = "Look. " * number + f"How many apples are there in picture {number}?"
        records.append({"id": str(number), "question": text, "image": names, "answer": str(number)})
    write_jsonl(folder / "q.jsonl", records)
    compile_text(folder, "{recipe: 1, name: exam, pools: {q: {source: q.jsonl, format: qa, media: images}}}")
    return folder


def questions_of(exam: Path) -> Questions:
    return evaluating.questions_of(exam / "out", (), root=None, cache=None)


@pytest.mark.parametrize("family", ["llava", "idefics3", "smolvlm", "qwen2_5_vl", "qwen3_vl"])
def test_answers_are_greedy_and_the_same_in_any_batch(exam: Path, tmp_path: Path, family: str) -> None:
    tiny.write(tmp_path, family)
    model = Model.load(tmp_path)
    questions = questions_of(exam)
    asked = [questions[position] for position in range(NUM)]
    together = model.answer(asked, max_new_tokens=5)
    assert together == [model.answer([question], max_new_tokens=5)[0] for question in asked]
    assert together == [slowly(model, exam, position, 5) for position in range(NUM)]
    assert len(set(together)) > 1


def slowly(model: Model, exam: Path, position: int, max_new_tokens: int) -> str:
    """Greedy by whole forward passes over what training has for the sample up to its answer."""
    batch = Collator(model.processor, video_frames=model.collator.video_frames)([Reader(exam / "out").sample(position)])
    start = int((batch.inputs["labels"][0] != -100).nonzero()[0, 0])
    inputs = {name: tensor for name, tensor in batch.inputs.items() if name != "labels"}
    for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        if name in inputs:
            inputs[name] = inputs[name][:, :start]
    said: list[int] = []
    ends = model.model.generation_config.eos_token_id
    for _ in range(max_new_tokens):
        with torch.inference_mode():
            token = int(model.model(**inputs, use_cache=False).logits[0, -1].argmax())
        said.append(token)
        if token == ends:
            break
        for name, value in (("input_ids", token), ("attention_mask", 1), ("mm_token_type_ids", 0)):
            if name in inputs:
                inputs[name] = torch.cat([inputs[name], torch.tensor([[value]])], dim=1)
    return str(model.processor.tokenizer.decode(said, skip_special_tokens=True)).strip()


def test_the_digest_is_of_what_decides_the_answers(tmp_path: Path) -> None:
    tiny.write(tmp_path, "llava")
    before = digest(tmp_path)
    (tmp_path / "trainer_state.json").write_text("{}")
    (tmp_path / "optimizer.pt").write_bytes(b"x")
    assert digest(tmp_path) == before
    tiny.write(tmp_path, "llava", seed=1)
    assert digest(tmp_path) != before


def test_a_run_that_was_cut_short_goes_on_and_another_models_is_refused(exam: Path, tmp_path: Path) -> None:
    tiny.write(tmp_path / "model", "llava")
    asked = ("eval", tmp_path / "model", "--manifest", exam / "out", "--out", tmp_path / "run.jsonl")
    asked = (*asked, "--max-new-tokens", "4", "--batch", "3")
    ran = run_here(*asked, cwd=exam)
    assert (ran.code, ran.err) == (0, f"wrote {tmp_path / 'run.jsonl'}\n")
    whole = (tmp_path / "run.jsonl").read_bytes()
    assert whole.count(b"\n") == NUM + 1
    lines = whole.splitlines(keepends=True)
    (tmp_path / "run.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:20])
    again = run_here(*asked, cwd=exam)
    assert again.out == ran.out and (tmp_path / "run.jsonl").read_bytes() == whole
    assert f"4 of {NUM} draws were answered before" in again.err
    tiny.write(tmp_path / "model", "llava", seed=1)
    with pytest.raises(RunError, match="is a run of something else"):
        evaluating.answer(
            tmp_path / "model",
            questions_of(exam),
            tmp_path / "run.jsonl",
            metrics=(),
            batch=3,
            max_new_tokens=4,
            progress=lambda _what, _done, _total: None,
        )
    assert (tmp_path / "run.jsonl").read_bytes() == whole


def test_two_ranks_write_the_run_of_one(exam: Path, tmp_path: Path) -> None:
    """Twelve questions are three batches of at most five: in the second round one rank has nothing to answer."""
    tiny.write(tmp_path / "model", "llava")
    asked = ("eval", tmp_path / "model", "--manifest", exam / "out", "--max-new-tokens", "4", "--batch", "5")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    alone = run_recipe(*asked, "--out", tmp_path / "alone.jsonl", cwd=exam, environment=environment)
    assert alone.code == 0
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "recipe_compiler",
    ]
    done = subprocess.run(
        [*launch, *map(str, asked), "--out", str(tmp_path / "both.jsonl")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == alone.out
    assert (tmp_path / "both.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no config\.json"):
        Model.load(tmp_path)
    tiny.write(tmp_path, "llava")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match="no weights as safetensors"):
        Model.load(tmp_path)


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been_killed(exam: Path, tmp_path: Path) -> None:
    tiny.write(tmp_path / "model", "qwen3_vl")
    asked = ["eval", str(tmp_path / "model"), "--manifest", str(exam / "out"), "--batch", "1", "--max-new-tokens", "64"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    assert run_recipe(*asked, "--out", tmp_path / "whole.jsonl", cwd=exam, environment=environment).code == 0
    run = tmp_path / "killed.jsonl"
    for least in (2, 4):
        command = [sys.executable, "-m", "recipe_compiler", *asked, "--out", str(run)]
        running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None and (not run.exists() or run.read_bytes().count(b"\n") < least):
            time.sleep(0.01)
        running.kill()
        running.wait()
    assert least <= run.read_bytes().count(b"\n") < NUM + 1
    assert run_recipe(*asked, "--out", run, cwd=exam, environment=environment).code == 0
    assert run.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
