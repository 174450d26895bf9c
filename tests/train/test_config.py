"""The file of a run: what it says, and every mistake with its place."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from recipe_compiler.cli.main import run
from recipe_compiler.diagnostics import Rejected
from runtime.capabilities import Levels
from runtime.train.config import Rates, plain, read
from tests.support import REPOSITORY, compile_text, questions, write_jsonl

GOOD = """train: 1
model: model
manifest: out
out: runs/one
batch: 64
micro_batch: 8
learning_rate: {adamw: 0.002, muon: 2e-2}
stages:
  rest: {learning_rate: {adamw: 0.001, muon: 0.01}}
schedule: {shape: linear, warmup: 3%}
checkpoint: {every: 10, keep: 2, at_stages: false}
freeze: [vision_tower]
log: [tensorboard]
precision: bfloat16
capabilities: {source: s.csv, levels: {capability.ocr: 3, chart: 0.5}, match: key}
video_frames: 16
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    write_jsonl(folder / "a.jsonl", questions("a", 8))
    stages = "stages: [{name: first, where: pool == 'a'}, {name: rest}]"
    write_jsonl(folder / "b.jsonl", questions("b", 8))
    pools = "pools: {a: {source: a.jsonl}, b: {source: b.jsonl}}"
    compile_text(folder, f"recipe: 1\nname: t\n{pools}\n{stages}\n")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "s.csv").write_text("key,capability.ocr,chart\n")
    return folder


def test_what_a_config_says(place: Path) -> None:
    (place / "good.yaml").write_text(GOOD)
    config = read(place / "good.yaml")
    assert config.model == place / "model" and config.out == place / "runs/one"
    assert config.rates == Rates(adamw=0.002, muon=0.02)
    assert config.stage_rates == {"rest": Rates(adamw=0.001, muon=0.01)}
    assert (config.shape, config.warmup) == ("linear", Fraction(3, 100))
    assert (config.checkpoint_every, config.keep, config.checkpoint_at_stages) == (10, 2, False)
    assert (config.freeze, config.log, config.precision) == (("vision_tower",), ("tensorboard",), "bfloat16")
    assert (config.steps, config.threads, config.workers, config.seed) == (None, None, 0, 0)
    assert config.deterministic and config.device == "auto"
    levels = {"capability.ocr": 3.0, "chart": 0.5}
    assert config.capabilities == Levels(source=place / "s.csv", match="key", levels=levels)
    assert config.video_frames == 16


def test_a_config_is_plain_json_by_the_names_of_its_file(place: Path) -> None:
    (place / "good.yaml").write_text(GOOD)
    told = plain(read(place / "good.yaml"))
    assert json.loads(json.dumps(told)) == told
    assert {name: told[name] for name in told if name.startswith(("m", "s", "l", "c"))} == {
        "model": "../../model",
        "manifest": "../../out",
        "micro_batch": 8,
        "steps": None,
        "seed": 0,
        "learning_rate.adamw": 0.002,
        "learning_rate.muon": 0.02,
        "stages.rest.learning_rate.adamw": 0.001,
        "stages.rest.learning_rate.muon": 0.01,
        "schedule.shape": "linear",
        "schedule.warmup": "3%",
        "log": ["tensorboard"],
        "clip": 1.0,
        "checkpoint.every": 10,
        "checkpoint.keep": 2,
        "checkpoint.at_stages": False,
        "capabilities.source": "../../s.csv",
        "capabilities.match": "key",
        "capabilities.levels.capability.ocr": 3.0,
        "capabilities.levels.chart": 0.5,
    }


