"""Models from a folder: no network, no pickle, no weight that is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForImageTextToText, PreTrainedModel

from runtime.collate.processors import unreadable
from runtime.errors import ModelError

_WRONG = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def load_model(folder: str | Path, *, dtype: str = "float32", **options: Any) -> PreTrainedModel:
    """The model in a folder, on the CPU, from its safetensors. `dtype` "auto" is the one that they are in; `options` go to
    `from_pretrained`.

    Raises `ModelError` where the files do not hold exactly the weights of the model: transformers would go on with
    random ones.
    """
    folder = Path(folder)
    try:
        model, told = AutoModelForImageTextToText.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=dtype, **options
        )
    except Exception as error:  # noqa: BLE001 - transformers and safetensors raise whatever a file that is not theirs leads to.
        raise unreadable(folder, "model", error) from None
    for what in _WRONG:
        if found := told.get(what):
            raise ModelError(str(folder), f"its weights are not those of the model: {what}: {min(map(str, found))}")
    return model
