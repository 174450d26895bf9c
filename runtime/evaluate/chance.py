"""Chance without a generator: numbers are a hash of a key and a counter, and keys are digests of names."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe_compiler.kernels import digest_parts

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def key_of(what: str, *parts: object) -> int:
    """The key of one use of chance, by name: 64 bits."""
    return int(digest_parts(what, [str(part).encode() for part in parts])[:16], 16)


def splitmix(counters: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014) at the given counters: 64 bits each, of the same shape."""
    mixed = (counters + np.uint64(1)) * _STEP + np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
