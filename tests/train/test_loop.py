"""The loop beside the slowest one there can be, and what a run keeps."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from recipe_compiler.cli.main import run as run_recipe
from runtime import ledger
from runtime.capabilities import Levels
from runtime.collate import Collator, load_processor
from runtime.errors import ModelError
from runtime.models import load_model
from runtime.stream import ManifestDataset
from runtime.train import checkpoint
from runtime.train.config import Config, Rates, read
from runtime.train.errors import TrainError
from runtime.train.loop import Border, Outcome, Voices, fit
from tests.support import REPOSITORY, compile_text
from tests.train.killing import RECIPE

Make = Callable[..., Config]


@pytest.fixture
def config(place: Path, tmp_path: Path) -> Make:
    (place / "run.yaml").write_text(
        f"train: 1\nmodel: model\nmanifest: out\nout: {tmp_path / 'run'}\nbatch: 10\nmicro_batch: 3\n"
        "learning_rate: {adamw: 0.002}\nweight_decay: 0\nclip: 0\nschedule: {shape: constant}\nthreads: 1\n"
    )
    whole = read(place / "run.yaml")
    return lambda **changes: dataclasses.replace(whole, **changes)


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_the_losses_are_those_of_one_sample_at_a_time(place: Path, config: Make) -> None:
    """The oracle: no loader, no batches, no padding, transformers' own loss; gradients added up sample by sample."""
    config = config()
    outcome = fit(config)
    dataset, collator = ManifestDataset(place / "out"), Collator(load_processor(place / "model"))
    model = load_model(place / "model").train()
    optimizer = AdamW(model.parameters(), lr=0.002, weight_decay=0)
    for number, start in enumerate(range(0, 48, 10)):
        samples = [dataset[position] for position in range(start, min(start + 10, 48))]
        alone = [collator([sample]).inputs for sample in samples]
        tokens = sum(int((inputs["labels"][:, 1:] != -100).sum()) for inputs in alone)
        total = 0.0
        pools: dict[str, list[float]] = {}
        for sample, inputs in zip(samples, alone, strict=True):
            own = int((inputs["labels"][:, 1:] != -100).sum())
            loss = model(**inputs).loss * own
            (loss / tokens).backward()
            total += loss.item()
            counts = pools.setdefault(sample.pool, [0.0, 0, 0])
            pools[sample.pool] = [counts[0] + loss.item(), counts[1] + own, counts[2] + 1]
        optimizer.step()
        optimizer.zero_grad()
        told = records(config.out)[number]
        assert told["loss"] == pytest.approx(total / tokens, rel=2e-4)
        assert told["tokens"] == tokens
        assert told["pool"] == pytest.approx({pool: row[0] / row[1] for pool, row in pools.items()}, rel=2e-4)
        assert told["draws"] == {pool: row[2] for pool, row in pools.items()}
        for kind, names in (("group", ("general", "ocr")), ("capability", ("naming", "reading"))):
            named = {names["ab".index(pool)]: row[0] / row[1] for pool, row in pools.items()}
            assert told[kind] == pytest.approx(named, rel=2e-4)
    assert (outcome.steps, outcome.draws, outcome.taken) == (5, 48, 5)
    assert records(config.out)[4]["stop"] == 48


