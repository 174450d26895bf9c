"""Weights that move along a stage: how many draws of each source each block of the stage holds.

The stage is cut into blocks. In a block the weights are those at its middle, so that what a source should have had by
the end of a block is an exact rational, and so is its integral over the stage.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from recipe_compiler.execute.apportion import half_cosine


def progress(total: int, blocks: int, shape: Literal["linear", "cosine"]) -> tuple[list[int], list[Fraction]]:
    """(the end of each block in draws, how much of the way the weights have gone in each block)."""
    blocks = min(blocks, total)
    ends = [total * number // blocks for number in range(1, blocks + 1)]
    middles = [Fraction(start + end, 2 * total) for start, end in zip([0, *ends], ends, strict=False)]
    return ends, middles if shape == "linear" else [half_cosine(middle) for middle in middles]


def integrals(
    start: Sequence[Fraction], end: Sequence[Fraction], ends: Sequence[int], gone: Sequence[Fraction]
) -> list[list[Fraction]]:
    """What each source should have had at the end of each block, by source. Shares of `start` and `end` add up to 1."""
    at_end, ended = [], Fraction(0)
    for before, border, part in zip([0, *ends], ends, gone, strict=False):
        ended += (border - before) * part
        at_end.append(ended)
    return [
        [first * (border - part) + last * part for border, part in zip(ends, at_end, strict=True)]
        for first, last in zip(start, end, strict=True)
    ]


def block_counts(ideal: Sequence[Sequence[Fraction]], ends: Sequence[int]) -> list[list[int]]:
    """The draws of each source in each block, by block: sums are exact, and at the end of each block every source has the
    floor or the ceiling of what it should have had.

    A draw of a source may come from the block on in which the ideal begins to reach for it, and must come by the block in
    which it is reached. The ideal itself spreads each draw over just these blocks, so they can all be met, and taking
    the earliest deadlines first meets them (for constant weights: Steiner and Yeomans, Management Science 39, 1993).
    Draws that the ideal never quite reaches come last, the largest remainders first.
    """
    had = [0] * len(ideal)
    reached = [[_floor(value) for value in values] for values in ideal]
    blocks = []
    for number, border in enumerate(ends):
        before = list(had)
        had = [max(got, floors[number]) for got, floors in zip(had, reached, strict=True)]
        open_sources = [source for source, values in enumerate(ideal) if had[source] < values[number]]
        open_sources.sort(key=lambda source: (_deadline(reached[source], had[source]), -ideal[source][-1] % 1, source))
        for source in open_sources[: border - sum(had)]:
            had[source] += 1
        blocks.append([now - then for now, then in zip(had, before, strict=True)])
    return blocks


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator


def _deadline(reached: Sequence[int], had: int) -> int:
    """The block by which the next draw must come; the number of blocks where the ideal never reaches it."""
    return bisect_right(reached, had)
