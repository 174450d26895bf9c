"""Draws parted by what they show, and batches of several parts taking turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.emit.uses import places_of

MODALITIES = ("text", "image", "video")


def modality(frame: pl.DataFrame, rows: kernels.U32) -> kernels.U32:
    """The number of each draw's modality: a video makes it a video, else an image an image."""
    images, videos = (frame[name].gather(rows).to_numpy() > 0 for name in ("images", "videos"))
    return np.where(videos, 2, np.where(images, 1, 0)).astype(np.uint32)


def by_modality(frame: pl.DataFrame, rows: kernels.U32) -> list[kernels.U32]:
    """The places of the draws of each modality, in order."""
    return places_of(modality(frame, rows), len(MODALITIES))


def in_turns(sizes: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """Batches of several parts, mixed exactly in proportion; `sizes` are the draws of each batch of each part.

    Gives where in the parts, one behind another, each draw is found.
    """
    num_batches = np.array([len(part) for part in sizes], dtype=np.uint64)
    turns = kernels.interleave(num_batches)
    firsts = (np.cumsum(num_batches) - num_batches).astype(np.int64)
    which = firsts[turns] + kernels.earlier_equals(turns, len(sizes))
    size = np.concatenate(sizes).astype(np.int64)
    start, own = (np.cumsum(size) - size)[which], size[which]
    places: NDArray[np.int64] = np.repeat(start - (np.cumsum(own) - own), own) + np.arange(size.sum())
    return places
