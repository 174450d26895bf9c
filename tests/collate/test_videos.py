"""A video is shown as images: the frames that the reader takes of it, for every family, or it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime.collate import Collator
from runtime.errors import CollateError
from runtime.sample import Media
from tests.collate.helpers import assistant, by_hand, image, picture, sample, text, user

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """Twelve frames of 64 x 48, each of another grey."""
    path: Path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Media(kind="video", path=path, data=None)


def talk(clip: Media) -> Any:
    video = {"type": "video", "media": 1}
    return sample([user(image(0), text(" then "), video, text("?")), assistant(text("ok"))], [picture(40, 60), clip])


def test_a_video_is_refused_unless_asked_for(processor: Any, clip: Media) -> None:
    with pytest.raises(CollateError, match=r"\(key-0\) at position 0 has a video; say with `video_frames`"):
        Collator(processor)([talk(clip)])


@pytest.mark.skipif(not hasattr(Media, "frames"), reason="this reader takes no frames of videos")
@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_video_is_its_frames(processor: Any, clip: Media, count: int) -> None:
    batch = Collator(processor, video_frames=count)([talk(clip)])
    frames = [Image.fromarray(frame) for frame in clip.frames(count)]
    assert len(frames) == min(count, 12)
    pictures = [talk(clip).media[0].image(), *frames]
    spelled = [user(image(0), text(" then "), *map(image, range(1, len(pictures))), text("?")), assistant(text("ok"))]
    tokens, labels = by_hand(processor, spelled, pictures)
    assert batch.inputs["input_ids"][0].tolist() == tokens
    assert batch.inputs["labels"][0].tolist() == labels
    written = processor.apply_chat_template(spelled)
    expected = processor(text=[written], images=[pictures], return_tensors="pt")
    assert batch.inputs["pixel_values"].equal(expected["pixel_values"])
