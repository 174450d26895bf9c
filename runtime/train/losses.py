"""Losses of tokens, and their sums over the samples of each pool."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.sample import Sample

#: What a label is that counts for no loss.
IGNORED = -100


def count_labels(labels: Tensor) -> int:
    """How many tokens count: those that are predicted from the one before. `labels` is (rows, tokens)."""
    return int((labels[:, 1:] != IGNORED).sum())


def token_losses(logits: Tensor, labels: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """The cross entropy of every token that counts, and the index of the sample it belongs to.

    `logits` are (rows, tokens, vocabulary), `labels` and `owner` (rows, tokens). Both results have one item a token, in
    float32 and int64, and are empty where no token counts.
    """
    mask = labels[:, 1:] != IGNORED
    losses = F.cross_entropy(logits[:, :-1][mask].float(), labels[:, 1:][mask], reduction="none")
    return losses, owner[:, 1:][mask]


class Sums:
    """Per pool: loss, tokens and draws of a step. Added up in float64, so that the sum of ranks is the sum of samples."""

    def __init__(self, pools: Sequence[str], device: torch.device) -> None:
        self._number = {pool: number for number, pool in enumerate(pools)}
        #: (pools, 3): loss, tokens, draws.
        self.table = torch.zeros(len(pools), 3, dtype=torch.float64, device=device)

    def add(self, losses: Tensor, owners: Tensor, samples: Sequence[Sample]) -> None:
        """Adds the tokens of a micro-batch. Tombstones are draws without tokens."""
        pools = torch.tensor([self._number[sample.pool] for sample in samples], dtype=torch.int64)
        pools = pools.to(self.table.device)
        ones = torch.ones_like(losses, dtype=torch.float64)
        of = pools[owners] if len(samples) else owners
        self.table[:, 0].index_add_(0, of, losses.detach().double())
        self.table[:, 1].index_add_(0, of, ones)
        self.table[:, 2].index_add_(0, pools, torch.ones_like(pools, dtype=torch.float64))
