"""Losses of tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

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
