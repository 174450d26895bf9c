"""`recipe ledger` beside a slow and obvious reading of the manifest."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from recipe_compiler.cli.main import run
from runtime.ledger import Begin, Ledger, Tombstone
from runtime.stream import ManifestDataset
from tests.support import compile_text, questions, write_jsonl

RECIPE = """recipe: 1
name: told
pools: {a: {source: a.jsonl, group: general, category: naming}, b: {source: b.jsonl, group: ocr}, c: {source: c.jsonl}}
stages:
  - {name: first, where: group == "general", epochs: 2}
  - {name: rest, mix: {by: pool}}
shard: {rows: 16}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 56 draws and a run of 6 steps of 8, two of them undone and taken again by two ranks."""
    folder = tmp_path_factory.mktemp("told")
    for name, count in (("a", 12), ("b", 16), ("c", 16)):
        write_jsonl(folder / f"{name}.jsonl", questions(name, count))
    manifest = compile_text(folder, RECIPE).manifest.ids.manifest
    (folder / "run").mkdir()

    def begin(step: int, world: int) -> Begin:
        return Begin(manifest=manifest, folder="../out", world=world, global_batch=8, step=step, start=step * 8)

    for first, stop, world in ((0, 4, 1), (2, 6, 2)):
        with Ledger(folder / "run", begin(first, world)) as ledger:
            for step in range(first, stop):
                ledger.step(step, 8 * step, 8 * step + 8, [Tombstone(41, "no such file")] if step == 5 else [])
                if step % 2:
                    ledger.checkpoint(step + 1)
    return folder


def asked(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert run(["ledger", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_what_was_in_a_step(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = ManifestDataset(place / "out")
    found = json.loads(asked(capsys, place / "run", "--step", "5", "--format", "json"))
    samples = [dataset[position] for position in range(40, 48)]
    assert found["world"] == 2
    assert [
        (draw["position"], draw["sample_id"], draw["pool"], draw["group"], draw["stage"]) for draw in found["draws"]
    ] == [(sample.position, sample.sample_id, sample.pool, sample.group, sample.stage) for sample in samples]
    assert [draw["tombstone"] for draw in found["draws"]] == [None, "no such file", *[None] * 6]
    text = asked(capsys, place / "run", "--step", "5")
    assert text.startswith("step 5: positions 40 to 48, 2 ranks\n")
    assert all(sample.sample_id in text and f"pool {sample.pool}" in text for sample in samples)
    assert "tombstone: no such file" in text


@pytest.mark.parametrize("number", [2, 4, 6])
def test_what_a_checkpoint_has_seen(place: Path, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = ManifestDataset(place / "out")
    found = json.loads(asked(capsys, place / "run", "--checkpoint", str(number), "--list", "--format", "json"))
    samples = [dataset[position] for position in range(8 * number)]
    assert found["draws"] == 8 * number
    assert found["samples"] == len({sample.sample_id for sample in samples})
    assert found["pool"] == Counter(sample.pool for sample in samples)
    assert found["group"] == Counter(sample.group or "(no group)" for sample in samples)
    assert found["category"] == Counter("naming" if sample.pool == "a" else "(no category)" for sample in samples)
    assert found["stage"] == Counter(sample.stage for sample in samples)
    assert [draw["sample_id"] for draw in found["list"]] == [sample.sample_id for sample in samples]
    assert [draw["repeat"] for draw in found["list"]] == [sample.repeat for sample in samples]
    assert found["tombstones"] == (number == 6)


def test_when_a_sample_was_seen(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = ManifestDataset(place / "out")
    samples = [dataset[position] for position in range(48)]
    for wanted in (samples[0].sample_id, samples[47].sample_id[:9], samples[30].sample_id[:1]):
        found = json.loads(asked(capsys, place / "run", "--sample", wanted, "--format", "json"))
        expected = [(at // 8, at) for at, sample in enumerate(samples) if sample.sample_id.startswith(wanted)]
        assert [(draw["step"], draw["position"]) for draw in found["draws"]] == expected


def test_a_run_as_a_whole(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = ManifestDataset(place / "out").manifest_id[:12]
    assert asked(capsys, place / "run") == (
        "6 steps took 48 draws, up to position 48\n"
        f"began: 1 rank, 8 a step, manifest {manifest}\n"
        f"went on at step 2: 2 ranks, 8 a step, manifest {manifest}\n"
        "2 steps were taken and undone, because the run went on from before them\n"
        "1 draw could not be read and taught nothing\n"
        "checkpoints: 2, 4, 6\n"
    )


def test_what_it_refuses(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(place / "run")
    for arguments, why in (
        ([folder, "--step", "6"], "there is no step 6; it has steps 0 to 5"),
        ([folder, "--checkpoint", "3"], "there is no checkpoint 3; it has 2, 4, 6"),
        ([folder, "--sample", "xyz"], "`xyz` is no sample id"),
        ([folder, "--sample", "00000000"], "the run has not seen a sample whose id begins with `00000000`"),
        ([folder, "--step", "1", "--sample", "0"], "say one of"),
        ([folder, "--list"], "--list goes with --checkpoint"),
        ([str(place), "--step", "1"], "a run's folder is one that was trained into"),
    ):
        assert run(["ledger", *arguments]) == 1
        assert why in capsys.readouterr().err


def test_a_manifest_that_is_another_one_now_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_text(place, RECIPE.replace("told", "other").replace("epochs: 2", "epochs: 1"), out="other")
    arguments = ["ledger", str(place / "run"), "--step", "1", "--manifest", str(place / "other")]
    assert run(arguments) == 1
    assert "name that one's folder with `--manifest`" in capsys.readouterr().err
