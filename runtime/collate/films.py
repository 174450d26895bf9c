"""Videos as Qwen-VL models take them: frames brought to one size, joined in twos and cut into patches.

transformers does it in a class that wants torchvision. Here are its settings, as folders of models have them, and its
arithmetic with the same calls of torch, so that the values are the same whether torchvision is installed or not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig

from runtime.decode import Pixels
from runtime.errors import CollateError

#: (frames in twos, height, width) of a video in patches; an image is one of those frames.
Grid = tuple[int, int, int]

_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_BICUBIC = 3


def _pixels(shortest: int, longest: int) -> dict[str, int]:
    return {"shortest_edge": shortest, "longest_edge": longest}


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """What a processor does to videos, under the names that transformers gives; Qwen2-VL's where nothing is said.

    `size` are the fewest and the most pixels: of a frame, or of all frames for Qwen3-VL. `tokens_per_second` is the model's.
    """

    size: dict[str, int] = field(default_factory=lambda: _pixels(128 * 28 * 28, 768 * 28 * 28))
    patch_size: int = 14
    temporal_patch_size: int = 2
    merge_size: int = 2
    do_resize: bool = True
    resample: int = _BICUBIC
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: Sequence[float] = _CLIP[0]
    image_std: Sequence[float] = _CLIP[1]
    cap_pixels_per_frame: bool | None = None
    max_video_tokens: int = 128_000
    tokens_per_second: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The settings as a folder has them."""
        return {name: value for name, value in asdict(self).items() if name != "tokens_per_second"}


_QWEN3: dict[str, Any] = {
    "size": _pixels(128 * 32 * 32, 768 * 32 * 32),
    "patch_size": 16,
    "image_mean": _HALF[0],
    "image_std": _HALF[1],
    "max_video_tokens": 768,
}


def read_settings(folder: Path, kind: str) -> VideoSettings | None:
    """The settings of a folder with a model of `model_type` kind, from the files that transformers looks into, in its order.

    None where there are none, so that nothing is known of videos.
    """
    said: dict[str, Any] | None = _json(folder / "processor_config.json").get("video_processor")
    for name in ("video_preprocessor_config.json", "preprocessor_config.json"):
        if said is None and (folder / name).is_file():
            said = _json(folder / name)
    if said is None:
        return None
    defaults = _QWEN3 if kind == "qwen3_vl" else {}
    names = VideoSettings.__dataclass_fields__
    chosen = {**defaults, **{name: value for name, value in said.items() if name in names and value is not None}}
    if kind != "qwen3_vl":
        edges = {"shortest_edge": said.get("min_pixels"), "longest_edge": said.get("max_pixels")}
        chosen["size"] = (said.get("size") or VideoSettings().size) | {
            edge: most for edge, most in edges.items() if most
        }
    vision = _json(folder / "config.json").get("vision_config", {})
    usual = Qwen2_5_VLVisionConfig().tokens_per_second if kind == "qwen2_5_vl" else None
    return VideoSettings(**{**chosen, "tokens_per_second": vision.get("tokens_per_second", usual)})


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def grid(settings: Any, frames: int, size: tuple[int, int]) -> Grid:
    """The patches of so many frames, the last one twice where one is left, that were brought to a size in pixels."""
    height, width = (edge // settings.patch_size for edge in size)
    if height % settings.merge_size or width % settings.merge_size or any(edge % settings.patch_size for edge in size):
        raise CollateError(
            f"frames of {size[0]:,} x {size[1]:,} pixels are no whole patches; set `do_resize` for videos"
        )
    return -(-frames // settings.temporal_patch_size), height, width


def patches(settings: Any, frames: Pixels, size: tuple[int, int]) -> Tensor:
    """`pixel_values_videos` of one video (patches, values of a patch), its frames brought to a size in pixels."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    if size != tuple(video.shape[-2:]):
        if int(settings.resample) != _BICUBIC:
            raise CollateError(f"the processor resamples videos by {settings.resample!r}, and only bicubic is known")
        video = torch.nn.functional.interpolate(video, size, mode="bicubic", align_corners=False, antialias=True)
    values = _normal(settings, video)
    twos, side, merge = settings.temporal_patch_size, settings.patch_size, settings.merge_size
    values = torch.cat([values, values[-1:].expand(-len(values) % twos, -1, -1, -1)])
    time, height, width = grid(settings, len(frames), size)
    cut = values.view(time, twos, 3, height // merge, merge, side, width // merge, merge, side)
    return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(time * height * width, 3 * twos * side * side)


def _normal(settings: Any, video: Tensor) -> Tensor:
    # The mean and deviation are scaled, not the pixels: as transformers does, to the last bit.
    if not settings.do_normalize:
        return video * settings.rescale_factor if settings.do_rescale else video
    scale = 1.0 / settings.rescale_factor if settings.do_rescale else 1.0
    mean, deviation = (torch.tensor(part) * scale for part in (settings.image_mean, settings.image_std))
    return video.to(torch.float32).sub_(mean.view(-1, 1, 1)).div_(deviation.view(-1, 1, 1))


def in_time(count: int, tokens_per_second: int, seconds: float) -> list[int]:
    """The places in time of frames in twos, in single precision as the model reckons them."""
    found: list[int] = (torch.arange(count) * (tokens_per_second * torch.tensor(seconds))).long().tolist()
    return found
