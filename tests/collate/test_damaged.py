"""Folders of models whose files were cut or are something else: refused by name, whatever a library makes of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file

from recipe_compiler.cli.main import run
from runtime import models, tiny
from runtime.collate import load_processor
from runtime.errors import ModelError
from tests.support import compile_text, questions, write_jsonl

FILES = ("processor_config.json", "tokenizer.json", "tokenizer_config.json")
SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda _data: b"",
    "no UTF-8": lambda _data: b"\xff\xfe",
    "a list": lambda _data: b"[]",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "model"
    tiny.write(folder, "llava", hidden=32, layers=1, vocabulary=320)
    return folder


@pytest.fixture
def mine(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", SPOILT)
def test_a_processor_with_a_damaged_file_is_refused(mine: Path, name: str, how: str) -> None:
    (mine / name).write_bytes(SPOILT[how]((mine / name).read_bytes()))
    with pytest.raises(ModelError) as error:
        load_processor(mine)
    place = mine if how == "a list" else mine / name
    assert str(error.value).startswith(f"{place}: no processor that can be loaded: ")
    assert str(error.value).endswith("; copy it again, or write it again with `save_pretrained`")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("how", SPOILT)
def test_a_model_with_a_damaged_file_is_refused(mine: Path, name: str, how: str) -> None:
    (mine / name).write_bytes(SPOILT[how]((mine / name).read_bytes()))
    with pytest.raises(ModelError, match=r"model.*: no model that can be loaded: .*; copy it again"):
        models.load_model(mine)


def test_pickled_weights_are_no_model(mine: Path) -> None:
    torch.save(load_file(mine / "model.safetensors"), mine / "pytorch_model.bin")
    (mine / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no model that can be loaded: OSError"):
        models.load_model(mine)


def test_the_commands_tell_it(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = mine.parent
    write_jsonl(here / "q.jsonl", questions("q", 4))
    compile_text(here, "{recipe: 1, name: q, pools: {q: {source: q.jsonl}}}")
    (here / "run.yaml").write_text(
        "train: 1\nmodel: model\nmanifest: out\nout: run\nbatch: 4\nlearning_rate: {adamw: 0.001}\n"
    )
    train = ["train", str(here / "run.yaml")]
    evaluate = ["eval", str(mine), "--manifest", str(here / "out"), "--out", str(here / "run.jsonl")]
    count = ["count", str(here / "recipe.yaml"), "--processor", str(mine), "--out", str(here / "c.parquet")]
    for name, commands in (("model.safetensors", (train, evaluate)), ("tokenizer.json", (train, evaluate, count))):
        (mine / name).write_bytes((mine / name).read_bytes()[:-100])
        for command in commands:
            assert run(command) == 1
            said = capsys.readouterr()
            assert said.out == "" and "that can be loaded" in said.err and "Traceback" not in said.err
