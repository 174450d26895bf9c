"""Goal-driven data optimisation as a recipe says it (GDO, arXiv 2603.12478), and the presets that goals are."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from recipe_compiler.model.parts import Amount, Part
from recipe_compiler.model.scalars import Count, Name, Share, Weight

Goal: TypeAlias = Literal["minloss", "diverse", "temp", "temp_plus"]
Temporal: TypeAlias = Literal["Temporal", "Mixed"]


class Parameters(Part):
    """What a goal is made of. Whatever is not given is the goal's own."""

    min_count: Count | None = None
    """The least that the automatic budget comes to."""
    max_count: Count | None = None
    """The most that it comes to."""
    min_share: Share | None = None
    """The least, as a share of the pool."""
    max_share: Share | None = None
    """The most, as a share of the pool; a share that comes to no sample is no bound."""
    strata_multiplier: Weight | None = None
    """Samples for each effective stratum (the exponential of the entropy of their shares); less than 1 counts as 1."""
    coverage: Share | None = None
    """How much of the pool the largest strata make up whose smallest is to have its samples."""
    tail_target: Weight | None = None
    """Samples for the smallest of these strata; less than 1 counts as 1."""
    visual_target: Count | None = None
    """Samples that depend on their picture, for which an automatic budget grows; 0 leaves it as it is."""
    visual_multiplier: Weight | None = None
    """How often the budget it may come to by that; less than 1 counts as 1."""
    min_video: Share | None = None
    """The least share of the selection that is video."""
    max_video: Share | None = None
    """The most; `min_video` goes before it."""
    min_temporal: Share | None = None
    """The least share of the videos whose question is temporal."""
    temporal_categories: list[Temporal] | None = Field(default=None, min_length=1, max_length=2)
    """What counts as temporal: `[Temporal]`, or with `compat` every video, `[Temporal, Mixed]`."""
    oversample: Weight | None = None
    """Candidates of a stratum for each sample of its quota; less than 1 counts as 1."""
    oversample_video: Weight | None = None
    """The same of strata of videos, where it is more."""
    oversample_temporal: Weight | None = None
    """The same of strata of temporal videos, where it is more."""
    floor_groups: Annotated[Count, Field(le=1000)] | None = None
    """How many of the largest groups of sources have a floor."""
    floor_share: Share | None = None
    """The least share of the selection that is a floor; 0 is no floor at all."""
    floor_expected: Share | None = None
    """The floor as a fraction of what the group would have in proportion."""


class Columns(Part):
    """Where values come from. What a model measured is left out where there is no column, or no value, for it."""

    source: Name | None = None
    """The source of a sample, such as `data_source`; `pool` unless given."""
    frames: Name | None = None
    """How many frames a sample shows: more than one is a video. Unless given, a sample with a video has as many as
    `frames` says. Pools that keep a video as pictures name `images`."""
    video: Name | None = None
    """Which video a sample asks about; its first media path unless given."""
    temporal: Name | None = None
    """Whether the question is temporal: true, or a number of more than one half. Measured in the text unless given."""
    form: Name | None = None
    """The form of the question; unless given, `MCQ` where it says `choice` or `choices`, or else `Open`."""
    question_words: Name | None = None
    """Words of the question; counted unless given. A word is a run of letters `A` to `Z`, digits and `_`."""
    answer_words: Name | None = None
    """Words of the answer; counted unless given."""
    answer_distinct: Name | None = None
    """Different words of the answer; counted unless given."""
    vds: Name | None = None
    """Visual dependence: the loss of the answer without its picture, less the loss with it. Unless given, `vds` if there
    is one, or else the difference of the two losses."""
    loss_visual: Name | None = None
    """The loss of the answer with the picture; `loss_visual`, if there is one, unless given."""
    loss_blind: Name | None = None
    """The loss of the answer without the picture; `loss_blind`, if there is one, unless given."""
    frame_diversity: Name | None = None
    """How much a frame differs from the one before; `frame_diversity`, if there is one, unless given."""
    quality: Name | None = None
    """The merged quality; unless given, `quality` if there is one, or else computed from the descriptors below, of which
    `ppl`, `coverage` and for videos `flow` must be there."""
    ppl: Name | None = None
    """Perplexity of the answer; `ppl`, if there is one, unless given."""
    flow: Name | None = None
    """Average motion magnitude; `flow`, if there is one, unless given. A picture has none."""
    consistency: Name | None = None
    """Agreement of sampled answers, 0 to 1; `consistency`, if there is one, unless given. Where there is no value it is
    guessed from visual dependence and perplexity."""
    tnc: Name | None = None
    """A model's word on whether the question is temporal, 0 to 1; `tnc`, if there is one, unless given, or else 1 where
    the text says so."""
    coverage: Name | None = None
    """Nearness to the centre of the cluster, 0 to 1; `coverage`, if there is one, unless given."""


