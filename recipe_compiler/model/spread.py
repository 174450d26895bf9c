"""Selections that keep what is taken apart, by embeddings."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from recipe_compiler.model.parts import Amount, Part
from recipe_compiler.model.scalars import Count, Name, ScoreText, Share


class Deita(Part):
    """The largest scores that are not too near to each other (DEITA, arXiv 2312.15685)."""

    method: Literal["deita"]
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    embedding: Name
    """The column of vectors, one a sample, all of the same length. A sample without one is not taken."""
    score: ScoreText
    """What to have most of, such as `complexity * quality`. A sample without it is not taken."""
    threshold: Share = Fraction(9, 10)
    """The largest cosine that a sample may have to one that is taken before it: `90%` is 0.9."""

    @model_validator(mode="after")
    def _fits(self) -> Deita:
        if self.threshold > 1:
            raise ValueError("`threshold` is at most 100%, a cosine of 1")
        return self


class KCenter(Part):
    """The first of the keyed order, and then always the sample farthest from all taken (k-center greedy, arXiv
    1708.00489); equal ones by the keyed order."""

    method: Literal["k_center"]
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    embedding: Name
    """The column of vectors, one a sample, all of the same length. A sample without one is not taken."""


class Mmr(Part):
    """Always the sample with the largest `relevance * score - (1 - relevance) * similarity`, where similarity is the
    largest cosine to one that is taken (maximal marginal relevance, Carbonell and Goldstein 1998)."""

    method: Literal["mmr"]
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    embedding: Name
    """The column of vectors, one a sample, all of the same length. A sample without one is not taken."""
    score: ScoreText
    """What to have most of; it is set against cosines, so it should be of their size: 0 to 1."""
    relevance: Share = Fraction(1, 2)
    """What the score counts for against the similarity: the lambda of the paper."""

    @model_validator(mode="after")
    def _fits(self) -> Mmr:
        if self.relevance > 1 or self.relevance.denominator > 1000:
            raise ValueError("`relevance` is at most 100%, with at most one decimal")
        return self


class FacilityLocation(Part):
    """Always the sample that adds most to the sum, over all samples, of the largest cosine to one that is taken (0 where
    it is below 0); equal ones by the keyed order."""

    method: Literal["facility_location"]
    """The method."""
    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    embedding: Name
    """The column of vectors, one a sample, all of the same length. A sample without one is not taken."""
    neighbours: Annotated[Count, Field(ge=1, le=1000)] | None = None
    """Count only the similarity of a sample to itself and to so many nearest ones, which are found exactly: another
    aim than the whole sum, near to it, and much faster (Wei, Iyer and Bilmes 2014)."""
