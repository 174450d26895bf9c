"""What differs between the families: the text that stands for an image or a video, and the tensors of those of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as smart_resize_video
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor
from transformers.video_utils import VideoMetadata

from runtime.collate import films
from runtime.collate.chat import Span
from runtime.collate.places import Block
from runtime.decode import Clip, Pixels
from runtime.errors import CollateError

#: What a token stands for: words, a part of an image, or of a video.
WORDS, IMAGE, VIDEO = 0, 1, 2
#: (height, width) in pixels.
Size = tuple[int, int]
#: What is shown: an image of a size, or frames of a video.
Shown = Size | Clip


@dataclass(frozen=True)
class Family(ABC):
    """A processor, and how its model takes images."""

    processor: Any

    def stand_in(self, shown: Shown) -> str:
        """The text that the model reads where an image or a video lies, by the processor's own rules."""
        return self._video(shown) if isinstance(shown, Clip) else self._image(shown)

    @abstractmethod
    def _image(self, size: Size) -> str:
        """The text for an image of this size."""

    def _video(self, clip: Clip) -> str:
        """The text for a video, in families that take videos."""
        raise NotImplementedError

    @abstractmethod
    def tensors(self, rows: Sequence[Sequence[Pixels]]) -> dict[str, torch.Tensor]:
        """The model's image tensors for the images of each row of a batch. There is at least one image."""

    def _processed(self, images: list[Any]) -> dict[str, torch.Tensor]:
        # An image of three rows looks like one of three channels.
        found = self.processor.image_processor(images, input_data_format="channels_last", return_tensors="pt")
        return dict(found)

    def as_shown(self, clip: Clip) -> list[Shown]:
        """What a clip of a video is shown as: an image for each of its frames, or itself where the model takes videos."""
        return [(clip.height, clip.width)] * len(clip.taken)


class Llava(Family):
    """One tile of fixed size for each image."""

    def _image(self, size: Size) -> str:
        """As many image tokens as the processor gives to the size it brings every image to."""
        if not self.processor.patch_size:
            raise CollateError("the processor names no `patch_size`; give it that of the model's vision tower")
        height, width = self._side()
        blank = np.broadcast_to(np.float32(0), (3, height, width))
        return str(self.processor.replace_image_token({"pixel_values": [blank]}, 0))

    def _side(self) -> Size:
        images = self.processor.image_processor
        if images.do_center_crop:
            return int(images.crop_size["height"]), int(images.crop_size["width"])
        if images.do_resize and images.size.get("height") and images.size.get("width"):
            return int(images.size["height"]), int(images.size["width"])
        raise CollateError(
            f"{type(images).__name__} leaves images at sizes of their own, which make no batch; set `do_center_crop`"
        )

    def tensors(self, rows: Sequence[Sequence[Pixels]]) -> dict[str, torch.Tensor]:
        """`pixel_values` (images, 3, height, width)."""
        return self._processed([image for row in rows for image in row])


class Idefics(Family):
    """Tiles of an image in rows and columns, and the whole of it; Idefics3 and SmolVLM."""

    def _image(self, size: Size) -> str:
        """The tiles that the image processor says it would cut, written as the processor writes them."""
        _, rows, columns = self.processor.image_processor.get_number_of_image_patches(*size, {})
        return str(self.processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0))

    def tensors(self, rows: Sequence[Sequence[Pixels]]) -> dict[str, torch.Tensor]:
        """`pixel_values` (rows, most tiles of a row, 3, height, width) and `pixel_attention_mask` without the 3."""
        return self._processed([list(row) for row in rows])


