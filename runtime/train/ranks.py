"""The processes that train together: sums over them, and nothing else. Alone, a sum is what it was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from runtime.partition import World
from runtime.train.errors import TrainError


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that `torchrun` started, and the device that it has."""

    world: World
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this one writes."""
        return self.world.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, on every rank; `values` is changed."""
        if self.world.num_ranks > 1:
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Adds up the gradients of all ranks. A weight that nothing used has the gradient 0, here or anywhere."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world.num_ranks > 1:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            whole = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(whole)
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, summed in zip(gradients, torch.split(whole, sizes), strict=True):
                gradient.copy_(summed.view_as(gradient))

    def gathered(self, value: list[Any]) -> list[Any]:
        """The items of all ranks, by rank."""
        if self.world.num_ranks == 1:
            return value
        found: list[Any] = [None] * self.world.num_ranks
        dist.all_gather_object(found, value)
        return [item for items in found for item in items]

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.world.num_ranks > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Joins the processes that `torchrun` started, over NCCL on GPUs and gloo on CPUs. Alone, there is nothing to join."""
    world = World.from_environment()
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise TrainError("`device: cuda`, and no GPU is visible; leave it out, or say `device: cpu`")
    on_gpu = has_gpu and device != "cpu"
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    if world.num_ranks == 1:
        yield Ranks(world, place)
        return
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Ranks(world, place)
    finally:
        dist.destroy_process_group()