class GoalDriven(Part):
    """Goal-driven data optimisation: strata with quotas, floors for videos and sources, and one score for all goals,
    which differ in parameters alone (arXiv 2603.12478)."""

    method: Literal["gdo"]
    """The method."""
    goal: Goal
    """`minloss`, `diverse`, `temp` or `temp_plus`: the presets of the paper."""
    budget: Amount | None = None
    """How much to take, as a share or a count; by the rule of the goal unless given."""
    parameters: Parameters = Parameters.model_construct()
    """What to set otherwise than the goal does."""
    columns: Columns = Columns.model_construct()
    """Where values come from, where not from columns of the same name or from the texts."""
    baseline: Annotated[Count, Field(ge=1, le=1000)] | None = None
    """Take so many times the budget at random instead, as a control: `10` is the paper's Uni-10x. Texts are taken once,
    and videos no more often than `per_video`."""
    per_video: Annotated[Count, Field(ge=1, le=1_000_000)] = 8
    """How many samples one video may have."""
    frames: Annotated[Count, Field(ge=1, le=1_000_000)] = 32
    """How many frames training takes of a video at most."""
    without: list[Literal["vds", "ppl", "sc"]] = Field(default_factory=list, max_length=3)
    """Terms to leave out of the score, as the paper's ablations do: `vds` visual dependence, `ppl` the naturalness of
    lengths, `sc` the merged quality."""
    compat: bool = False
    """Count every video as temporal, as the released presets do, so that the floor for temporal videos holds of itself."""
    strict: bool = False
    """Let floors that cannot be met be errors instead of warnings."""

    @model_validator(mode="after")
    def _fits(self) -> GoalDriven:
        if self.budget is not None and self.budget.tokens is not None:
            raise ValueError("a goal is measured in samples: say `share` or `count`")
        if self.compat and self.parameters.temporal_categories is not None:
            raise ValueError("`compat` sets `temporal_categories`; keep one of the two")
        return self


def _preset(
    counts: tuple[int, int],
    shares: tuple[str, str],
    budget: tuple[int, str, str],
    visual: tuple[int, str],
    video: tuple[str, str, str],
    oversample: tuple[str, str, str],
    floors: tuple[int, str, str],
) -> Parameters:
    return Parameters.model_construct(
        min_count=counts[0],
        max_count=counts[1],
        min_share=Fraction(shares[0]),
        max_share=Fraction(shares[1]),
        strata_multiplier=Fraction(budget[0]),
        coverage=Fraction(budget[1]),
        tail_target=Fraction(budget[2]),
        visual_target=visual[0],
        visual_multiplier=Fraction(visual[1]),
        min_video=Fraction(video[0]),
        max_video=Fraction(video[1]),
        min_temporal=Fraction(video[2]),
        temporal_categories=["Temporal"],
        oversample=Fraction(oversample[0]),
        oversample_video=Fraction(oversample[1]),
        oversample_temporal=Fraction(oversample[2]),
        floor_groups=floors[0],
        floor_share=Fraction(floors[1]),
        floor_expected=Fraction(floors[2]),
    )


#: The goals (papers, section b.3). Temporal videos are those whose question is; the release counts mixed ones too.
PRESETS: Final[Mapping[Goal, Parameters]] = {
    "minloss": _preset(
        (12_000, 72_000),
        ("0.001", "0.014"),
        (16, "0.93", "3.5"),
        (2_600, "1.6"),
        ("0.15", "0.32", "0.05"),
        ("1.15", "1.45", "1.55"),
        (14, "0.0015", "0.33"),
    ),
    "diverse": _preset(
        (14_000, 95_000),
        ("0.001", "0.016"),
        (26, "0.97", "8"),
        (5_000, "2.4"),
        ("0.25", "0.45", "0.15"),
        ("1.28", "1.9", "2.2"),
        (28, "0.0030", "0.45"),
    ),
    "temp": _preset(
        (15_000, 90_000),
        ("0.001", "0.016"),
        (20, "0.95", "10"),
        (6_500, "2.4"),
        ("0.35", "0.50", "0.20"),
        ("1.30", "2.2", "3.0"),
        (18, "0.0022", "0.38"),
    ),
    "temp_plus": _preset(
        (16_000, 110_000),
        ("0.001", "0.018"),
        (22, "0.95", "16"),
        (9_000, "3.2"),
        ("0.50", "0.64", "0.38"),
        ("1.35", "2.9", "4.2"),
        (16, "0.0025", "0.38"),
    ),
}
