"""Videos: as videos where the model takes them (Qwen-VL), as transformers' processors have them; else as images, or refused."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recipe_compiler.errors import RecipeError
from runtime import models
from runtime.collate import Collator
from runtime.collate.encode import Encoder
from runtime.collate.families import Qwen, Qwen2_5, Qwen3
from runtime.collate.films import VideoSettings, patches, read_settings
from runtime.collate.processors import PicturesQwen2_5_VL, PicturesQwen2VL, load_processor
from runtime.decode import Clip
from runtime.errors import CollateError
from runtime.evaluate.model import Model
from runtime.reader import Reader
from runtime.sample import Media
from tests.collate.helpers import assistant, by_hand, image, picture, run_here, sample, text, user
from tests.evaluate.test_model import slowly

av = pytest.importorskip("av")
torch = pytest.importorskip("torch")

QWEN = ("qwen2_5_vl", "qwen3_vl")


def film(path: Path, num_frames: int, size: tuple[int, int] = (64, 48), rate: int = 4) -> Media:
    """Frames of (width, height) without loss, each with a ramp that begins elsewhere."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        ramp = np.arange(size[0] * size[1] * 3, dtype=np.uint32).reshape(size[1], size[0], 3)
        for number in range(num_frames):
            pixels = ((ramp * 7 + number * 1999) ** 2 // 97 % 251).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return Media(kind="video", path=path, data=None)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Media]:
    """Twelve frames of 64 x 48 at 4 a second, and five of 40 x 72 at 10."""
    folder = tmp_path_factory.mktemp("videos")
    return [film(folder / "a.mkv", 12), film(folder / "b.mkv", 5, (40, 72), 10)]


def video(number: int) -> dict[str, Any]:
    return {"type": "video", "media": number}


def talks(clips: list[Media]) -> list[Any]:
    """An image and a video; two videos and two images between them; words alone; a video alone."""
    return [
        sample(
            [user(image(0), text(" then "), video(1), text("?")), assistant(text("ok"))], [picture(40, 60), clips[0]]
        ),
        sample(
            [
                user(video(0), image(1), text("and <|video_pad|>"), image(2), video(3)),
                assistant(text("The <|video_pad|> second.")),
                user(text("Why?")),
                assistant(text("Because.")),
            ],
            [clips[1], picture(30, 80, 1), picture(50, 50, 2), clips[0]],
            position=1,
        ),
        sample([user(text("No picture.")), assistant(text("Fine."))], position=2),
        sample([user(video(0)), assistant(text("Yes."))], [clips[1]], position=3),
    ]


# What is no video to its model


def test_a_video_is_refused_unless_asked_for(processor: Any, clips: list[Media]) -> None:
    with pytest.raises(CollateError, match=r"\(key-0\) at position 0 has a video; say with `video_frames`"):
        Collator(processor)([talks(clips)[0]])


@pytest.mark.parametrize("count", [1, 3, 50])
@pytest.mark.parametrize("family", ["llava", "idefics3", "smolvlm"])
def test_a_video_is_its_frames(processor_of: Any, family: str, clips: list[Media], count: int) -> None:
    processor, talk = processor_of(family), talks(clips)[0]
    batch = Collator(processor, video_frames=count)([talk])
    frames = [Image.fromarray(frame) for frame in clips[0].frames(count)]
    assert len(frames) == min(count, 12)
    pictures = [talk.media[0].image(), *frames]
    spelled = [user(image(0), text(" then "), *map(image, range(1, len(pictures))), text("?")), assistant(text("ok"))]
    tokens, labels = by_hand(processor, spelled, pictures)
    assert batch.inputs["input_ids"][0].tolist() == tokens
    assert batch.inputs["labels"][0].tolist() == labels
    written = processor.apply_chat_template(spelled)
    expected = processor(text=[written], images=[pictures], return_tensors="pt")
    assert batch.inputs["pixel_values"].equal(expected["pixel_values"])


# What is one


@pytest.mark.parametrize("family", QWEN)
@pytest.mark.parametrize("count", [2, 5, 6, 50])
def test_tokens_are_those_of_the_specification(processor_of: Any, family: str, clips: list[Media], count: int) -> None:
    processor = processor_of(family)
    (batch,) = [Collator(processor, video_frames=count)([talks(clips)[3]])]
    clip, merged = clips[1].clip(count), processor.video_processor.patch_size * 2
    height, width = Encoder(processor).family.frame_size(clip)  # type: ignore[attr-defined]
    assert height % merged == width % merged == 0
    taken = list(clip.taken) + [clip.taken[-1]] * (len(clip.taken) % 2)
    assert clip.taken == tuple((2 * at + 1) * 5 // (2 * min(count, 5)) for at in range(min(count, 5)))
    across = "<|video_pad|>" * (height * width // merged**2)
    if family == "qwen3_vl":
        times = [(first + second) / 20 for first, second in zip(taken[::2], taken[1::2], strict=True)]
        shown = "".join(f"<{time:.1f} seconds><|vision_start|>{across}<|vision_end|>" for time in times)
    else:
        shown = across * (len(taken) // 2)
    said = f"<|im_start|>user\n<|vision_start|>{shown}<|vision_end|><|im_end|>\n<|im_start|>assistant\n"
    before = processor.tokenizer(said)["input_ids"]
    answer = processor.tokenizer("Yes.<|im_end|>")["input_ids"]
    last = processor.tokenizer("\n")["input_ids"]
    assert batch.inputs["input_ids"][0].tolist() == before + answer + last
    assert batch.inputs["labels"][0].tolist() == [-100] * len(before) + answer + [-100] * len(last)
    pads = batch.inputs["input_ids"] == processor.video_token_id
    assert (batch.inputs["mm_token_type_ids"] == 2).equal(pads)
    assert pads.sum() == batch.inputs["video_grid_thw"].prod() // 4
    assert batch.inputs["video_grid_thw"].tolist() == [
        [len(taken) // 2, height // (merged // 2), width // (merged // 2)]
    ]
    if family == "qwen2_5_vl":
        assert batch.inputs["second_per_grid_ts"].tolist() == pytest.approx([2 * 5 / (10 * min(count, 5))])


@pytest.mark.parametrize("size", [(48, 64), (32, 80)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_values_are_the_pixels_of_the_patches(count: int, size: tuple[int, int]) -> None:
    """Each value looked for by itself: its frame, its square, its patch in the square, its place in the patch."""
    said = VideoSettings(patch_size=8, image_mean=(0.5, 0.25, 0.0), image_std=(0.5, 1.0, 2.0))
    frames = np.random.default_rng(count).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    found = patches(said, frames, size)
    whole = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    if size != (48, 64):
        whole = torch.nn.functional.interpolate(whole, size, mode="bicubic", antialias=True)
    grey = whole.to(torch.float64).numpy()
    rows = []
    for time, top, left in itertools.product(range((count + 1) // 2), range(0, size[0], 16), range(0, size[1], 16)):
        for down, right in itertools.product(range(0, 16, 8), range(0, 16, 8)):
            row = []
            for colour, frame in itertools.product(range(3), (2 * time, min(2 * time + 1, count - 1))):
                square = grey[frame, colour, top + down : top + down + 8, left + right : left + right + 8]
                row.append((square / 255 - said.image_mean[colour]) / said.image_std[colour])
            rows.append(np.stack(row).ravel())
    np.testing.assert_allclose(found.numpy(), np.stack(rows), atol=1e-5)


def real(processor: Any, family: str, **changed: Any) -> Any:
    """transformers' own processor with the same settings."""
    pytest.importorskip("torchvision")
    from transformers import (
        Qwen2_5_VLProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    kinds = {
        "qwen2_vl": (Qwen2VLProcessor, Qwen2VLVideoProcessor),
        "qwen2_5_vl": (Qwen2_5_VLProcessor, Qwen2VLVideoProcessor),
        "qwen3_vl": (Qwen3VLProcessor, Qwen3VLVideoProcessor),
    }
    whole, videos = kinds[family]
    return whole(
        processor.image_processor,
        processor.tokenizer,
        videos(**(processor.video_processor.to_dict() | changed)),
        chat_template=processor.chat_template,
    )


def of_qwen2(processor_of: Any) -> Any:
    """A processor of Qwen2-VL, of which there is no tiny model."""
    known = processor_of("qwen2_5_vl")
    found = PicturesQwen2VL(known.image_processor, known.tokenizer, known.chat_template)
    found.video_processor = known.video_processor
    return found


@pytest.mark.parametrize("family", ["qwen2_vl", *QWEN])
@pytest.mark.parametrize("count", [2, 3, 8, 50])
def test_batches_are_those_of_the_library(processor_of: Any, family: str, clips: list[Media], count: int) -> None:
    ours = of_qwen2(processor_of) if family == "qwen2_vl" else processor_of(family)
    theirs = real(ours, family)
    told = [talk for talk in talks(clips) if "pad" not in str(talk.messages)]
    batch = Collator(ours, video_frames=count)(told)
    written, pictures, films, metadata = [], [], [], []
    for talk in told:
        messages = [
            {**said, "content": [{"type": part["type"], "text": part.get("text")} for part in said["content"]]}
            for said in talk.messages
        ]
        written.append(ours.apply_chat_template(messages))
        for media in talk.media:
            if media.kind == "image":
                pictures.append(media.image())
            else:
                clip = media.clip(count)
                films.append(media.frames(clip))
                metadata.append({"total_num_frames": clip.total, "fps": clip.rate, "frames_indices": list(clip.taken)})
    expected = theirs(
        text=written,
        images=pictures,
        videos=films,
        video_metadata=metadata,
        do_sample_frames=False,
        padding=True,
        return_tensors="pt",
    )
    assert set(batch.inputs) - {"labels"} == set(expected)
    for name, value in expected.items():
        assert torch.equal(batch.inputs[name], torch.as_tensor(value)), name
    # A processor of the library itself makes the same batches.
    again = Collator(theirs, video_frames=count)(told)
    assert all(again.inputs[name].equal(value) for name, value in batch.inputs.items())


@settings(max_examples=40, deadline=None)
@given(
    family=st.sampled_from(["qwen2_vl", *QWEN]),
    count=st.integers(1, 9),
    size=st.tuples(st.integers(9, 300), st.integers(9, 300)),
    least=st.integers(100, 4000),
    most=st.integers(4000, 40_000),
    cap=st.sampled_from([None, (False, 100), (True, 2), (True, 100)]),
)
def test_sizes_are_those_of_the_library(
    processor_of: Any, family: str, count: int, size: tuple[int, int], least: int, most: int, cap: Any
) -> None:
    ours = of_qwen2(processor_of) if family == "qwen2_vl" else processor_of(family)
    changed: dict[str, Any] = {"size": {"shortest_edge": least, "longest_edge": most}}
    if cap is not None:
        changed |= {"cap_pixels_per_frame": cap[0], "max_video_tokens": cap[1]}
    theirs = real(ours, family, **changed)
    kind = {"qwen2_vl": Qwen, "qwen2_5_vl": Qwen2_5, "qwen3_vl": Qwen3}[family]
    frames = np.zeros((count, *size, 3), np.uint8)
    clip = Clip(*size, count, 1.0, tuple(range(count)))
    try:
        found = kind(theirs).video_tensors([(clip, frames)])
    except CollateError:
        with pytest.raises(ValueError):
            theirs.video_processor([frames], return_tensors="pt")
        return
    expected = theirs.video_processor([frames], return_tensors="pt", do_sample_frames=False)
    assert found["video_grid_thw"].equal(expected["video_grid_thw"])
    assert found["pixel_values_videos"].equal(expected["pixel_values_videos"])


@pytest.fixture(scope="module")
def model_of(folder_of: Any) -> Any:
    """Family -> a model whose weights are large enough that a wrong mask or place shows."""

    def load(family: str) -> Any:
        model = models.load_model(folder_of(family)).eval()
        torch.manual_seed(0)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
        return model

    return load


@pytest.mark.parametrize("family", QWEN)
def test_places_and_logits_in_packs_are_those_of_each_sample_alone(
    processor_of: Any, model_of: Any, family: str, clips: list[Media]
) -> None:
    model, told = model_of(family), talks(clips)
    collator = Collator(processor_of(family), video_frames=7)
    packed = collator([[told[0], told[1]], [told[3], told[2], told[0]]])
    with torch.no_grad():
        together = model(**packed.inputs).logits
        for number, owner in enumerate(packed.samples):
            alone = collator([owner])
            mine = packed.owner == number
            assert packed.inputs["input_ids"][mine].equal(alone.inputs["input_ids"][0])
            torch.testing.assert_close(together[mine], model(**alone.inputs).logits[0], atol=1e-4, rtol=0)
            grids = {name: alone.inputs.get(name) for name in ("image_grid_thw", "video_grid_thw")}
            if seconds := {name: alone.inputs[name] for name in ("second_per_grid_ts",) if name in alone.inputs}:
                grids |= seconds
            kinds = alone.inputs["mm_token_type_ids"]
            expected, _ = model.model.get_rope_index(alone.inputs["input_ids"], kinds, **grids)
            assert packed.inputs["position_ids"][1:, mine].equal(expected[:, 0])


def without_rate(processor: Any) -> Any:
    found = PicturesQwen2_5_VL(processor.image_processor, processor.tokenizer, processor.chat_template)
    found.video_processor = replace(processor.video_processor, tokens_per_second=None)
    return found


def test_times_of_a_model_are_its_own(processor_of: Any, folder_of: Any, clips: list[Media], tmp_path: Path) -> None:
    """`tokens_per_second` stands in the model's config, and a processor that does not know it makes no packs of videos."""
    config = json.loads((folder_of("qwen2_5_vl") / "config.json").read_text())
    for path in folder_of("qwen2_5_vl").iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    config["vision_config"]["tokens_per_second"] = 25
    (tmp_path / "config.json").write_text(json.dumps(config))
    talk = talks(clips)[3]
    before, after = (
        Collator(processor, video_frames=4)([[talk]]).inputs["position_ids"][1]
        for processor in (processor_of("qwen2_5_vl"), load_processor(tmp_path))
    )
    # Two frames of four in half a second: the second two of them come a quarter of a second later.
    assert int((after - before).max()) == int(25 * 0.25) - int(4 * 0.25)
    with pytest.raises(CollateError, match="places of a video in a pack want `tokens_per_second`"):
        Collator(without_rate(processor_of("qwen2_5_vl")), video_frames=4)([[talk]])


# What folders say


def test_settings_are_read_where_the_library_looks(folder_of: Any, tmp_path: Path) -> None:
    said = VideoSettings(size={"shortest_edge": 5, "longest_edge": 7}, cap_pixels_per_frame=True)
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {"tokens_per_second": 2}}))
    assert read_settings(tmp_path, "qwen2_5_vl") is None
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"min_pixels": 5, "max_pixels": 6, "patch_size": 4}))
    found = read_settings(tmp_path, "qwen2_5_vl")
    assert found is not None
    assert (found.size, found.patch_size) == ({"shortest_edge": 5, "longest_edge": 6}, 4)
    assert (found.tokens_per_second, found.merge_size) == (2, 2)
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(said.to_dict()))
    found = read_settings(tmp_path, "qwen2_vl")
    assert found is not None
    assert (found.size, found.cap_pixels_per_frame) == (said.size, True)
    (tmp_path / "processor_config.json").write_text(json.dumps({"video_processor": {"temporal_patch_size": 3}}))
    found = read_settings(tmp_path, "qwen3_vl")
    assert found is not None
    assert (found.temporal_patch_size, found.patch_size, found.image_mean) == (3, 16, (0.5, 0.5, 0.5))
    for family, longest, rate in (("qwen2_5_vl", 48 * 48, 4), ("qwen3_vl", 8 * 48 * 48, None)):
        found = load_processor(folder_of(family)).video_processor
        assert found.size == {"shortest_edge": 256, "longest_edge": longest}
        assert (found.patch_size, found.tokens_per_second, found.cap_pixels_per_frame) == (8, rate, False)


def test_settings_left_out_are_those_of_the_library(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    from transformers import Qwen2VLVideoProcessor, Qwen3VLVideoProcessor

    (tmp_path / "preprocessor_config.json").write_text("{}")
    for kind, library in (("qwen2_vl", Qwen2VLVideoProcessor()), ("qwen3_vl", Qwen3VLVideoProcessor())):
        ours = read_settings(tmp_path, kind)
        assert ours is not None
        for name, value in ours.to_dict().items():
            theirs = getattr(library, name)
            if name == "size":
                theirs = {edge: theirs[edge] for edge in value}
            assert (list(theirs) if isinstance(theirs, tuple) else theirs) == (
                list(value) if isinstance(value, tuple) else value
            ), name


def test_what_cannot_be_shown_says_why(processor_of: Any, clips: list[Media]) -> None:
    with pytest.raises(CollateError, match="1 frames of 72 x 40 pixels"):
        Collator(processor_of("qwen3_vl"), video_frames=1)([talks(clips)[3]])
    bare = of_qwen2(processor_of)
    bare.video_processor = None
    with pytest.raises(CollateError, match="says nothing of videos: its folder has no video_preprocessor_config"):
        Collator(bare, video_frames=2)([talks(clips)[3]])
    bare.video_processor = VideoSettings(do_resize=False)
    with pytest.raises(CollateError, match="72 x 40 pixels are no whole patches; set `do_resize`"):
        Collator(bare, video_frames=2)([talks(clips)[3]])
    bare.video_processor = VideoSettings(resample=1)
    with pytest.raises(CollateError, match="only bicubic is known"):
        Collator(bare, video_frames=2)([talks(clips)[3]])


@pytest.mark.parametrize("family", QWEN)
def test_a_video_that_does_not_fit_is_left_out_whole(processor_of: Any, family: str, clips: list[Media]) -> None:
    processor, talk = processor_of(family), talks(clips)[0]
    whole = Collator(processor, video_frames=6)([talk])
    last = int((whole.inputs["mm_token_type_ids"][0] == 2).nonzero()[-1])
    cut = Collator(processor, video_frames=6, max_tokens=last, truncate=True)([talk])
    assert "pixel_values_videos" not in cut.inputs
    assert (cut.inputs["mm_token_type_ids"] != 2).all()
    assert cut.inputs["image_grid_thw"].equal(whole.inputs["image_grid_thw"])
    kept = Collator(processor, video_frames=6, max_tokens=last + 2, truncate=True)([talk])
    assert kept.inputs["pixel_values_videos"].equal(whole.inputs["pixel_values_videos"])


def pool_of_videos(folder: Path) -> None:
    """A recipe of two samples, each with a video and a question."""
    film(folder / "a.mkv", 12)
    film(folder / "b.mkv", 5, (40, 72), 10)
    turns = [{"from": "human", "value": "<video>\nWhat?"}, {"from": "gpt", "value": "This."}]
    rows = [{"id": name, "video": f"{name}.mkv", "conversations": turns} for name in "ab"]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text("recipe: 1\nname: mix\npools: {p: {source: pool.jsonl, media: .}}\n")


@pytest.mark.parametrize("family", ["llava", *QWEN])
def test_counts_are_those_of_batches(processor_of: Any, folder_of: Any, family: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pool_of_videos(tmp_path)
    asked = ("count", "recipe.yaml", "--processor", folder_of(family), "--out", "counts.parquet", "--workers", "0")
    refused = run_here(*asked, folder=tmp_path)
    assert refused.code == 1
    assert "has a video; say with `--video-frames`" in refused.err
    ran = run_here(*asked, "--video-frames", "4", "--format", "json", folder=tmp_path)
    assert ran.code == 0, ran.err
    table = pq.read_table(tmp_path / "counts.parquet")
    assert json.loads(table.schema.metadata[b"recipe"])["video_frames"] == 4
    collator = Collator(processor_of(family), video_frames=4)
    asking = [user(video(0), text("What?")), assistant(text("This."))]
    media = [Media(kind="video", path=tmp_path / f"{name}.mkv", data=None) for name in "ab"]
    lengths = [int((collator([sample(asking, [one])]).owner == 0).sum()) for one in media]
    assert sorted(table["tokens"].to_pylist()) == sorted(lengths)
    assert json.loads(ran.out)[0]["tokens"] == sum(lengths)


def test_a_folder_without_settings_takes_no_videos(folder_of: Any, tmp_path: Path) -> None:
    for path in folder_of("qwen3_vl").iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    said = json.loads((tmp_path / "processor_config.json").read_text())
    del said["video_processor"]
    (tmp_path / "processor_config.json").write_text(json.dumps(said))
    assert load_processor(tmp_path).video_processor is None
    with pytest.raises(RecipeError):
        Collator(load_processor(tmp_path), video_frames=2)([sample([user(video(0))], [film(tmp_path / "c.mkv", 4)])])


@pytest.mark.parametrize("family", ["llava", "qwen3_vl"])
def test_a_run_learns_from_videos_where_it_says_how_many_frames(folder_of: Any, family: str, tmp_path: Path) -> None:
    pool_of_videos(tmp_path)
    ran = run_here("compile", "recipe.yaml", "--out", "out", folder=tmp_path)
    assert ran.code == 0, ran.err
    said = f"train: 1\nmodel: {folder_of(family)}\nmanifest: out\nout: run\nroot: .\nbatch: 2\nthreads: 1\n"
    (tmp_path / "run.yaml").write_text(said + "learning_rate: {adamw: 0.001}\n")
    refused = run_here("train", "run.yaml", folder=tmp_path)
    assert refused.code == 1
    assert "has a video; say with `video_frames`" in refused.err
    (tmp_path / "run.yaml").write_text(
        said.replace("out: run", "out: more") + "video_frames: 4\nlearning_rate: {adamw: 0.001}\n"
    )
    ran = run_here("train", "run.yaml", folder=tmp_path)
    assert ran.code == 0, ran.err
    assert np.isfinite(json.loads((tmp_path / "more" / "metrics.jsonl").read_text().splitlines()[-1])["loss"])


@pytest.mark.parametrize("family", ["llava", "qwen3_vl"])
def test_a_model_is_asked_and_scored_about_videos(folder_of: Any, family: str, tmp_path: Path) -> None:
    """By a greedy loop over what training has for each sample up to its answer, and by its loss there."""
    import pyarrow.parquet as pq

    pool_of_videos(tmp_path)
    ran = run_here("compile", "recipe.yaml", "--out", "out", folder=tmp_path)
    assert ran.code == 0, ran.err
    asked = ("eval", folder_of(family), "--manifest", "out", "--out", "run.jsonl", "--max-new-tokens", "4")
    refused = run_here(*asked, folder=tmp_path)
    assert refused.code == 1
    assert "has a video; say with `video_frames` (`--video-frames` of a command)" in refused.err
    asked = (*asked[:-3], "shown.jsonl", *asked[-2:], "--video-frames", "4")
    ran = run_here(*asked, folder=tmp_path)
    assert ran.code == 0, ran.err
    header, *lines = map(json.loads, (tmp_path / "shown.jsonl").read_text().splitlines())
    assert header["settings"]["video_frames"] == 4
    model = Model.load(folder_of(family), video_frames=4)
    assert [line["prediction"] for line in lines] == [slowly(model, tmp_path, position, 4) for position in range(2)]

    asked = ("score", folder_of(family), "--manifest", "out", "--out", "scores.parquet", "--video-frames", "4")
    ran = run_here(*asked, folder=tmp_path)
    assert ran.code == 0, ran.err
    scores = pq.read_table(tmp_path / "scores.parquet")
    assert scores.schema.metadata[b"recipe.video_frames"] == b"4"
    reader = Reader(tmp_path / "out")
    for position, loss in enumerate(scores["loss"].to_pylist()):
        with torch.inference_mode():
            inputs = model.collator([reader.sample(position)]).inputs
            assert float(model.model(**inputs).loss) == pytest.approx(loss, rel=1e-4)
