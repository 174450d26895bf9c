"""Which optimizer has which weight, and how fast each learns at a step: no state but the optimizers' own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from recipe_compiler.manifest.schema import StageRef
from runtime.train.config import Config, Rates
from runtime.train.errors import TrainError


def build(model: nn.Module, config: Config) -> dict[str, Optimizer]:
    """The optimizers by name. Muon has the matrices inside the model, AdamW embeddings, heads, biases and the rest.

    Weights decay where they have two dimensions or more. Raises `TrainError` where Muon has none.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    embeddings |= {id(weight) for weight in (head.parameters() if head is not None else ())}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    use_muon = config.rates.muon is not None
    matrices = [weight for weight in trained if use_muon and weight.ndim == 2 and id(weight) not in embeddings]
    taken = {id(weight) for weight in matrices}
    rest = [weight for weight in trained if id(weight) not in taken]
    if use_muon and not matrices:
        raise TrainError("`learning_rate.muon`: `freeze` leaves no matrix for it; leave it out")
    groups = [
        {"params": [weight for weight in rest if weight.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [weight for weight in rest if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    built: dict[str, Optimizer] = {}
    if rest:
        built["adamw"] = AdamW([group for group in groups if group["params"]], lr=1.0)
    if config.rates.muon is not None:
        built["muon"] = Muon(matrices, lr=config.rates.muon, weight_decay=config.weight_decay)
    return built


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rates of every step of a run of `steps`: warm-up, a shape over the whole run, and a stage's own height."""

    config: Config
    steps: int
    stages: Sequence[StageRef]

    def stage(self, start: int) -> StageRef:
        """The stage of a step is that of its first position."""
        return next(stage for stage in reversed(self.stages) if stage.start <= start and (stage.draws or not start))

    def rates(self, step: int, start: int) -> Rates:
        """The rates of a step, from 0, that reads from position `start` on."""
        height = self.config.stage_rates.get(self.stage(start).name, self.config.rates)
        factor = self.factor(step)
        return Rates(height.adamw * factor, None if height.muon is None else height.muon * factor)

    def factor(self, step: int) -> float:
        """The part of its height that a rate has: it grows over the warm-up, then goes on by the shape to the last step."""
        warmup = self.config.warmup
        rising = math.ceil(warmup * self.steps) if isinstance(warmup, Fraction) else warmup
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(1, self.steps - rising)
        match self.config.shape:
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * done))
            case "linear":
                return 1 - done
            case _:
                return 1.0


def set_rates(optimizers: dict[str, Optimizer], rates: Rates) -> None:
    """Gives each optimizer its rate."""
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = getattr(rates, name)


def step(optimizers: dict[str, Optimizer], parameters: Sequence[nn.Parameter], clip: float) -> float:
    """One step of all optimizers; gives the norm of the gradient before it was cut to `clip` (0 cuts nothing)."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf)
    for optimizer in optimizers.values():
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(norm)
