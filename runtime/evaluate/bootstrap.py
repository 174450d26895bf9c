"""Bootstrap intervals without a generator: the draws of a resample are a hash of a key and a counter."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.evaluate.chance import splitmix

F64: TypeAlias = NDArray[np.float64]

RESAMPLES: Final = 1000
#: The share of resamples that an interval holds.
COVERAGE: Final = 0.95
_HASHES_AT_ONCE = 1 << 16


def resampled_means(scores: F64, key: int, resamples: int = RESAMPLES) -> F64:
    """The mean of each resample: as many draws with replacement as there are scores. Shape (resamples,).

    Draw `i` of resample `r` is the `i`-th half word of splitmix64 over the counters of `r`, scaled to the number of scores
    (a bias below 1e-3 of a draw's chance up to four million scores). Memory is bounded for any number of scores.
    """
    num = len(scores)
    sums = np.zeros(resamples)
    per_resample = -(-num // 2)
    at_once = max(1, _HASHES_AT_ONCE // per_resample)
    for first in range(0, resamples, at_once):
        last = min(first + at_once, resamples)
        for start in range(0, per_resample, _HASHES_AT_ONCE):
            stop = min(start + _HASHES_AT_ONCE, per_resample)
            firsts = np.arange(first, last, dtype=np.uint64)[:, None] * np.uint64(per_resample)
            counters = np.add(firsts, np.arange(start, stop, dtype=np.uint64), dtype=np.uint64)
            hashed = splitmix(counters, key)
            high = ((hashed >> np.uint64(32)) * np.uint64(num)) >> np.uint64(32)
            low = ((hashed & np.uint64(0xFFFFFFFF)) * np.uint64(num)) >> np.uint64(32)
            if stop == per_resample and num % 2:
                low = low[:, :-1]
            sums[first:last] += scores[high.astype(np.intp)].sum(axis=1) + scores[low.astype(np.intp)].sum(axis=1)
    return sums / num


def interval(means: F64) -> tuple[float, float]:
    """The percentile interval of resampled figures (Efron 1979)."""
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
