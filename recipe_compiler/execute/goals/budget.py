"""How many samples a goal takes, and of what: whole numbers and exact fractions only (GDO; papers, section b.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from math import ceil, floor

from recipe_compiler.execute.apportion import apportion
from recipe_compiler.plan.goals import Parameters

_DIGITS = 50
#: All floors of groups together take no more than this of the selection.
_MOST_FLOORS = Fraction(7, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a goal asks for. `floors` are (group, least), the largest group first."""

    total: int
    temporal: int
    video: int
    most_video: int
    floors: tuple[tuple[int, int], ...]
    quotas: tuple[int, ...]
    caps: tuple[int, ...]


def effective(counts: Sequence[int]) -> Fraction:
    """The exponential of the entropy of these shares, to 50 digits: how many equal strata would be as even."""
    total = sum(counts)
    with localcontext(Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN)):
        often = sorted(Counter(count for count in counts if count).items())
        spread = sum((times * count * Decimal(count).ln() for count, times in often), Decimal(0))
        # Whole numbers of strata are exact, as equal counts make them.
        return round(Fraction((Decimal(total).ln() - spread / total).exp()), 30)


def automatic(counts: Sequence[int], parameters: Parameters) -> int:
    """The budget that fits how a pool is spread over its strata."""
    total = sum(counts)
    covered, tail = 0, 0
    for count in sorted(counts, reverse=True):
        covered, tail = covered + count, count
        if covered >= parameters.coverage * total:
            break
    wanted = max(
        parameters.min_count,
        ceil(total * parameters.min_share),
        ceil(effective(counts) * max(Fraction(1), parameters.strata_multiplier)),
        ceil(max(Fraction(1), parameters.tail_target) * total / tail),
    )
    return max(1, min(wanted, parameters.max_count, _most(total, parameters), total))


def adjusted(budget: int, total: int, positive: int, measured: int, parameters: Parameters) -> int:
    """An automatic budget, grown so that enough samples depend on their picture.

    `positive` of the `measured` samples do. Without any, or without a target, the budget stays as it is.
    """
    if not positive or not parameters.visual_target:
        return budget
    wanted = ceil(Fraction(parameters.visual_target * measured, positive))
    grown = ceil(budget * max(Fraction(1), parameters.visual_multiplier))
    return max(1, min(max(budget, wanted), total, max(1, parameters.max_count), grown, _most(total, parameters)))


def _most(total: int, parameters: Parameters) -> int:
    """A share that comes to no sample is no bound."""
    return floor(total * parameters.max_share) or total


def counts(
    total: int,
    strata: Sequence[int],
    kinds: Sequence[tuple[bool, bool]],
    groups: Sequence[int],
    parameters: Parameters,
) -> Counts:
    """What a goal asks for in a selection of `total` samples.

    `strata` and `groups` are the sizes of these, and `kinds` says of each stratum whether it is of videos, and of
    temporal ones.
    """
    pool = sum(strata)
    quotas = apportion(total, [Fraction(size) for size in strata])
    videos = sum(size for size, (video, _) in zip(strata, kinds, strict=True) if video)
    video = ceil(parameters.min_video * total)
    proportional = apportion(total, [Fraction(videos), Fraction(pool - videos)])[0]
    return Counts(
        total=total,
        temporal=min(total, ceil(parameters.min_temporal * max(video, proportional))),
        video=video,
        most_video=max(video, min(floor(parameters.max_video * total), total)),
        floors=_floors(total, pool, groups, parameters),
        quotas=tuple(quotas),
        caps=tuple(_cap(quota, kind, parameters) for quota, kind in zip(quotas, kinds, strict=True)),
    )


def _cap(quota: int, kind: tuple[bool, bool], parameters: Parameters) -> int:
    """How many of the best of a stratum are candidates."""
    video, temporal = kind
    factors = [Fraction(1), parameters.oversample]
    factors += [parameters.oversample_video] * video + [parameters.oversample_temporal] * temporal
    return ceil(quota * max(factors))


def _floors(total: int, pool: int, groups: Sequence[int], parameters: Parameters) -> tuple[tuple[int, int], ...]:
    """The least of each of the largest groups; those that would be more than the group's proportion have none."""
    if parameters.floor_share == 0:
        return ()
    least = max(1, ceil(total * parameters.floor_share))
    largest = sorted(range(len(groups)), key=lambda group: (-groups[group], group))[: parameters.floor_groups]
    floors = []
    for group in largest:
        expected = Fraction(total * groups[group], pool)
        required = max(least, ceil(parameters.floor_expected * expected))
        if required <= floor(expected):
            floors.append((group, required))
    most, together = floor(_MOST_FLOORS * total), sum(required for _, required in floors)
    if together > most:
        floors = [(group, max(1, required * most // together)) for group, required in floors]
    return tuple(floors) if most else ()
