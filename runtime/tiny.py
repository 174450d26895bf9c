"""Vision-language models from a config: random weights, a small tokenizer and a processor, written with no download.

The same families, classes and files as the published ones, at any size. Sizes are numbers: the 0.4 M parameters that
`write` makes by itself learn on a CPU in minutes; `hidden=768, layers=12` are 0.1 billion and `hidden=1536, layers=16` 0.7
billion, for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    Idefics3Config,
    LlamaConfig,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen3VLConfig,
    SmolVLMConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging

from recipe_compiler.errors import RecipeError
from runtime.collate.films import VideoSettings
from runtime.collate.processors import PROCESSORS, load_processor

__all__ = ["FAMILIES", "load_processor", "write"]

FAMILIES = ("llava", "idefics3", "smolvlm", "qwen2_5_vl", "qwen3_vl")

#: What the tokenizer learns from where nothing else is given.
PHRASES = (
    "You are a helpful assistant that looks at pictures.",
    "What is in this picture? Describe the picture in one sentence.",
    "Which of the four bars is the highest? How many apples are on the table? Read the number in the image.",
    "The largest object is a red circle. It is a blue square. There is a green triangle on the left of a yellow star.",
    "The answer is 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25 or 100. Yes, it is. No, there are none.",
    "A chart with the title Sales by year, two lines, an axis from zero to one hundred and a legend below.",
    '{"type": "function", "function": {"name": "zoom", "description": "Look closer", "parameters": {"type": "object"}}}',
)

#: Frames of a video that Qwen3-VL takes as large as an image.
_FRAMES = 8

_TEMPLATE = """\
{%- macro body(message) -%}
    {%- if message['content'] is string -%}{{ message['content'] }}
    {%- else -%}{%- for part in message['content'] -%}
        {%- if part['type'] == 'image' -%}{{ 'IMAGE' }}
        {%- elif part['type'] == 'video' -%}{{ 'VIDEO' }}
        {%- else -%}{{ part['text'] }}{%- endif -%}
    {%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- if tools -%}
    {{ '<|im_start|>tools\\n' }}{%- for tool in tools -%}{{ tool | tojson + '\\n' }}{%- endfor -%}{{ '<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
    {{ '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}{{ body(message) + '<|im_end|>' }}{%- endgeneration -%}{{ '\\n' }}
    {%- else -%}{{ body(message) + '<|im_end|>\\n' }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The numbers of a model. Patches are square, `image_size` and `patch_size` in pixels."""

    image_size: int
    patch_size: int
    hidden: int
    layers: int

    @property
    def heads(self) -> int:
        width = 32 if self.hidden < 512 else 64 if self.hidden < 2048 else 128
        if self.hidden % width:
            raise RecipeError(f"a hidden size of {self.hidden} is no multiple of {width}, the width of a head")
        return self.hidden // width

    @property
    def grid(self) -> int:
        if self.image_size % (2 * self.patch_size):
            raise RecipeError(
                f"an image of {self.image_size} pixels has no even number of patches of {self.patch_size}; "
                f"take a multiple of {2 * self.patch_size}"
            )
        return self.image_size // self.patch_size

    def text(self, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
        """What the configs of all language models share."""
        return {
            "vocab_size": len(tokenizer),
            "hidden_size": self.hidden,
            "intermediate_size": 2 * self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "max_position_embeddings": 32768,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
        }


def write(
    folder: str | Path,
    family: str,
    *,
    seed: int = 0,
    image_size: int = 48,
    patch_size: int = 8,
    hidden: int = 96,
    layers: int = 2,
    vocabulary: int = 512,
    texts: Sequence[str] | None = None,
) -> int:
    """Writes a model with random weights and its processor into a folder, and gives its number of parameters.

    `image_size` and `patch_size` are pixels, `hidden` and `layers` those of both towers, `vocabulary` the most tokens that
    the tokenizer learns from `texts`. The defaults are those that learn on a CPU. The bytes are the same for the same
    arguments. Raises `RecipeError` for sizes that do not fit together.
    """
    if family not in FAMILIES:
        raise RecipeError(f"`{family}` is no family that can be written; they are {', '.join(FAMILIES)}")
    sizes = _Sizes(image_size, patch_size, hidden, layers)
    tokenizer = _tokenizer(family, PHRASES if texts is None else texts, vocabulary)
    processor = _processor(family, tokenizer, sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(_config(family, tokenizer, sizes), dtype=torch.float32)
    _see_places(model, family, sizes.grid)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with _no_bars():
        model.save_pretrained(str(folder))
        processor.save_pretrained(str(folder))
    return sum(parameter.numel() for parameter in model.parameters())


@contextmanager
def _no_bars() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _tokenizer(family: str, texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    named = {}
    match family:
        case "llava":
            named = {"image_token": "<image>"}
        case "idefics3" | "smolvlm":
            named = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>"}
            named |= {"global_image_token": "<global-img>", "end_of_utterance_token": "<end_of_utterance>"}
            special += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
        case _:
            named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
            named |= {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>"}
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*special, *named.values()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<|endoftext|>", eos_token="<|im_end|>", extra_special_tokens=named
    )


def _processor(family: str, tokenizer: PreTrainedTokenizerFast, sizes: _Sizes) -> ProcessorMixin:
    side, kind = sizes.image_size, PROCESSORS[family]
    image, video = "<image>", "<video>"
    own: dict[str, Any] = {}
    match family:
        case "llava":
            square = {"height": side, "width": side}
            pictures = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=square)
            own = {"patch_size": sizes.patch_size, "vision_feature_select_strategy": "default"}
            own |= {"num_additional_image_tokens": 1}
        case "idefics3" | "smolvlm":
            builder = Idefics3ImageProcessorPil if family == "idefics3" else SmolVLMImageProcessorPil
            pictures = builder(size={"longest_edge": 2 * side}, max_image_size={"longest_edge": side})
            own = {"image_seq_len": sizes.grid**2 // 4}
        case _:
            image, video = (f"<|vision_start|><|{name}_pad|><|vision_end|>" for name in ("image", "video"))
            pictures = Qwen2VLImageProcessorPil(
                size={"shortest_edge": (2 * sizes.patch_size) ** 2, "longest_edge": side**2},
                patch_size=sizes.patch_size,
            )
    template = _TEMPLATE.replace("IMAGE", image).replace("VIDEO", video)
    processor = kind(image_processor=pictures, tokenizer=tokenizer, chat_template=template, **own)
    if family.startswith("qwen"):
        edges = {"shortest_edge": (2 * sizes.patch_size) ** 2, "longest_edge": side**2}
        if family == "qwen3_vl":
            edges["longest_edge"] *= _FRAMES  # Of all frames together.
        processor.video_processor = VideoSettings(size=edges, patch_size=sizes.patch_size, cap_pixels_per_frame=False)
    return processor


def _config(family: str, tokenizer: PreTrainedTokenizerFast, sizes: _Sizes) -> PreTrainedConfig:
    text, grid = sizes.text(tokenizer), sizes.grid
    vision: dict[str, Any] = {
        "hidden_size": sizes.hidden,
        "intermediate_size": 2 * sizes.hidden,
        "patch_size": sizes.patch_size,
    }
    table = {
        "image_size": sizes.image_size,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
    }
    image = tokenizer.convert_tokens_to_ids(tokenizer.image_token)
    match family:
        case "llava":
            return LlavaConfig(
                vision_config=CLIPVisionConfig(**vision, **table, projection_dim=sizes.hidden),
                text_config=LlamaConfig(**text),
                image_token_id=image,
                image_seq_length=grid**2,
                vision_feature_layer=-1,
            )
        case "idefics3" | "smolvlm":
            builder = Idefics3Config if family == "idefics3" else SmolVLMConfig
            return builder(
                vision_config={**vision, **table},
                text_config={"model_type": "llama", **text},
                image_token_id=image,
                pad_token_id=tokenizer.pad_token_id,
                scale_factor=2,
            )
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(getattr(tokenizer, f"{name}_token"))
        for name in ("image", "video", "vision_start", "vision_end")
    }
    vision |= {"depth": sizes.layers, "num_heads": sizes.heads, "out_hidden_size": sizes.hidden}
    half = sizes.hidden // sizes.heads // 2
    sections = [half // 4, half * 3 // 8, half * 3 // 8]
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections}
    if family == "qwen2_5_vl":
        vision |= {"window_size": 4 * sizes.patch_size, "fullatt_block_indexes": [sizes.layers - 1]}
        return Qwen2_5_VLConfig(vision_config=vision, text_config={**text, "rope_parameters": rope}, **ids)
    vision |= {"num_position_embeddings": grid**2, "deepstack_visual_indexes": [0]}
    text |= {"head_dim": 2 * half, "rope_parameters": {**rope, "mrope_interleaved": True}}
    return Qwen3VLConfig(vision_config=vision, text_config=text, **ids)


def _see_places(model: PreTrainedModel, family: str, grid: int) -> None:
    """Lets each patch begin by knowing where it lies: without it a small model does not learn to read a chart."""
    match family:
        case "llava":
            table = model.model.vision_tower.embeddings.position_embedding.weight
        case "idefics3" | "smolvlm":
            table = model.model.vision_model.embeddings.position_embedding.weight
        case "qwen3_vl":
            table = model.model.visual.pos_embed.weight
        case _:
            return  # Qwen2.5-VL turns queries and keys by their places.
    quarter = table.shape[1] // 4
    rates = torch.exp(torch.arange(quarter) * (-math.log(10000.0) / quarter))
    places = torch.arange(grid)[:, None] * rates
    waves = torch.cat([places.sin(), places.cos()], dim=1)
    rows, columns = waves[:, None].expand(-1, grid, -1), waves[None].expand(grid, -1, -1)
    with torch.no_grad():
        table.zero_()
        table[-(grid**2) :] = torch.cat([rows, columns], dim=2).reshape(grid**2, -1)
