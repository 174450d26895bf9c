"""What is written is what is loaded: weights, tokenizer and processor, with no network, the same bytes each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from recipe_compiler.cli.commands.trying import tiny as command
from recipe_compiler.errors import RecipeError
from runtime import models, tiny
from tests.collate.helpers import picture, run_here

torch = pytest.importorskip("torch")


def test_weights_that_are_loaded_are_those_that_were_saved(folder_of: Any, family: str) -> None:
    saved = load_file(folder_of(family) / "model.safetensors")
    first, again = (models.load_model(folder_of(family)) for _ in range(2))
    again.save_pretrained(folder_of(family).with_name(f"{family}-again"))
    assert load_file(folder_of(family).with_name(f"{family}-again") / "model.safetensors").keys() == saved.keys()
    for name, weight in load_file(folder_of(family).with_name(f"{family}-again") / "model.safetensors").items():
        assert weight.equal(saved[name]), name
    assert sum(weight.numel() for weight in first.parameters()) == sum(weight.numel() for weight in saved.values())


def test_weights_that_are_missing_are_refused(folder_of: Any, family: str, tmp_path: Path) -> None:
    for path in folder_of(family).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    lost = min(weights)
    save_file(
        {name: weight for name, weight in weights.items() if name != lost},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(RecipeError, match="its weights are not those of"):
        models.load_model(tmp_path)


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path, family: str) -> None:
    for name in ("a", "b"):
        torch.manual_seed(len(name))
        tiny.write(tmp_path / name, family, hidden=32, layers=1)
    tiny.write(tmp_path / "c", family, hidden=32, layers=1, seed=1)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert (tmp_path / "a/model.safetensors").read_bytes() != (tmp_path / "c/model.safetensors").read_bytes()


def test_a_processor_is_the_same_after_saving(folder_of: Any, processor: Any, family: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder_of(family) / "config.json").read_bytes())
    processor.save_pretrained(tmp_path)
    again = tiny.load_processor(tmp_path)
    assert type(again) is type(processor)
    image = picture(70, 30).image()
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What? é"}]}]
    outs = [
        one(text=[one.apply_chat_template(messages)], images=[[image]], return_tensors="pt")
        for one in (processor, again)
    ]
    assert outs[0].keys() == outs[1].keys()
    assert all(outs[0][name].equal(outs[1][name]) for name in outs[0])


def test_files_as_they_were_written_in_years_before(
    folder_of: Any, processor: Any, family: str, tmp_path: Path
) -> None:
    """The image processor in a file of its own, named after another backend, and the template in JSON."""
    for path in folder_of(family).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = json.loads((tmp_path / "processor_config.json").read_text())
    images = whole.pop("image_processor")
    images["image_processor_type"] = images["image_processor_type"].removesuffix("Pil") + "Fast"
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    (tmp_path / "processor_config.json").write_text(json.dumps(whole))
    template = (tmp_path / "chat_template.jinja").read_text()
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    again = tiny.load_processor(tmp_path)
    assert type(again.image_processor) is type(processor.image_processor)
    assert again.image_processor.to_dict() == processor.image_processor.to_dict()
    assert again.chat_template == processor.chat_template


def test_sizes_are_numbers(tmp_path: Path) -> None:
    small = tiny.write(tmp_path / "small", "llava")
    assert 400_000 < small < 500_000, "the size that learns on a CPU in minutes"
    wide = tiny.write(tmp_path / "wide", "qwen3_vl", hidden=512, layers=3, vocabulary=300, image_size=64, patch_size=16)
    model = models.load_model(tmp_path / "wide")
    assert sum(weight.numel() for weight in model.parameters()) == wide
    assert model.config.text_config.hidden_size == 512


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hidden": 100}, "no multiple of 32"),
        ({"image_size": 50}, "no even number of patches"),
        ({"family": "gpt"}, "they are llava, idefics3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        tiny.write(tmp_path / "out", **{"family": "llava", **options})
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no config\.json"):
        tiny.load_processor(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(RecipeError, match="the families are llava, idefics3"):
        tiny.load_processor(tmp_path)


def test_the_command_writes_a_model(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("ein Bild\nnoch ein Bild\n" * 20)
    arguments = ("tiny", "out", "--family", "smolvlm", "--hidden", "32", "--texts", "lines.txt", "--format", "json")
    done = run_here(*arguments, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    model = models.load_model(tmp_path / "out")
    assert told["parameters"] == sum(weight.numel() for weight in model.parameters())
    words = tiny.load_processor(tmp_path / "out").tokenizer.tokenize("noch ein Bild")
    assert words == ["noch", "Ġein", "ĠBild"]
    again = run_here(*arguments, folder=tmp_path)
    assert (again.code, again.out) == (1, "")
    assert "out is not empty; name a new folder" in again.err
    odd = run_here("tiny", "odd", "--image-size", "50", folder=tmp_path)
    assert odd.code == 1 and "take a multiple of 16" in odd.err and not (tmp_path / "odd").exists()


def test_texts_and_seeds_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_bytes("déjà vu".encode("latin-1"))
    done = run_here("tiny", "out", "--texts", "lines.txt", folder=tmp_path)
    assert (done.code, done.err) == (1, "error: lines.txt: is not UTF-8, which `--texts` reads; save it as that\n")
    done = run_here("tiny", "out", "--seed", "99999999999999999999999", folder=tmp_path)
    assert done.code == 1 and "is not in the range 0<=x<=9223372036854775807" in done.err
    assert not (tmp_path / "out").exists()
    sizes = ("--hidden", "32", "--layers", "1", "--vocabulary", "320")
    assert run_here("tiny", "out", *sizes, "--seed", str(2**63 - 1), folder=tmp_path).code == 0


def test_the_command_offers_every_family() -> None:
    (option,) = (option for option in command.params if option.name == "family")
    assert tuple(option.type.choices) == tiny.FAMILIES  # type: ignore[attr-defined]
