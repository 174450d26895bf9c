"""Selection by difficulty, as PISM and CMAB tell it apart (Qi et al., arXiv 2511.06722), and by votes of tasks (ICONS)."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from recipe_compiler.model.parts import Amount, Part, Texts, one_of
from recipe_compiler.model.scalars import Name, ScoreText, Share

Class: TypeAlias = Literal["easy", "medium", "hard", "unsolved"]
_MEDIUM_AND_HARD: tuple[Class, ...] = ("medium", "hard")


class Difficulty(Part):
    """Samples of some classes of difficulty, with the published borders; or a random control of as many."""

    method: Literal["difficulty"]
    """The method."""
    pism: Name | None = None
    """The column of the first masking level, 0 to 1 in tenths, at which no answer is right: 0 is unsolved, up to 0.4 is
    hard, below 0.7 is medium, and the rest is easy, as is a sample without a level: it never fails."""
    cmab: Name | None = None
    """The column of the balance of attention to image and text: from 0.4 to 1.6 is hard, otherwise from 0.1 to 1.9 is
    medium, and the rest is easy. What is not solved is unsolved."""
    solved: Name | None = None
    """The column that says whether a sample is solved with the whole image: true or false, or a number of right
    answers. `cmab` needs it; with `pism`, a sample without a level and without it has no class."""
    keep: Annotated[list[Class], Field(min_length=1)] = Field(default_factory=lambda: list(_MEDIUM_AND_HARD))
    """The classes to take."""
    easy_inclusive: bool = True
    """Whether a level of exactly 0.7 is easy, as the text of the paper says; its table A says medium."""
    control: Literal["random"] | None = None
    """`random` takes as many samples as the classes have, at random from all that are offered: easy, unsolved and those
    without a class too."""
    by: Texts | None = None
    """The columns in whose values the control has as many samples as the classes have."""

    @model_validator(mode="after")
    def _fits(self) -> Difficulty:
        one_of(self, "pism", "cmab")
        if self.cmab is not None and self.solved is None:
            raise ValueError("`cmab` needs `solved`: what is not solved is unsolved, whatever its balance")
        if self.cmab is not None and not self.easy_inclusive:
            raise ValueError("`easy_inclusive` goes with `pism`")
        if len(set(self.keep)) != len(self.keep):
            raise ValueError("`keep` names each class once")
        if self.by is not None and self.control is None:
            raise ValueError("`by` goes with `control: random`")
        return self


class Vote(Part):
    """The most votes: a sample has one from each task in whose top it is (ICONS, arXiv 2501.00654); equal numbers of
    votes by the keyed order. A sample without any of the scores is not taken."""

    method: Literal["vote"]
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    scores: Annotated[list[ScoreText], Field(min_length=1, max_length=250)]
    """The influence of a sample on each task, such as `[influence.chart, influence.ocr]`."""
    top: Share = Fraction(1, 5)
    """The part of the samples with a score that a task votes for: those of the largest scores."""

    @model_validator(mode="after")
    def _fits(self) -> Vote:
        if not 0 < self.top <= 1:
            raise ValueError("`top` is more than 0% and at most 100%")
        return self
