"""A checkpoint: a folder that is whole or not there, and weights that are proved to be those that were saved.

    checkpoints/000400/model/                   weights, config and processor, for `from_pretrained`
    checkpoints/000400/optimizers.safetensors   what the optimizers remember of each weight
    checkpoints/000400/state.json               step, cursor, world, digest of the weights, settings

What a step draws at random follows from the seed and its position, so that there is no generator to save; and the
learning rate follows from the step, so that there is no scheduler.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel
from transformers.utils import logging

from recipe_compiler.kernels import digest_parts
from recipe_compiler.manifest.files import sync
from runtime.models import load_model
from runtime.train.errors import TrainError

FOLDER = "checkpoints"
MODEL = "model"
_NAME = re.compile("[0-9]{6,}")
_STATE = "state.json"
_OPTIMIZERS = "optimizers.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a run stands: `step` steps were taken, and `cursor` says what they consumed. `at_border` is one that is kept for
    good, because the last draw of a stage was just trained on. `settings` are those that were trained with, by name."""

    step: int
    cursor: Mapping[str, Any]
    world: int
    at_border: bool
    weights: str
    settings: Mapping[str, Any]


def disable_bars() -> None:
    """Has transformers draw no bars of its own while it loads and saves."""
    logging.disable_progress_bar()


def weights_digest(model: nn.Module) -> str:
    """A digest of every weight by its name."""
    parts: list[bytes | Any] = []
    for name, weight in sorted(model.named_parameters()):
        plain = weight.detach().cpu().contiguous()
        parts += [f"{name} {plain.dtype} {tuple(plain.shape)}".encode(), plain.reshape(-1).view(torch.uint8).numpy()]
    return digest_parts("weights", parts)


def name(step: int) -> str:
    """The folder of a checkpoint."""
    return f"{step:06d}"


def save(
    run: Path,
    state: State,
    model: PreTrainedModel,
    optimizers: Mapping[str, Optimizer],
    save_processor: Callable[[Path], object],
) -> Path:
    """Writes a checkpoint beside its place, syncs it and moves it there. One that is there already is replaced."""
    target = run / FOLDER / name(state.step)
    made = run / FOLDER / f".{name(state.step)}.partial"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    model.save_pretrained(str(made / MODEL))
    save_processor(made / MODEL)
    tensors = {
        f"{key}.{number}.{what}": tensor.contiguous()
        for key, optimizer in optimizers.items()
        for number, state in optimizer.state_dict()["state"].items()
        for what, tensor in state.items()
    }
    save_file(tensors, made / _OPTIMIZERS)
    fields = {field: getattr(state, field) for field in State.__slots__}
    (made / _STATE).write_text(json.dumps(fields, indent=1) + "\n")
    for path in [*made.rglob("*"), made]:
        sync(path)
    shutil.rmtree(target, ignore_errors=True)
    made.replace(target)
    sync(target.parent)
    return target


def saved(run: Path) -> list[Path]:
    """The checkpoints of a run, first to last. A folder of another name, such as a copy, is none."""
    named = [folder for folder in (run / FOLDER).glob("*") if _NAME.fullmatch(folder.name)]
    return sorted(named, key=lambda folder: int(folder.name))


def read(folder: Path) -> State:
    """The state of a checkpoint. Raises `TrainError` where it is not one of ours."""
    try:
        return State(**json.loads((folder / _STATE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise TrainError(f"{folder}: no checkpoint of ours: {error}") from None


def load(folder: Path, state: State) -> PreTrainedModel:
    """The weights of a checkpoint, proved to be the ones that were saved."""
    model = load_model(folder / MODEL)
    if weights_digest(model) != state.weights:
        raise TrainError(f"{folder}: the weights that were loaded are not those that were saved")
    return model


def load_optimizers(folder: Path, optimizers: Mapping[str, Optimizer]) -> None:
    """Brings the optimizers to the state of a checkpoint. Raises `TrainError` where it was kept for other weights."""
    try:
        tensors = load_file(folder / _OPTIMIZERS)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{folder}: the optimizers' state cannot be read: {error}") from None
    for key, optimizer in optimizers.items():
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{key}.")}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        state: dict[int, dict[str, Tensor]] = {number: {} for number in range(len(weights))}
        for name, tensor in own.items():
            number, what = int(name.split(".")[1]), name.split(".")[2]
            if number >= len(weights) or (tensor.ndim and tensor.shape != weights[number].shape):
                raise TrainError(f"{folder}: `{key}` was kept for other weights than those the config trains")
            state[number][what] = tensor
            del tensors[name]
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    if tensors:
        kept = min(tensors).split(".")[0]
        raise TrainError(f"{folder}: `{kept}` was kept, and the config says {', '.join(optimizers)}")


def remove_old(run: Path, keep: int) -> None:
    """Leaves the last `keep` checkpoints, and those at the borders of stages."""
    old = [folder for folder in saved(run) if not read(folder).at_border]
    for folder in old[: max(0, len(old) - keep)]:
        shutil.rmtree(folder)
