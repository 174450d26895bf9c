"""Counts are the lengths that batches have, from the sizes of images alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runtime.collate import Collator
from runtime.collate.encode import Encoder, shown
from runtime.errors import CollateError
from runtime.sample import Media
from runtime.stream import ManifestDataset
from runtime.tiny import FAMILIES
from tests.collate.helpers import assistant, image, picture, run_here, sample, text, user
from tests.support import compile_text, run_recipe, write_jsonl

RECIPE = """recipe: 1
name: counted
pools:
  talks: {source: talks.jsonl, media: images}
  words: {source: words.jsonl, format: qa}
filter: [pool == "words"]
tokens: {per_image: 7}
"""


def write_pools(folder: Path, num_talks: int = 12) -> None:
    rng = np.random.default_rng(5)
    (folder / "images").mkdir()
    talks = []
    for number in range(num_talks):
        width, height = (int(side) for side in rng.integers(16, 200, 2))
        picture(width, height, number).image().save(folder / f"images/{number}.jpg")
        turns = [
            {"role": "user", "content": f"<image>\nWhat is in picture {number}?"},
            {"role": "assistant", "content": f"Number {number}, {'very ' * number}nice."},
        ]
        talks.append({"id": f"t{number}", "messages": turns, "images": [f"{number}.jpg"]})
    write_jsonl(folder / "talks.jsonl", talks)
    words = [{"id": f"w{number}", "question": f"What? {number}", "answer": "Fine <image>."} for number in range(5)]
    write_jsonl(folder / "words.jsonl", [*words, {**words[0], "id": "again"}])


@pytest.mark.parametrize("name", FAMILIES)
def test_images_come_to_as_many_tokens_as_their_sizes_say(processor_of: Any, name: str) -> None:
    """Against the processor that really cuts the image up, for random sizes and settings of splitting."""
    processor = processor_of(name)
    collator = Collator(processor)

    @settings(max_examples=40)
    @given(st.tuples(st.integers(8, 400), st.integers(8, 400)).filter(lambda size: max(size) / min(size) < 100))
    def holds(size: tuple[int, int]) -> None:
        width, height = size
        found = sample([user(image(0), text("?")), assistant(text("ok"))], [picture(width, height)])
        counted = collator.encoder.encode(found, [[(height, width)]])
        batch = collator([found])
        written = processor.apply_chat_template(found.messages)
        really = processor(text=[written], images=[[found.media[0].image()]])["input_ids"][0]
        assert len(counted) == int((batch.owner == 0).sum()) == len(really)

    holds()


def test_a_size_is_read_from_the_header(tmp_path: Path) -> None:
    whole = picture(123, 45)
    assert whole.data is not None
    assert Media(kind="image", path=None, data=whole.data[:60]).size() == (45, 123)
    (tmp_path / "a.png").write_bytes(whole.data[:60])
    assert Media(kind="image", path=tmp_path / "a.png", data=None).size() == (45, 123)
    sideways = Image.new("RGB", (30, 20))
    exif = sideways.getexif()
    exif[0x0112] = 6  # Turned by EXIF: what is decoded is not turned, and what is counted neither.
    buffer = io.BytesIO()
    sideways.save(buffer, "JPEG", exif=exif)
    turned = Media(kind="image", path=None, data=buffer.getvalue())
    assert turned.size() == (20, 30) == turned.image().size[::-1]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, folder_of: Any) -> Path:
    """A folder with pools that were counted by the command for Idefics3."""
    folder = tmp_path_factory.mktemp("counted")
    write_pools(folder)
    (folder / "recipe.yaml").write_text(RECIPE)
    done = run_recipe(
        "count",
        "recipe.yaml",
        "--processor",
        folder_of("idefics3"),
        "--out",
        "tokens.parquet",
        "--format",
        "json",
        cwd=folder,
    )
    assert done.code == 0, done.err
    (folder / "shown.json").write_text(done.out)
    (folder / "said.txt").write_text(done.err)
    return folder


def test_the_command_counts_every_sample_of_the_pools(counted: Path, processor_of: Any) -> None:
    table = pl.read_parquet(counted / "tokens.parquet")
    assert table.columns == ["sample_id", "tokens", "image_tokens"]
    compile_text(counted, RECIPE.replace('filter: [pool == "words"]\n', ""))
    collator = Collator(processor_of("idefics3"))
    lengths = {}
    pools: dict[str, list[int]] = {"talks": [], "words": []}
    for found in ManifestDataset(counted / "out"):
        batch = collator([found])
        lengths[found.sample_id] = int((batch.owner == 0).sum())
        pools[found.pool].append(lengths[found.sample_id])
    assert len(table) == len(lengths) == 17, "a sample that is there twice is counted once"
    assert dict(zip(table["sample_id"], table["tokens"], strict=True)) == lengths
    told = json.loads((counted / "shown.json").read_text())
    assert [(row["pool"], row["samples"], row["tokens"], row["longest"]) for row in told] == [
        (name, len(tokens), sum(tokens), max(tokens)) for name, tokens in pools.items()
    ]
    assert told[0]["image_tokens"] == table["image_tokens"].sum() > 0 and told[1]["image_tokens"] == 0
    said = (counted / "said.txt").read_text()
    assert "1 sample repeats another one exactly" in said and said.endswith("wrote tokens.parquet\n")


def test_the_table_says_who_counted(counted: Path, folder_of: Any, tmp_path: Path) -> None:
    from runtime.counts import processor_digest

    said = json.loads(pq.read_schema(counted / "tokens.parquet").metadata[b"recipe"])
    assert said["processor"] == processor_digest(folder_of("idefics3"))
    assert said.keys() == {"processor", "transformers", "tokenizers"}
    for path in folder_of("idefics3").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert processor_digest(tmp_path) == said["processor"]
    (tmp_path / "chat_template.jinja").write_text("another template")
    assert processor_digest(tmp_path) != said["processor"]


@pytest.mark.slow
def test_processes_count_the_same(counted: Path, folder_of: Any) -> None:
    done = run_recipe(
        "count",
        "recipe.yaml",
        "--processor",
        folder_of("idefics3"),
        "--out",
        "again.parquet",
        "--workers",
        "2",
        cwd=counted,
    )
    assert done.code == 0, done.err
    assert (counted / "again.parquet").read_bytes() == (counted / "tokens.parquet").read_bytes()
    assert "talks" in done.out and "longest" in done.out


def test_what_cannot_be_counted_is_told(counted: Path, folder_of: Any, tmp_path: Path) -> None:
    write_pools(tmp_path, 2)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "images/1.jpg").write_text("no picture")
    arguments = ("count", "recipe.yaml", "--out", "tokens.parquet", "--processor")
    done = run_here(*arguments, folder_of("llava"), folder=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "images/1.jpg: is no picture that can be" in done.err
    assert not (tmp_path / "tokens.parquet").exists()
    (tmp_path / "empty").mkdir()
    done = run_here(*arguments, "empty", folder=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "no config.json" in done.err


def test_a_place_for_the_table_is_made_before_anything_is_counted(folder_of: Any, tmp_path: Path) -> None:
    write_pools(tmp_path, 2)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    asked = ("count", "recipe.yaml", "--processor", folder_of("llava"), "--out")
    assert run_here(*asked, "missing/folder/c.parquet", folder=tmp_path).code == 0
    assert pq.read_metadata(tmp_path / "missing/folder/c.parquet").num_rows
    # What cannot be counted is not come to.
    (tmp_path / "images/1.jpg").write_text("no picture")
    (tmp_path / "blocked").write_text("a file where the folder should be")
    done = run_here(*asked, "blocked/c.parquet", folder=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "blocked: " in done.err and "picture" not in done.err


def test_the_same_names_of_other_images_are_told(folder_of: Any, tmp_path: Path) -> None:
    for name, width in (("a", 30), ("b", 190)):
        (tmp_path / name).mkdir()
        picture(width, 40).image().save(tmp_path / name / "one.png")
        turns = [{"role": "user", "content": "<image>\nWhat?"}, {"role": "assistant", "content": "It."}]
        write_jsonl(tmp_path / f"{name}.jsonl", [{"messages": turns, "images": ["one.png"]}])
    pools = "".join(f"  {name}: {{source: {name}.jsonl, media: {name}}}\n" for name in "ab")
    (tmp_path / "recipe.yaml").write_text(f"recipe: 1\nname: twice\npools:\n{pools}")
    done = run_here(
        "count", "recipe.yaml", "--processor", folder_of("idefics3"), "--out", "tokens.parquet", folder=tmp_path
    )
    assert done.code == 1
    assert "has other tokens in pool `b` than in pool `a`" in done.err


def test_workers_of_a_loader_collate(counted: Path, processor_of: Any) -> None:
    from runtime.loader import ManifestLoader

    compile_text(counted, RECIPE.replace('filter: [pool == "words"]\n', ""), out="loaded")
    collator = Collator(processor_of("llava"))
    batches = [
        list(ManifestLoader(ManifestDataset(counted / "loaded"), global_batch=5, num_workers=workers, collate=collator))
        for workers in (0, 1)
    ]
    assert len(batches[0]) == 4
    for here, there in zip(*batches, strict=True):
        assert here.inputs.keys() == there.inputs.keys()
        assert all(here.inputs[name].equal(there.inputs[name]) for name in here.inputs)
        assert [found.sample_id for found in here.samples] == [found.sample_id for found in there.samples]


def test_sizes_go_with_the_images_of_the_text(processor: Any) -> None:
    found = sample(
        [user(image(1), text(" and "), image(0)), assistant(text("ok"))], [picture(20, 90), picture(150, 30)]
    )
    assert [media.size() for media in shown(found)] == [(30, 150), (90, 20)]
    assert len(Encoder(processor).encode(found, [[(30, 150)], [(90, 20)]])) == int(
        (Collator(processor)([found]).owner == 0).sum()
    )


def test_an_image_that_a_family_cannot_take_is_told_by_its_sample(processor_of: Any) -> None:
    thin = sample([user(image(0)), assistant(text("ok"))], [picture(900, 4)])
    with pytest.raises(CollateError, match=r"\(key-0\) at position 0: an image of 4 x 900 pixels: .*aspect ratio"):
        Collator(processor_of("qwen3_vl"))([thin])