def test_what_need_not_be_said(place: Path) -> None:
    (place / "short.yaml").write_text(
        "train: 1\nmodel: model\nmanifest: out\nout: runs/one\nbatch: 8\nlearning_rate: {adamw: 1e-3}\n"
    )
    config = read(place / "short.yaml")
    assert (config.micro_batch, config.shape, config.warmup, config.rates.muon) == (8, "cosine", 0, None)
    assert config.capabilities is None
    assert config.video_frames is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("batch: 64", "batchh: 64", "5:1 model.unknown-field `batchh` is not a setting; did you mean `batch`?"),
        ("batch: 64\n", "", "1:1 model.missing-field `batch` is missing"),
        ("batch: 64", "batch: 0", "5:8 model.wrong-type `batch`: at least 1 is needed"),
        ("batch: 64", "batch: many", "5:8 model.wrong-type `batch`: a whole number was expected"),
        ("muon: 2e-2", "muon: -1", "7:37 model.wrong-type `learning_rate.muon`: it cannot be negative"),
        ("  rest:", "  last:", "9:3 model.reference the manifest has no stage `last`; it has `first`, `rest`"),
        (
            "adamw: 0.001, muon: 0.01",
            "adamw: 0.001",
            "9:25 model.conflict `stages.rest.learning_rate` names other optimizers than the run's `learning_rate`",
        ),
        ("shape: linear", "shape: cosin", "10:19 model.wrong-type `schedule.shape`: `cosin` is none of cosine, linear"),
        ("warmup: 3%", "warmup: 300%", "10:35 model.wrong-type `schedule.warmup`: a count, or a share such as `3%`"),
        ("at_stages: false", "at_stages: NO", "11:45 model.wrong-type `checkpoint.at_stages`: `true` or `false`"),
        ("log: [tensorboard]", "log: [tensorbord]", "13:7 model.wrong-type `log`: `tensorbord` is none of"),
        ("model: model", "model: hub/llava", "2:8 model.reference there is no model in"),
        (
            "model: model",
            "model: s3://b/llava",
            "2:8 model.path `model`: a local path was expected, and this is remote",
        ),
        ("manifest: out", "manifest: away", "3:11 model.reference no manifest to train on"),
        ("source: s.csv", "source: t.csv", "15:24 model.reference there is no table of scores"),
        ("ocr: 3", "ocr: high", "15:56 model.wrong-type `capabilities.levels.capability.ocr`: a number was expected"),
        (
            "levels: {capability.ocr: 3, chart: 0.5}",
            "levels: {}",
            "15:39 model.missing-field `capabilities.levels` names",
        ),
        (
            ", levels: {capability.ocr: 3, chart: 0.5}",
            "",
            "15:15 model.missing-field `levels` is missing in `capabilities`",
        ),
        ("match: key", "match: keys", "`capabilities.match`: `keys` is none of sample_id, key; did you mean `key`?"),
        ("train: 1", "train: 2", "1:8 model.version this file is written for version 2"),
        ("schedule: {shape", "schedule: [shape", "syntax.yaml not YAML"),
        ("batch: 64", "batch: 64\nbatch: 32", "6:1 syntax.duplicate-key `batch` is given twice"),
    ],
)
def test_a_mistake_is_told_where_it_stands(place: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    (place / "bad.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(Rejected) as error:
        read(place / "bad.yaml")
    said = [
        f"{found.span.line}:{found.span.column} {found.code} {found.headline}; {found.help}"
        for found in error.value.findings.errors
        if found.span is not None
    ]
    assert any(told in line for line in said), said


def test_the_command_tells_it_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "bad.yaml").write_text(GOOD.replace("warmup", "warmpu"))
    assert run(["train", str(place / "bad.yaml")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "`schedule.warmpu` is not a setting" in said.err and "bad.yaml:10:27" in said.err


SHORT = {
    "train": "1",
    "model": "model",
    "manifest": "out",
    "out": "runs/one",
    "batch": "8",
    "learning_rate": "{adamw: 1e-3}",
}
SCORES = "{source: s.csv, levels: {chart: 3}}"


def rejections(place: Path, settings: dict[str, str]) -> list[str]:
    """What is told of a file of these settings."""
    (place / "made.yaml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    try:
        read(place / "made.yaml")
    except Rejected as error:
        return [f"{found.headline}; {found.help}" for found in error.findings.errors]
    return []


def test_the_documentation_has_every_setting_and_its_default(place: Path) -> None:
    """The names are those that the reader says it knows, and what is needed is what it asks for."""
    rows = re.findall(
        r"^\| `([a-z][\w.]*)` \| (.+?) \| .+ \|$", (REPOSITORY / "recipes/training/README.md").read_text(), re.MULTILINE
    )
    documented = dict(rows)
    parts = {
        "": ("zzz", "1"),
        "learning_rate.": ("learning_rate", "{adamw: 1, zzz: 1}"),
        "stages.NAME.": ("stages", "{rest: {learning_rate: {adamw: 1}, zzz: 1}}"),
        "schedule.": ("schedule", "{zzz: 1}"),
        "checkpoint.": ("checkpoint", "{zzz: 1}"),
        "capabilities.": ("capabilities", "{source: s.csv, levels: {chart: 3}, zzz: 1}"),
    }
    names: set[str] = set()
    for prefix, (name, value) in parts.items():
        (told,) = rejections(place, {**SHORT, name: value})
        names |= {prefix + known for known in re.findall("`(\\w+)`", told.partition("known here: ")[2])}
    assert documented.keys() == names - {"learning_rate", "stages", "schedule", "checkpoint", "capabilities"}
    assert rejections(place, SHORT) == []
    for name in SHORT:
        (told,) = rejections(place, {key: value for key, value in SHORT.items() if key != name})
        assert told.startswith(f"`{name}` is missing")
    needed = {name for name, default in documented.items() if default == "needed"}
    inside = {"learning_rate.adamw", "capabilities.source", "capabilities.levels"}
    assert needed == SHORT.keys() - {"learning_rate"} | inside
    assert rejections(place, {**SHORT, "capabilities": SCORES}) == []
    defaults = plain(read(place / "made.yaml"))
    assert documented.pop("micro_batch") == "`batch`" and defaults["micro_batch"] == defaults["batch"]
    assert documented.pop("stages.NAME.learning_rate") == "-"
    for name in documented.keys() - needed:
        value = defaults[name]
        assert documented[name] == (
            "-" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"
        )


def test_a_config_is_of_a_decent_size(place: Path) -> None:
    (place / "large.yaml").write_text(GOOD + "#" * (1 << 20))
    with pytest.raises(Exception, match="more than 1,048,576 bytes"):
        read(place / "large.yaml")