class Qwen(Family):
    """Patches of an image near its own size, merged by squares; Qwen2-VL, and what 2.5 and 3 have of it.

    Videos are taken as such: twos of frames in patches. Their tokens have places in time, height and width (M-RoPE).
    """

    def _image(self, size: Size) -> str:
        """A token for each square of patches, of the size the image processor says it would bring the image to."""
        images = self.processor.image_processor
        try:
            num_patches = images.get_number_of_image_patches(*size, {})
        except ValueError as error:
            raise CollateError(f"an image of {size[0]:,} x {size[1]:,} pixels: {error}") from None
        return str(self.processor.image_token) * int(num_patches // images.merge_size**2)

    def _video(self, clip: Clip) -> str:
        """The processor's own text for a video of this grid and these times."""
        shown = {"video_grid_thw": np.array([self.grid(clip)]), "video_metadata": [_metadata(clip)]}
        return str(self.processor.replace_video_token(shown, 0))

    def as_shown(self, clip: Clip) -> list[Shown]:
        """Itself."""
        return [clip]

    def tensors(self, rows: Sequence[Sequence[Pixels]]) -> dict[str, torch.Tensor]:
        """`pixel_values` (patches of all images, values of a patch) and `image_grid_thw` (images, 3) in patches."""
        return self._processed([image for row in rows for image in row])

    def video_tensors(self, videos: Sequence[tuple[Clip, Pixels]]) -> dict[str, torch.Tensor]:
        """`pixel_values_videos` (patches of all videos, values of a patch) and `video_grid_thw` (videos, 3) in patches."""
        patches = [films.patches(self.videos, frames, self.frame_size(clip)) for clip, frames in videos]
        grids = torch.tensor([self.grid(clip) for clip, _ in videos])
        return {"pixel_values_videos": torch.cat(patches), "video_grid_thw": grids}

    def blocks(self, spans: Sequence[Span], shown: Sequence[Shown], kinds: NDArray[np.int64]) -> list[Block]:
        """Where the tokens of images and videos lie in space; `kinds` are those of the whole sample."""
        found: list[Block] = []
        for span, one in zip(spans, shown, strict=True):
            found += self._blocks_of_video(span, one, kinds) if isinstance(one, Clip) else [self._block(span, one)]
        return found

    def _block(self, span: Span, size: Size) -> Block:
        images = self.processor.image_processor
        side, least, most = (
            images.patch_size * images.merge_size,
            images.size["shortest_edge"],
            images.size["longest_edge"],
        )
        height, width = smart_resize(*size, side, min_pixels=least, max_pixels=most)
        return Block(*span, [0], height // side, width // side)

    def _blocks_of_video(self, span: Span, clip: Clip, kinds: NDArray[np.int64]) -> list[Block]:
        time, height, width = self.grid(clip)
        merge = self.videos.merge_size
        return [Block(*span, self._times(clip, time), height // merge, width // merge)]

    def _times(self, clip: Clip, count: int) -> Sequence[int]:
        """The places in time of the twos of frames of a video."""
        return range(count)

    @property
    def videos(self) -> Any:
        """The processor's settings for videos."""
        settings = getattr(self.processor, "video_processor", None)
        if settings is None:
            raise CollateError(
                "the processor says nothing of videos: its folder has no video_preprocessor_config.json, and "
                "processor_config.json no `video_processor`"
            )
        return settings

    def grid(self, clip: Clip) -> films.Grid:
        """(twos of frames, height, width) of a video in patches."""
        return films.grid(self.videos, len(clip.taken), self.frame_size(clip))

    def frame_size(self, clip: Clip) -> Size:
        """The (height, width) that frames are brought to."""
        if not self.videos.do_resize:
            return clip.height, clip.width
        try:
            return self._near(clip, self.videos.patch_size * self.videos.merge_size)
        except ValueError as error:
            raise CollateError(
                f"a video of {len(clip.taken):,} frames of {clip.height:,} x {clip.width:,} pixels: {error}"
            ) from None

    def _near(self, clip: Clip, side: int) -> Size:
        """The size near that of the frames that is whole squares of `side` pixels: each frame within the limits."""
        least, most = self.videos.size["shortest_edge"], self.videos.size["longest_edge"]
        if self.videos.cap_pixels_per_frame:
            all_frames = int(self.videos.max_video_tokens * side * side * 0.9)
            share = all_frames * self.videos.temporal_patch_size // len(clip.taken)
            most = max(min(most, share), int(least * 1.05))
        height, width = smart_resize(clip.height, clip.width, factor=side, min_pixels=least, max_pixels=most)
        return height, width


class Qwen2_5(Qwen):
    """Qwen2.5-VL: the places of a video's frames follow their times."""

    def video_tensors(self, videos: Sequence[tuple[Clip, Pixels]]) -> dict[str, torch.Tensor]:
        """With `second_per_grid_ts` (videos), the seconds between two twos of frames."""
        seconds = torch.tensor([self._seconds(clip) for clip, _ in videos])
        return {**super().video_tensors(videos), "second_per_grid_ts": seconds}

    def _seconds(self, clip: Clip) -> float:
        return float(self.videos.temporal_patch_size / _metadata(clip).sampled_fps)

    def _times(self, clip: Clip, count: int) -> Sequence[int]:
        rate = getattr(self.videos, "tokens_per_second", None)
        if rate is None:
            raise CollateError(
                "places of a video in a pack want `tokens_per_second` of the model's config; take the processor from "
                "`runtime.collate.load_processor`"
            )
        return films.in_time(count, rate, self._seconds(clip))


class Qwen3(Qwen):
    """Qwen3-VL: each two of a video's frames lie by themselves behind their time as text."""

    def _near(self, clip: Clip, side: int) -> Size:
        """All frames together within the limits."""
        least, most = self.videos.size["shortest_edge"], self.videos.size["longest_edge"]
        count = len(clip.taken)
        if self.videos.cap_pixels_per_frame:
            share = min(self.videos.max_video_tokens * side * side, most // count)
            most = max(share, int(least * 1.05)) * count
        twos = self.videos.temporal_patch_size
        height, width = smart_resize_video(count, clip.height, clip.width, twos, side, least, most)
        return height, width

    def _blocks_of_video(self, span: Span, clip: Clip, kinds: NDArray[np.int64]) -> list[Block]:
        _, height, width = (edge // self.videos.merge_size for edge in self.grid(clip))
        tokens = span[0] + np.flatnonzero(kinds[slice(*span)] == VIDEO)
        size = height * width
        return [Block(int(start), int(start) + size, [0], height, width) for start in tokens[::size]]


def _metadata(clip: Clip) -> VideoMetadata:
    if clip.rate is None:
        raise CollateError("a video does not say how many frames a second has, so that its times are not known")
    return VideoMetadata(total_num_frames=clip.total, fps=clip.rate, frames_indices=list(clip.taken))


_FAMILIES: tuple[tuple[tuple[type, ...], type[Family]], ...] = (
    ((LlavaProcessor,), Llava),
    ((Idefics3Processor, SmolVLMProcessor), Idefics),
    ((Qwen2VLProcessor,), Qwen),
    ((Qwen2_5_VLProcessor,), Qwen2_5),
    ((Qwen3VLProcessor,), Qwen3),
)


def family(processor: Any) -> Family:
    """The family of a processor. Raises `CollateError` for one that is not known."""
    for kinds, found in _FAMILIES:
        if isinstance(processor, kinds):
            return found(processor)
    raise CollateError(
        f"{type(processor).__name__} is of no family that is known: LLaVA, Idefics3, SmolVLM and Qwen-VL are; "
        "where torchvision is missing, take the processor from `runtime.collate.load_processor`"
    )
