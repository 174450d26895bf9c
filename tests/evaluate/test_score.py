"""`recipe score`: losses against a slow count, any batch, and a recipe that filters by them."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from runtime import tiny
from runtime.collate import Collator
from runtime.commands import scoring
from runtime.evaluate.losses import Loss, Losses, ifd
from runtime.evaluate.model import Model
from runtime.reader import Reader, Sample
from tests.evaluate.helpers import NUM, write_exam
from tests.support import compile_text, draws, run_recipe, write_jsonl


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
    ran = run_recipe(
        *("score", "model", "--manifest", "out", "--out", "scores/s.parquet", "--ifd", "--batch", "5"),
        cwd=folder,
        environment={"OMP_NUM_THREADS": "1"},
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


def test_samples_without_answers_have_no_scores_and_are_told(folder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", ({"question_id": n, "text": f"Say {n % 2}."} for n in range(4)))
    compile_text(tmp_path, "{recipe: 1, name: ask, pools: {p: {source: p.jsonl, format: prompt}}}")
    told = scoring.score(
        folder / "model",
        tmp_path / "out",
        tmp_path / "s.parquet",
        with_ifd=False,
        batch=3,
        root=None,
        cache=None,
        progress=lambda _what, _done, _total: None,
    )
    assert (told["samples"], told["without_answer"]) == (2, 2)
    assert pq.read_table(tmp_path / "s.parquet")["loss"].to_pylist() == [None, None]
    assert sorted(path.name for path in tmp_path.glob("*.unfinished")) == []