def test_losses_are_told_by_the_columns_of_a_table_of_scores(place: Path, config: Make, tmp_path: Path) -> None:
    """A sample counts for each capability that it has; those without a row have none."""
    scores = {"a0": (3, 0), "a1": (5, 4), "a2": (2, 3), "a3": (2, 2), "a4": (3, 3), "a5": (4, None)}
    lines = [f"{key},{ocr},{'' if chart is None else chart}" for key, (ocr, chart) in scores.items()]
    (tmp_path / "s.csv").write_text("\n".join(["key,ocr,chart", *lines]) + "\n")
    levels = Levels(source=tmp_path / "s.csv", match="key", levels={"ocr": 3, "chart": 3})
    said: list[str] = []
    made = config(steps=2, rates=Rates(adamw=0.0, muon=None), capabilities=levels)
    fit(made, voices=Voices(say=said.append))
    dataset, collator = ManifestDataset(place / "out"), Collator(load_processor(place / "model"))
    model = load_model(place / "model").train()
    for number, told in enumerate(records(made.out)):
        for place_of, name in enumerate(("ocr", "chart")):
            loss, tokens, count = 0.0, 0, 0
            for position in range(10 * number, 10 * number + 10):
                sample = dataset[position]
                score = scores.get(str(sample.key), (None, None))[place_of]
                if score is not None and score >= 3:
                    inputs = collator([sample]).inputs
                    own = int((inputs["labels"][:, 1:] != -100).sum())
                    loss, tokens, count = loss + model(**inputs).loss.item() * own, tokens + own, count + 1
            assert told["capability_draws"].get(name, 0) == count
            assert told["capability"].get(name, 0.0) == pytest.approx(loss / tokens if tokens else 0.0, rel=2e-4)
    assert sum(told["capability_draws"].get("ocr", 0) for told in records(made.out)) > 0
    assert not [remark for remark in said if "no draw" in remark]
    never = dataclasses.replace(levels, levels={"chart": 9})
    fit(dataclasses.replace(made, out=tmp_path / "never", capabilities=never), voices=Voices(say=said.append))
    assert f"no draw of these steps has a `chart` of at least 9 in {tmp_path / 's.csv'}" in said


