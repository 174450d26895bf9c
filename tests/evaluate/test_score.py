"""`recipe score`: losses against a slow count, any batch, and a recipe that filters by them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from runtime import tiny
from runtime.collate import Collator
from runtime.commands import evaluating, scoring
from runtime.errors import StreamError
from runtime.evaluate.chance import key_of
from runtime.evaluate.losses import Loss, Losses, ifd
from runtime.evaluate.model import Model
from runtime.evaluate.pism import Level, levels, masked
from runtime.evaluate.questions import Question
from runtime.reader import Reader
from runtime.sample import Media, Sample
from tests.evaluate.helpers import NUM, run_here, write_exam
from tests.support import compile_text, draws, write_jsonl


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score")
    write_exam(folder)
    tiny.write(folder / "model", "llava")
    return folder


def slowly(model: Model, sample: Sample) -> float:
    """The mean over answer tokens of minus the log of the softmax, one token after another."""
    inputs = Collator(model.processor)([sample]).inputs
    with torch.inference_mode():
        logits = model.model(**{name: value for name, value in inputs.items() if name != "labels"}).logits[0].double()
    losses = []
    for place, label in enumerate(inputs["labels"][0].tolist()):
        if label != -100:
            row = logits[place - 1].tolist()
            most = max(row)
            losses.append(most + math.log(sum(math.exp(value - most) for value in row)) - row[label])
    return sum(losses) / len(losses)


def test_losses_are_the_slow_ones_in_any_batch(folder: Path) -> None:
    model, reader = Model.load(folder / "model"), Reader(folder / "out")
    samples = [reader.sample(position) for position in range(0, 3 * NUM, 5)]
    losses = Losses(model)
    together = losses.of(samples)
    for sample, loss in zip(samples, together, strict=True):
        assert loss.mean == pytest.approx(slowly(model, sample), rel=1e-5)
        assert losses.of([sample])[0].mean == pytest.approx(loss.mean, rel=1e-5)
        (alone,) = losses.alone([sample])
        assert alone.tokens == loss.tokens and ifd(loss, alone, sample) == pytest.approx(loss.mean / alone.mean)
    with pytest.raises(Exception, match="leave out `--ifd`"):
        ifd(Loss(3, 1.0), Loss(2, 1.0), samples[0])


def test_a_recipe_filters_by_the_scores(folder: Path) -> None:
    ran = run_here(
        *("score", "model", "--manifest", "out", "--out", "scores/s.parquet", "--ifd", "--batch", "5"),
        cwd=folder,
    )
    assert (ran.code, ran.err) == (0, "wrote scores/s.parquet\n")
    assert ran.out == "36 samples: answer_tokens, loss, perplexity, loss_alone, ifd\n"
    table = pq.read_table(folder / "scores" / "s.parquet")
    assert table.schema.metadata[b"recipe.model"].decode() == Model.load(folder / "model").digest
    assert table.schema.metadata[b"recipe.manifest"].decode() == Reader(folder / "out").manifest.ids.manifest
    rows = table.to_pylist()
    assert all(row["perplexity"] == pytest.approx(math.exp(row["loss"])) for row in rows)
    middle = sorted(row["ifd"] for row in rows)[18]
    recipe = (folder / "recipe.yaml").read_text().replace("name: exam", "name: easy")
    compile_text(
        folder, f"{recipe}annotations: [{{source: scores/s.parquet}}]\nfilter: ['ifd < {middle!r}']\n", out="easy"
    )
    kept = {bytes(sample_id).hex() for sample_id in draws(folder / "easy")["sample_id"]}
    assert kept == {row["sample_id"] for row in rows if row["ifd"] < middle} and len(kept) == 18


def test_scoring_that_was_cut_short_goes_on_and_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    def scored(out: str, *, model: Path = folder / "model", stop: bool = False) -> dict[str, Any]:
        def told(_what: str, done: int, _total: int) -> None:
            if stop and done == 32:
                raise KeyboardInterrupt

        options = {"with_ifd": False, "pism": None, "batch": 1, "root": None, "cache": None}
        return scoring.score(model, folder / "out", tmp_path / out, progress=told, **options)

    assert scored("whole.parquet")["scored_before"] == 0
    with pytest.raises(KeyboardInterrupt):
        scored("cut.parquet", stop=True)
    assert not (tmp_path / "cut.parquet").exists()
    tiny.write(tmp_path / "model", "llava", seed=1)
    with pytest.raises(StreamError, match=r"\.cut\.parquet\.unfinished: samples were scored by another model"):
        scored("cut.parquet", model=tmp_path / "model")
    assert scored("cut.parquet")["scored_before"] == 32
    assert (tmp_path / "cut.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_second_writer_of_a_table_is_refused_and_changes_nothing(folder: Path, tmp_path: Path) -> None:
    options = {"with_ifd": False, "pism": None, "batch": 1, "root": None, "cache": None}
    refused: list[str] = []

    def score(progress: scoring.Progress) -> None:
        scoring.score(folder / "model", folder / "out", tmp_path / "s.parquet", progress=progress, **options)

    def meanwhile(_what: str, _done: int, _total: int) -> None:
        with pytest.raises(StreamError) as error:
            score(lambda _what, _done, _total: None)
        refused.append(str(error.value))

    score(meanwhile)
    told = f"{tmp_path / 's.parquet'}: another score is writing here; nothing was changed by this one"
    assert refused and set(refused) == {told}
    assert pq.read_metadata(tmp_path / "s.parquet").num_rows == 3 * NUM
    assert not list(tmp_path.glob(".*"))


def test_samples_without_answers_have_no_scores_and_are_told(folder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", ({"question_id": n, "text": f"Say {n % 2}."} for n in range(4)))
    compile_text(tmp_path, "{recipe: 1, name: ask, pools: {p: {source: p.jsonl, format: prompt}}}")
    told = scoring.score(
        folder / "model",
        tmp_path / "out",
        tmp_path / "s.parquet",
        with_ifd=False,
        pism=None,
        batch=3,
        root=None,
        cache=None,
        progress=lambda _what, _done, _total: None,
    )
    assert (told["samples"], told["without_answer"]) == (2, 2)
    assert pq.read_table(tmp_path / "s.parquet")["loss"].to_pylist() == [None, None]
    assert sorted(path.name for path in tmp_path.glob("*.unfinished")) == []


def test_a_level_is_the_first_at_which_no_mask_leaves_enough(tmp_path: Path) -> None:
    """The slow way: every trial of every level, each question alone, and the first level without a right answer."""
    shades = np.random.Generator(np.random.Philox(3)).integers(0, 255, (6, 56, 56, 3), dtype=np.uint8)
    for number, shade in enumerate(shades):
        Image.fromarray(shade).save(tmp_path / f"{number}.png")
    tiny.write(tmp_path / "model", "llava")
    model = Model.load(tmp_path / "model")
    records = [{"question": f"What is {n}?", "image": f"{n}.png", "answer": "unknown"} for n in range(6)]
    write_jsonl(tmp_path / "q.jsonl", records)
    recipe = (
        "{recipe: 1, name: q, pools: {q: {source: q.jsonl, format: qa, media: .}}, stages: [{name: q, order: listed}]}"
    )
    compile_text(tmp_path, recipe)
    questions = evaluating.questions_of(tmp_path / "out", (), root=None, cache=None)
    said = [model.answer([questions[n]], max_new_tokens=1)[0] for n in range(6)]
    # What it says of the whole picture is right, but for the last two.
    for record, text in zip(records[:4], said, strict=False):
        record["answer"] = text or "unknown"
    write_jsonl(tmp_path / "q.jsonl", [*records, {"question": "No picture?", "answer": "x"}])
    compile_text(tmp_path, recipe)
    questions = evaluating.questions_of(tmp_path / "out", (), root=None, cache=None)
    asked = [questions[n] for n in range(7)]
    options = {"max_new_tokens": 1, "trials": 3, "seed": 5}
    found = levels(model, asked, batch=4, **options)
    assert found == levels(model, asked, batch=1, **options)
    assert found[6] == Level(None, None) and found[4] == found[5] == Level(0, False)
    for question, level in zip(asked[:6], found, strict=False):
        first = next(
            (tenths for tenths in range(10) if not any(is_right(model, question, tenths, t) for t in range(3))), None
        )
        assert level == Level(first, first != 0)


def is_right(model: Model, question: Question, tenths: int, trial: int) -> bool:
    sample = question.sample
    key = key_of("pism", sample.sample_id, 0, tenths, trial, 5)
    seen = dataclasses.replace(sample, media=[masked(sample.media[0], tenths, key)])
    (text,) = model.answer([dataclasses.replace(question, sample=seen)], max_new_tokens=1)
    verdict = question.judge(text)
    return verdict is not None and verdict.score >= 0.5


@pytest.mark.parametrize("tenths", range(10))
def test_a_mask_blackens_its_share_of_the_pixels(tmp_path: Path, tenths: int) -> None:
    Image.new("RGB", (20, 31), (255, 255, 255)).save(tmp_path / "white.png")
    media = Media(kind="image", path=tmp_path / "white.png", data=None)
    pixels, more, others = (
        np.asarray(masked(media, part, key).image()) for part, key in ((tenths, 7), (tenths + 1, 7), (tenths, 8))
    )
    assert pixels.shape == (31, 20, 3) and set(np.unique(pixels)) <= {0, 255}
    assert int((pixels == 0).all(axis=2).sum()) == 620 * tenths // 10
    assert ((pixels == 0) <= (more == 0)).all()
    assert (pixels == others).all() == (tenths == 0)


def test_pism_is_a_table_that_a_recipe_reads(tmp_path: Path) -> None:
    Image.new("RGB", (48, 48), (255, 0, 0)).save(tmp_path / "0.png")
    tiny.write(tmp_path / "model", "llava")
    write_jsonl(
        tmp_path / "q.jsonl",
        ({"question": f"What is {n}?", "image": ["0.png"] * (n < 3), "answer": "a thing"} for n in range(4)),
    )
    compile_text(tmp_path, "{recipe: 1, name: q, pools: {q: {source: q.jsonl, format: qa, media: .}}}")
    ran = run_here(
        *("score", "model", "--manifest", "out", "--out", "s.parquet", "--pism", "--max-new-tokens", "2"),
        cwd=tmp_path,
    )
    assert (ran.code, ran.err) == (0, "wrote s.parquet\n")
    assert ran.out == (
        "4 samples: answer_tokens, loss, perplexity, pism_level, solved\n"
        "1 have no image or no answer to judge by, and no level\n"
    )
    chosen = "select: {method: difficulty, pism: pism_level, solved: solved, keep: [unsolved]}"
    recipe = (
        (tmp_path / "recipe.yaml").read_text().rstrip("}\n") + "}}, annotations: [{source: s.parquet}], " + chosen + "}"
    )
    assert compile_text(tmp_path, recipe, out="hard").manifest.draws == 3
