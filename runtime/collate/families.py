"""What differs between the families: the text that stands for an image, and the tensors of a batch's images."""

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
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from runtime.errors import CollateError

#: (height, width) in pixels.
Size = tuple[int, int]
#: An image as (height, width, 3), RGB.
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Family(ABC):
    """A processor, and how its model takes images."""

    processor: Any

    @abstractmethod
    def stand_in(self, size: Size) -> str:
        """The text that the model reads where an image of this size lies, from the processor's own rule for sizes."""

    @abstractmethod
    def tensors(self, rows: Sequence[Sequence[Pixels]]) -> dict[str, torch.Tensor]:
        """The model's image tensors for the images of each row of a batch. There is at least one image."""

    def _processed(self, images: list[Any]) -> dict[str, torch.Tensor]:
        # An image of three rows looks like one of three channels.
        found = self.processor.image_processor(images, input_data_format="channels_last", return_tensors="pt")
        return dict(found)

    @property
    def takes_grids(self) -> bool:
        """Whether image tokens have places in three dimensions (M-RoPE), so that the model asks which tokens they are."""
        return False

    @property
    def merge(self) -> int:
        """How many patches lie along the side of the square that is one token, where `takes_grids`."""
        return 1


class Llava(Family):
    """One tile of fixed size for each image."""

    def stand_in(self, size: Size) -> str:
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

    def stand_in(self, size: Size) -> str:
        """The tiles that the image processor says it would cut, written as the processor writes them."""
        _, rows, columns = self.processor.image_processor.get_number_of_image_patches(*size, {})
        return str(self.processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0))

    def tensors(self, rows: Sequence[Sequence[Pixels]]) -> dict[str, torch.Tensor]:
        """`pixel_values` (rows, most tiles of a row, 3, height, width) and `pixel_attention_mask` without the 3."""
        return self._processed([list(row) for row in rows])


class Qwen(Family):
    """Patches of an image near its own size, merged by squares; Qwen2-VL, 2.5 and 3."""

    def stand_in(self, size: Size) -> str:
        """A token for each square of patches, of the size the image processor says it would bring the image to."""
        images = self.processor.image_processor
        try:
            num_patches = images.get_number_of_image_patches(*size, {})
        except ValueError as error:
            raise CollateError(f"an image of {size[0]:,} x {size[1]:,} pixels: {error}") from None
        return str(self.processor.image_token) * int(num_patches // images.merge_size**2)

    def tensors(self, rows: Sequence[Sequence[Pixels]]) -> dict[str, torch.Tensor]:
        """`pixel_values` (patches of all images, values of a patch) and `image_grid_thw` (images, 3) in patches."""
        return self._processed([image for row in rows for image in row])

    @property
    def takes_grids(self) -> bool:
        """Always."""
        return True

    @property
    def merge(self) -> int:
        """As the image processor merges them."""
        return int(self.processor.image_processor.merge_size)


_FAMILIES: tuple[tuple[tuple[type, ...], type[Family]], ...] = (
    ((LlavaProcessor,), Llava),
    ((Idefics3Processor, SmolVLMProcessor), Idefics),
    ((Qwen2VLProcessor, Qwen2_5_VLProcessor, Qwen3VLProcessor), Qwen),
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
