"""How samples are chosen: one part for each method, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    WrapSerializer,
    model_validator,
)

from recipe_compiler.model.difficulty import Difficulty, Vote
from recipe_compiler.model.gdo import GoalDriven
from recipe_compiler.model.mmssr import Mmssr
from recipe_compiler.model.parts import ONCE, PROPORTIONAL, Amount, Part, Repeat, Texts, Weights, one_of
from recipe_compiler.model.scalars import ExpressionText, Name, ScoreText, Share
from recipe_compiler.model.spread import Deita, FacilityLocation, KCenter, Mmr


class Cap(Part):
    """The most that a value of a column, or a condition, may take of the budget."""

    by: Name | None = None
    """A column: each of its values is capped."""
    where: ExpressionText | None = None
    """A condition: the samples it holds for are capped together."""
    max: Amount
    """The cap: a share of the budget, a count, or tokens."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Cap:
        one_of(self, "by", "where")
        return self


class Quota(Part):
    """How much of the selection a condition, or each value of a column, is to have. A sample counts for every quota
    that it meets. Quotas are met exactly in samples, and within one sample in tokens."""

    by: Name | None = None
    """A column: the quota is for each of its values."""
    where: ExpressionText | None = None
    """A condition, such as `capability.ocr >= 3`."""
    min: Amount | None = None
    """At least: a share of the budget, a count of samples, or tokens."""
    max: Amount | None = None
    """At most."""
    target: Amount | None = None
    """As near as the other quotas allow; nearness goes before the score."""

    @model_validator(mode="after")
    def _fits(self) -> Quota:
        one_of(self, "by", "where")
        if self.min is None and self.max is None and self.target is None:
            raise ValueError("say at least one of `min`, `max` and `target`")
        return self


Quotas: TypeAlias = Annotated[list[Quota], Field(max_length=250)]


class Random(Part):
    """At random: by the keyed order, and by nothing else."""

    method: Literal["random"] = "random"
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    quotas: Quotas = Field(default_factory=list)
    """What conditions and values are to have of it, all met together; what they leave open stays proportional."""
    caps: list[Cap] = Field(default_factory=list, max_length=250)
    """The most that values or conditions may take."""
    repeat: Repeat = ONCE
    """How often a sample may be taken, for a budget beyond what there is."""

    @model_validator(mode="after")
    def _fits(self) -> Random:
        _check_repeat(self.repeat)
        _check_quotas(self.quotas, self.caps, self.repeat)
        return self


class Stratified(Part):
    """Exact counts for each value of `by`, at random inside each."""

    method: Literal["stratified"]
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    by: Texts
    """The columns whose values are strata."""
    weights: Weights = PROPORTIONAL
    """How the budget is divided among strata. A stratum that has less gives what it has."""
    caps: list[Cap] = Field(default_factory=list, max_length=250)
    """The most that values or conditions may take."""
    repeat: Repeat = ONCE
    """How often a sample may be taken, for a budget beyond what there is."""

    @model_validator(mode="after")
    def _fits(self) -> Stratified:
        _check_repeat(self.repeat)
        return self


class Top(Part):
    """The largest scores; equal scores by the keyed order. A sample without a score is not taken."""

    method: Literal["top"]
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    score: ScoreText
    """What to have most of, such as `capability.ocr` or `0.7 * quality - 0.1 * log(tokens)`."""
    by: Texts | None = None
    """The columns whose values are strata: the best of each."""
    weights: Weights = PROPORTIONAL
    """How the budget is divided among strata. A stratum that has less gives what it has."""
    quotas: Quotas = Field(default_factory=list)
    """What conditions and values are to have of it, all met together, with the largest sum of scores: over samples, or over
    tokens where the budget is in tokens."""

    @model_validator(mode="after")
    def _fits(self) -> Top:
        if self.by is None and self.weights != PROPORTIONAL:
            raise ValueError("`weights` goes with `by`")
        if self.by is not None and self.quotas:
            raise ValueError("`by` and `quotas` exclude each other; say what strata are to have as a quota")
        return self


class Band(Part):
    """A band of ranks: perplexity in the middle, the longest tenth, all but the easiest fifth."""

    method: Literal["band"]
    """The method."""
    score: ScoreText
    """What to rank by, smallest first. A sample without it is not taken."""
    low: Share = Fraction(0)
    """Where the band begins: so much of the samples lies below it."""
    high: Share = Fraction(1)
    """Where the band ends."""
    by: Texts | None = None
    """The columns whose values each have a band of their own."""

    @model_validator(mode="after")
    def _fits(self) -> Band:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError("a band runs from `low` to `high`, between 0% and 100%")
        return self


def _check_repeat(repeat: Repeat) -> None:
    if repeat.max == "any" or not 1 <= repeat.max <= 1000:
        raise ValueError("`repeat` of a selection is a number from 1 to 1000; stages also take `any`")


def _check_quotas(quotas: Sequence[Quota], caps: Sequence[Cap], repeat: Repeat) -> None:
    if quotas and caps:
        raise ValueError("`quotas` and `caps` exclude each other; a cap is a quota with a `max`")
    if quotas and repeat.max != 1:
        raise ValueError("`quotas` takes each sample once; leave `repeat` out")


def _method(value: Any) -> str:
    named = value.get("method", "random") if isinstance(value, dict) else getattr(value, "method", "random")
    return named if isinstance(named, str) else ""


#: One way of choosing.
Selection: TypeAlias = Annotated[
    Annotated[Random, Tag("random")]
    | Annotated[Stratified, Tag("stratified")]
    | Annotated[Top, Tag("top")]
    | Annotated[Band, Tag("band")]
    | Annotated[Difficulty, Tag("difficulty")]
    | Annotated[Vote, Tag("vote")]
    | Annotated[Deita, Tag("deita")]
    | Annotated[KCenter, Tag("k_center")]
    | Annotated[Mmr, Tag("mmr")]
    | Annotated[FacilityLocation, Tag("facility_location")]
    | Annotated[GoalDriven, Tag("gdo")]
    | Annotated[Mmssr, Tag("mmssr")],
    Discriminator(_method),
]


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _short(value: list[Any], handler: SerializerFunctionWrapHandler) -> Any:
    written = handler(value)
    return written[0] if len(written) == 1 else written


#: One selection, or several, each of what the one before has left.
Selections: TypeAlias = Annotated[
    list[Selection],
    Field(min_length=1, max_length=16),
    BeforeValidator(_listed, json_schema_input_type=Selection | list[Selection]),
    WrapSerializer(_short),
]
