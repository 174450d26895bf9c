"""Positions of tokens that begin again with each sample of a pack, which is also how a model tells the samples apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.collate.encode import Encoded

#: (frames, height, width) of an image in patches.
Grid = Sequence[int]


def in_line(length: int) -> NDArray[np.int64]:
    """Places of tokens one after another."""
    return np.arange(length, dtype=np.int64)


def in_space(encoded: Encoded, grids: Sequence[Grid], merge: int) -> NDArray[np.int64]:
    """Places (4, tokens) of a sample for M-RoPE: in line, and in time, height and width.

    Text goes on by one in all three. The tokens of an image, squares of `merge` by `merge` patches, lie in the height and
    width that follow the text before it, and the text after it goes on behind the longer side. As Qwen2-VL, 2.5 and 3
    number them (`get_rope_index`), where a whole batch of padded samples is needed.
    """
    places = np.empty((4, len(encoded)), dtype=np.int64)
    places[0] = in_line(len(encoded))
    done = next_place = 0
    for (start, stop), (frames, height, width) in zip(encoded.images, grids, strict=True):
        places[1:, done:start] = next_place + in_line(start - done)
        next_place += start - done
        across = np.indices((frames, height // merge, width // merge)).reshape(3, -1)
        places[1:, start:stop] = next_place + across
        next_place += max(height, width) // merge
        done = stop
    places[1:, done:] = next_place + in_line(len(encoded) - done)
    return places