def test_packs_teach_what_their_samples_teach_alone(place: Path, config: Make, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "packed", ignore=shutil.ignore_patterns("out", "run.yaml"))
    compile_text(tmp_path / "packed", f"{RECIPE}pack: {{max_tokens: 2000}}\n")
    made = config(manifest=tmp_path / "packed/out", batch=4)
    outcome = fit(made)
    dataset, collator = ManifestDataset(tmp_path / "packed/out"), Collator(load_processor(place / "model"))
    model = load_model(place / "model").train()
    told = records(made.out)
    first = [dataset[position] for position in range(told[0]["stop"])]
    assert len({sample.unit for sample in first}) == 4 < len(first)
    alone = [collator([sample]).inputs for sample in first]
    tokens = [int((inputs["labels"][:, 1:] != -100).sum()) for inputs in alone]
    total = sum(model(**inputs).loss.item() * own for inputs, own in zip(alone, tokens, strict=True))
    assert told[0]["tokens"] == sum(tokens)
    assert told[0]["loss"] == pytest.approx(total / sum(tokens), rel=2e-4)
    assert outcome.draws == 48
    units = {dataset[position].unit for position in range(48)}
    assert outcome.steps == -(-len(units) // 4)


@pytest.mark.forks
def test_the_size_of_a_micro_batch_and_workers_change_nothing(config: Make, tmp_path: Path) -> None:
    told = []
    for number, (size, workers) in enumerate(((3, 0), (10, 2), (1, 1))):
        made = config(micro_batch=size, workers=workers, out=tmp_path / str(number))
        fit(made)
        told.append([record["loss"] for record in records(made.out)])
    assert told[1] == pytest.approx(told[0], rel=2e-4) and told[2] == pytest.approx(told[0], rel=2e-4)


def test_a_run_is_the_same_bits_twice_and_when_it_is_cut_in_two(config: Make, tmp_path: Path) -> None:
    whole = config(out=tmp_path / "whole", checkpoint_every=2)
    fit(whole)
    again = config(out=tmp_path / "again", checkpoint_every=2)
    fit(again)
    digests = [checkpoint.read(checkpoint.saved(made.out)[-1]).weights for made in (whole, again)]
    shutil.rmtree(checkpoint.saved(again.out)[-1])
    assert fit(again, resume=True).taken < 5
    digests.append(checkpoint.read(checkpoint.saved(again.out)[-1]).weights)
    assert len(set(digests)) == 1
    history = ledger.read(again.out)
    assert len(history.begins) == 2 and history.undone > 0 and len(history.steps) == 5
    assert [record["loss"] for record in records(again.out)] == [record["loss"] for record in records(whole.out)]


def test_stages_have_rates_borders_and_checkpoints(config: Make) -> None:
    rates = {"two": Rates(adamw=0.0005, muon=None)}
    made = config(stage_rates=rates, batch=8, shape="cosine", warmup=2)
    passed: list[Border] = []
    said: list[str] = []
    fit(made, voices=Voices(on_stage=passed.append, say=said.append))
    # Stage one has 26 draws: its last ones are in the fourth step of 8, with the first of stage two.
    assert [(border.stage, border.step, border.draws) for border in passed] == [("one", 4, 32), ("two", 6, 48)]
    assert [folder.name for folder in checkpoint.saved(made.out)] == ["000004", "000006"]
    assert any("stage `two` begins inside a step, after 2 of its 8 draws" in remark for remark in said)
    factors = [0.5, 1.0, *(0.5 * (1 + math.cos(math.pi * at / 4)) for at in range(4))]
    heights = [0.002] * 4 + [0.0005] * 2
    expected = [factor * height for factor, height in zip(factors, heights, strict=True)]
    assert [record["rate"]["adamw"] for record in records(made.out)] == pytest.approx(expected)
    assert [record["stage"] for record in records(made.out)] == ["one"] * 4 + ["two"] * 2


def test_old_checkpoints_go_and_those_at_borders_stay(config: Make) -> None:
    made = config(batch=4, checkpoint_every=1, keep=2)
    fit(made)
    # Those of steps 7 and 12 are at the ends of stages.
    assert [int(folder.name) for folder in checkpoint.saved(made.out)] == [7, 10, 11, 12]
    assert ledger.read(made.out).checkpoints == tuple(range(1, 13))


def test_copies_of_checkpoints_are_let_alone(config: Make) -> None:
    done = fit(config(steps=2, checkpoint_every=1))
    copy = done.checkpoint.with_name(f"{done.checkpoint.name}-best")
    shutil.copytree(done.checkpoint, copy)
    again = fit(config(steps=3, keep=1), resume=True)
    kept = [folder.name for folder in checkpoint.saved(again.checkpoint.parent.parent)]
    # The last one is at the end of a stage, and stays beside the one that `keep` asks for.
    assert (again.taken, kept) == (1, ["000002", "000003"]) and copy.exists()


def test_muon_has_the_matrices_and_freezing_keeps_weights(place: Path, config: Make) -> None:
    made = config(rates=Rates(adamw=0.002, muon=0.02), freeze=("vision_tower",), steps=2)
    done = fit(made)
    before = dict(load_model(place / "model").named_parameters())
    after = dict(load_model(done.checkpoint / "model").named_parameters())
    frozen = {name for name in before if "vision_tower" in name}
    assert 0 < len(frozen) < len(before)
    assert {name for name in before if torch.equal(before[name], after[name])} == frozen
    for name in ("nothing", "m", "vision_towe", "model.vision"):
        with pytest.raises(TrainError, match=rf"`freeze: {name}`: no weight of the model is called so"):
            fit(config(freeze=(name,), out=made.out / "other"))
    with pytest.raises(TrainError, match=r"`freeze: \[model, lm_head\]` leaves no weight to train; name fewer"):
        fit(config(freeze=("model", "lm_head"), out=made.out / "other"))
    with pytest.raises(TrainError, match=r"`learning_rate.muon`: `freeze` leaves no matrix for it"):
        fit(config(rates=Rates(adamw=0.002, muon=0.02), freeze=("model",), out=made.out / "other"))
    again = fit(config(freeze=("model.vision_tower",), steps=2, out=made.out / "other"))
    after = dict(load_model(again.checkpoint / "model").named_parameters())
    assert {name for name in before if torch.equal(before[name], after[name])} == frozen


def test_a_run_that_is_there_is_not_begun_again(config: Make) -> None:
    fit(config(steps=1))
    with pytest.raises(TrainError, match="a run is here; go on with `--resume`"):
        fit(config(steps=1))
    assert fit(config(steps=1), resume=True).taken == 0
    with pytest.raises(TrainError, match="`adamw` was kept for other weights"):
        fit(config(steps=2, rates=Rates(adamw=0.002, muon=0.02)), resume=True)


def test_a_second_run_in_one_folder_is_refused_and_changes_nothing(config: Make) -> None:
    made = config(steps=2)
    refused: list[str] = []

    def meanwhile(_done: int, _total: int, _loss: float) -> None:
        with pytest.raises(TrainError) as error:
            fit(made, resume=True)
        refused.append(str(error.value))

    fit(made, voices=Voices(progress=meanwhile))
    assert refused == [f"{made.out}: another run is writing here; nothing was changed by this one"] * 2
    assert [step.stop for step in ledger.read(made.out).steps] == [10, 20]
    assert len(ledger.read(made.out).begins) == 1


def test_a_run_that_goes_on_with_other_settings_says_which(config: Make) -> None:
    fit(config(steps=2, freeze=("vision_tower",)))
    said: list[str] = []
    fit(config(steps=2, freeze=("vision_tower",)), resume=True, voices=Voices(say=said.append))
    assert said[0] == "going on at step 2" and not [remark for remark in said if remark.startswith("`")]
    changes = {
        "rates": Rates(adamw=0.001, muon=None),
        "seed": 10**30,
        "warmup": 1,
        "freeze": ("vision_tower",),
        "clip": 2.0,
    }
    fit(config(steps=3, **changes), resume=True, voices=Voices(say=said.append))
    assert [remark for remark in said if remark.startswith("`")] == [
        "`clip` is 2.0 from step 2 on, and was 0.0",
        "`learning_rate.adamw` is 0.001 from step 2 on, and was 0.002",
        "`schedule.warmup` is 1 from step 2 on, and was 0",
        "`seed` is 1000000000000000000000000000000 from step 2 on, and was 0",
        "`steps` is 3 from step 2 on, and was 2",
    ]


def test_steps_that_there_are_not_are_told_and_a_warm_up_ends_inside_the_run(config: Make, tmp_path: Path) -> None:
    said: list[str] = []
    assert fit(config(steps=100), voices=Voices(say=said.append)).steps == 5
    assert "`steps: 100` were asked for, and the manifest has 5" in said
    made = config(out=tmp_path / "other")
    for changes, steps in (({"warmup": 6}, 5), ({"warmup": 3, "steps": 2}, 2)):
        with pytest.raises(TrainError) as error:
            fit(dataclasses.replace(made, **changes))
        told = f"`schedule.warmup: {changes['warmup']}` is longer than the run, which has {steps} steps; say fewer, or a share"
        assert str(error.value).startswith(told)
    assert fit(dataclasses.replace(made, warmup=2, steps=2)).steps == 2


def test_weights_that_are_not_those_that_were_saved_are_refused(place: Path, config: Make) -> None:
    done = fit(config(steps=1))
    shutil.copy(place / "model" / "model.safetensors", done.checkpoint / "model" / "model.safetensors")
    with pytest.raises(TrainError, match="the weights that were loaded are not those that were saved"):
        fit(config(steps=2), resume=True)


def test_a_model_that_lacks_weights_is_refused(place: Path, config: Make, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(place / "model", tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    del weights[min(weights)]
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="its weights are not those of the model: missing_keys"):
        fit(config(model=tmp_path / "model"))


def test_another_manifest_is_refused(config: Make, tmp_path: Path) -> None:
    from tests.train.killing import make_place

    fit(config(steps=1))
    other = make_place(tmp_path / "other")
    (other / "recipe.yaml").write_text((other / "recipe.yaml").read_text().replace("two", "three"))
    assert run_recipe(["compile", str(other / "recipe.yaml"), "--out", str(other / "changed"), "-q"]) == 0
    with pytest.raises(Exception, match="this state belongs to manifest"):
        fit(config(manifest=other / "changed"), resume=True)


def test_a_loss_that_is_no_number_stops_the_run(config: Make) -> None:
    with pytest.raises(TrainError, match="the norm of the gradient"):
        fit(config(rates=Rates(adamw=1e30, muon=None)))


def test_tensorboard_is_told(config: Make) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = config(log=("tensorboard",), steps=3)
    fit(made)
    events = EventAccumulator(str(made.out / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(
        [record["loss"] for record in records(made.out)]
    )
    assert "pool/a" in events.Tags()["scalars"]


def wandb_values(path: Path) -> dict[int, dict[str, float]]:
    """What a file of W&B has by step: blocks of 32 KiB, in which records stand behind 7 bytes (checksum, length, part)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record, found = path.read_bytes(), 7, b"", {}
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, part = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record, at = record + data[at + 7 : at + 7 + length], at + 7 + length
        if part in (1, 4):  # whole, or its last part
            told = Record.FromString(record)
            if told.HasField("history"):
                items = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in told.history.item
                }
                found[told.history.step.num] = items
            record = b""
    return found


def test_weights_and_biases_is_told_of_one_run_that_goes_on(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for steps in (3, 5):
        made = config(log=("wandb",), steps=steps, checkpoint_at_stages=False)
        fit(made, resume=steps == 5)
    lives = sorted((made.out / "wandb").glob("offline-run-*/*.wandb"))
    assert len(lives) == 2 and len({life.name for life in lives}) == 1
    told = wandb_values(lives[0]) | wandb_values(lives[1])
    kept = records(made.out)
    assert [told[step]["loss"] for step in range(5)] == [record["loss"] for record in kept]
    assert told[4]["group/ocr"] == kept[4]["group"]["ocr"] and told[0]["rate/adamw"] == 0.002
    other = config(log=("wandb",), steps=1, out=made.out.parent / "other" / made.out.name)
    fit(other)
    (stranger,) = (other.out / "wandb").glob("offline-run-*/*.wandb")
    assert stranger.name != lives[0].name


@pytest.mark.forks
def test_waiting_for_data_is_measured(config: Make) -> None:
    outcome: Outcome = fit(config(workers=2))
    assert 0 < outcome.wait_seconds < outcome.seconds


@pytest.mark.parametrize("before, after", [(2, 1), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_torchrun_and_another_number_of_ranks(
    place: Path, tmp_path: Path, before: int, after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        f"train: 1\nmodel: {place / 'model'}\nmanifest: {place / 'out'}\nout: run\nbatch: 7\nlearning_rate: {{adamw: 0.002}}\n"
        "checkpoint: {every: 2, at_stages: false}\nschedule: {shape: constant}\nthreads: 1\n"
        "capabilities: {source: s.csv, match: key, levels: {ocr: 2}}\n"
    )
    keys = [f"{pool}{number},{number % 4}" for pool in "ab" for number in range(0, 26, 2)]
    (tmp_path / "s.csv").write_text("\n".join(["key,ocr", *keys]) + "\n")
    (tmp_path / "run.yaml").write_text(text + "steps: 4\n")

    def trained(ranks: int, *options: str) -> str:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
        done = subprocess.run(
            [sys.executable, *launch, "-m", "recipe_compiler", "train", "run.yaml", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    trained(before)
    (tmp_path / "run.yaml").write_text(text)
    assert trained(after, "--resume").startswith("7 steps, 48 draws, loss ")
    history = ledger.read(tmp_path / "run")
    assert [(step.start, step.stop) for step in history.steps] == [(at, min(at + 7, 48)) for at in range(0, 48, 7)]
    assert [begin.world for begin in history.begins] == [before, after]
    whole = read(tmp_path / "run.yaml")
    fit(dataclasses.replace(whole, out=tmp_path / "alone", steps=None))
    alone = [record["loss"] for record in records(tmp_path / "alone")][4:]
    assert [record["loss"] for record in records(tmp_path / "run")][4:] == pytest.approx(alone, rel=2e-3)
    for counts in ("draws", "capability_draws"):
        assert [record[counts] for record in records(tmp_path / "run")] == [
            record[counts] for record in records(tmp_path / "alone")
        ]
    ours, theirs = ([told["capability"] for told in records(tmp_path / run)[4:]] for run in ("run", "alone"))
    assert any(ours) and ours == [pytest.approx(means, rel=2e-3) for means in theirs]


@pytest.mark.forks
@pytest.mark.parametrize("workers", [0, 2])
def test_a_draw_that_cannot_be_read_is_a_tombstone_in_the_ledger(config: Make, tmp_path: Path, workers: int) -> None:
    from tests.train.killing import make_place

    broken = make_place(tmp_path / "broken")
    (broken / "img" / "a3.png").write_bytes(b"no picture")
    (broken / "img" / "b5.png").unlink()
    made = config(manifest=broken / "out", workers=workers)
    with pytest.raises(Exception, match=r"a3\.png|b5\.png"):
        fit(dataclasses.replace(made, out=tmp_path / "stopped"))
    outcome = fit(dataclasses.replace(made, on_error="tombstone"))
    told = [found for step in ledger.read(made.out).steps for found in step.tombstones]
    samples = [ManifestDataset(broken / "out").reader.sample(found.position) for found in told]
    assert outcome.tombstones == 2 and {sample.key for sample in samples} == {"a3", "b5"}
    assert all("png" in found.reason for found in told)
    assert sum(sum(record["draws"].values()) for record in records(made.out)) == 48
