"""Processors from a folder, with PIL's pixels, whether torchvision is installed or not.

Where torchvision is missing, transformers gives a bare tokenizer for the families that know videos, without a word;
where it is there, images come out with other pixels. So the parts are put together here, the same everywhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor
from transformers.processing_utils import ProcessorMixin

from runtime.collate.films import VideoSettings, read_settings
from runtime.errors import ModelError


class _WithSettings(ProcessorMixin):
    """A processor with settings for videos in place of a video processor."""

    video_processor: VideoSettings | None = None

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None, **_: Any) -> None:
        _name_tokens(self, tokenizer)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def to_dict(self) -> dict[str, Any]:
        """The settings where transformers looks for those of a video processor."""
        said: dict[str, Any] = super().to_dict()
        return said if self.video_processor is None else said | {"video_processor": self.video_processor.to_dict()}


class PicturesQwen2VL(_WithSettings, Qwen2VLProcessor):
    """Qwen2-VL's processor without its video processor, which wants torchvision."""


class PicturesQwen2_5_VL(_WithSettings, Qwen2_5_VLProcessor):
    """Qwen2.5-VL's processor without its video processor, which wants torchvision."""


class PicturesQwen3VL(_WithSettings, Qwen3VLProcessor):
    """Qwen3-VL's processor without its video processor, which wants torchvision."""


class PicturesSmolVLM(SmolVLMProcessor):
    """SmolVLM's processor without its video processor, which wants torchvision and num2words."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_len: int = 169,
        chat_template: Any = None,
        **_: Any,
    ) -> None:
        self.fake_image_token = getattr(tokenizer, "fake_image_token", "<fake_token_around_image>")
        self.image_token = getattr(tokenizer, "image_token", "<image>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.end_of_utterance_token = getattr(tokenizer, "end_of_utterance_token", "<end_of_utterance>")
        self.global_image_token = getattr(tokenizer, "global_image_token", "<global-img>")
        self.video_token = getattr(tokenizer, "video_token", "<video>")
        self.image_seq_len = image_seq_len
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def apply_chat_template(self, *arguments: Any, **settings: Any) -> Any:
        """As for any other processor: SmolVLM's own asks its video processor first."""
        return ProcessorMixin.apply_chat_template(self, *arguments, **settings)


def _name_tokens(processor: Any, tokenizer: Any) -> None:
    names = {
        "image": "<|image_pad|>",
        "video": "<|video_pad|>",
        "vision_start": "<|vision_start|>",
        "vision_end": "<|vision_end|>",
    }
    for name, usual in names.items():
        token = getattr(tokenizer, f"{name}_token", None) or usual
        setattr(processor, f"{name}_token", token)
        setattr(processor, f"{name}_token_id", tokenizer.convert_tokens_to_ids(token))


#: `model_type` of a folder's config.json -> the processor that reads images with PIL.
PROCESSORS: dict[str, type[ProcessorMixin]] = {
    "llava": LlavaProcessor,
    "idefics3": Idefics3Processor,
    "smolvlm": PicturesSmolVLM,
    "qwen2_vl": PicturesQwen2VL,
    "qwen2_5_vl": PicturesQwen2_5_VL,
    "qwen3_vl": PicturesQwen3VL,
}


def load_processor(folder: str | Path) -> ProcessorMixin:
    """The processor that lies in a folder, from its files alone: no network. Videos are cut into patches by `films`.

    Raises `ModelError` for a folder without config.json, of a family that is not known, or with files that are damaged.
    """
    folder = Path(folder)
    try:
        kind = json.loads((folder / "config.json").read_text())["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        reason = "no config.json that names a `model_type`; give the folder of a model"
        raise ModelError(str(folder), reason) from None
    if kind not in PROCESSORS:
        raise ModelError(str(folder), f"a model of type `{kind}`; the families are {', '.join(PROCESSORS)}")
    try:
        return _processor(folder, kind)
    except Exception as error:  # noqa: BLE001 - transformers and tokenizers raise whatever a file that is not theirs leads to.
        raise unreadable(folder, "processor", error) from None


def unreadable(folder: Path, what: str, error: Exception) -> ModelError:
    """What is told of a folder whose files a library cannot read, by the first one that is no JSON if there is any."""
    place = next((path for path in sorted(folder.glob("*.json")) if not _is_json(path)), folder)
    reason = (str(error).splitlines() or [""])[0]
    way_out = "copy it again, or write it again with `save_pretrained`"
    return ModelError(str(place), f"no {what} that can be loaded: {type(error).__name__}: {reason}; {way_out}")


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _processor(folder: Path, kind: str) -> ProcessorMixin:
    settings = {}
    if (folder / "processor_config.json").is_file():
        settings = json.loads((folder / "processor_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    images = AutoImageProcessor.from_pretrained(str(folder), backend="pil", local_files_only=True)
    parts = ("image_processor", "video_processor", "tokenizer", "processor_class", "chat_template")
    processor = PROCESSORS[kind](
        image_processor=images,
        tokenizer=tokenizer,
        chat_template=_chat_template(folder, tokenizer),
        **{name: value for name, value in settings.items() if name not in parts},
    )
    if isinstance(processor, _WithSettings):
        processor.video_processor = read_settings(folder, kind)
    return processor


def _chat_template(folder: Path, tokenizer: Any) -> Any:
    """The template beside the processor, in the form of today or of yesterday, or else the tokenizer's."""
    today, yesterday = folder / "chat_template.jinja", folder / "chat_template.json"
    if today.is_file():
        return today.read_text(encoding="utf-8")
    if yesterday.is_file():
        return json.loads(yesterday.read_text(encoding="utf-8"))["chat_template"]
    return getattr(tokenizer, "chat_template", None)
