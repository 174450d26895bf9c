"""A best fit decreasing as a trainer would write it, in numba: the peer of `packing`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit
def best_fit_decreasing(lengths: NDArray[np.uint32], most: int) -> tuple[NDArray[np.int32], int]:
    """(the pack of each draw, how many packs). A tree of minima over what packs have left finds the best in `log(most)`."""
    num = len(lengths)
    counts = np.zeros(most + 2, np.int64)
    for length in lengths:
        counts[most - length + 1] += 1
    for at in range(1, most + 2):
        counts[at] += counts[at - 1]
    order = np.empty(num, np.int32)
    for at in range(num):
        key = most - lengths[at]
        order[counts[key]] = at
        counts[key] += 1
    width = 1
    while width < most + 1:
        width *= 2
    # A node is 1 where some amount below it has a pack; packs of one amount are a list through `below`.
    tree = np.zeros(2 * width, np.uint8)
    top = np.full(most + 1, -1, np.int32)
    below = np.full(num, -1, np.int32)
    packs = np.empty(num, np.int32)
    count = 0
    for at in order:
        length = np.int64(lengths[at])
        # The least amount from `length` on: up while nothing is to the right, then down to the left.
        node = width + length
        if tree[node] == 0:
            while node > 1 and (node % 2 == 1 or tree[node + 1] == 0):
                node //= 2
            node = node + 1 if node > 1 else 0
            while 0 < node < width:
                node = 2 * node if tree[2 * node] else 2 * node + 1
        if node == 0:
            pack, left = count, most - length
            count += 1
        else:
            amount = node - width
            pack = top[amount]
            top[amount] = below[pack]
            if top[amount] < 0:
                while node >= 1:
                    tree[node] = tree[2 * node] | tree[2 * node + 1] if node < width else 0
                    if tree[node]:
                        break
                    node //= 2
            left = amount - length
        below[pack] = top[left]
        top[left] = pack
        node = width + left
        while node >= 1 and tree[node] == 0:
            tree[node] = 1
            node //= 2
        packs[at] = pack
    return packs, count
