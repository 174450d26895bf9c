"""The parameters of a goal, complete (GDO, arXiv 2603.12478); what each means stands in `model.gdo`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Those of a preset, with what the recipe sets otherwise."""

    min_count: int
    max_count: int
    min_share: Fraction
    max_share: Fraction
    strata_multiplier: Fraction
    coverage: Fraction
    tail_target: Fraction
    visual_target: int
    visual_multiplier: Fraction
    min_video: Fraction
    max_video: Fraction
    min_temporal: Fraction
    temporal_categories: tuple[str, ...]
    oversample: Fraction
    oversample_video: Fraction
    oversample_temporal: Fraction
    floor_groups: int
    floor_share: Fraction
    floor_expected: Fraction
