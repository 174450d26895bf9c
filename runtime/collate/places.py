"""Positions of tokens that begin again with each sample of a pack, which is also how a model tells the samples apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens from `start` up to `stop` that lie in space: rows of `height` x `width` tokens, one for each of the `times`."""

    start: int
    stop: int
    times: Sequence[int]
    height: int
    width: int


def in_line(length: int) -> NDArray[np.int64]:
    """Places of tokens one after another."""
    return np.arange(length, dtype=np.int64)


def in_space(length: int, blocks: Sequence[Block]) -> NDArray[np.int64]:
    """Places (4, tokens) of a sample for M-RoPE: in line, and in time, height and width.

    Text goes on by one in all three. The tokens of an image or a video lie in the time, height and width that follow the
    text before them, and the text after them goes on behind the longer side, whatever the time. As Qwen2-VL, 2.5 and 3
    number them (`get_rope_index`), where a whole batch of padded samples is needed.
    """
    places = np.empty((4, length), dtype=np.int64)
    places[0] = in_line(length)
    done = next_place = 0
    for block in blocks:
        places[1:, done : block.start] = next_place + in_line(block.start - done)
        next_place += block.start - done
        axes = np.meshgrid(block.times, np.arange(block.height), np.arange(block.width), indexing="ij")
        places[1:, block.start : block.stop] = next_place + np.stack(axes).reshape(3, -1)
        next_place += max(block.height, block.width)
        done = block.stop
    places[1:, done:] = next_place + in_line(length - done)
    return places
