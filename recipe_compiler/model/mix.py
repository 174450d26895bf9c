"""Mixes of a stage: how draws are divided among sources, all along or on the way from one division to another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recipe_compiler.model.parts import Part, Weights, one_of
from recipe_compiler.model.scalars import Count, Name


class Fitted(Weights):
    """How draws are divided among sources: weights, or a table of them."""

    table: str | None = None
    """A file of weights that were fitted elsewhere, such as by RegMix (arXiv 2407.01492): a CSV, JSON Lines or Parquet
    file below the root, of at most 1 MiB, with the columns `name` and `weight`."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Fitted:
        one_of(self, "kind", "temperature", "unimax", "values", "table")
        return self


class MixWeights(Fitted):
    """How draws are divided among the sources of a mix, all along or on the way from one division to another."""

    from_: Fitted | None = Field(default=None, alias="from")
    """The weights that the stage begins with; they move to `to` along the stage, in each epoch anew."""
    to: Fitted | None = None
    """The weights that the stage ends with."""
    shape: Literal["linear", "cosine"] | None = None
    """How they move: `linear` (it is unless given), or `cosine`: slowly at both ends."""
    blocks: Annotated[Count, Field(ge=1, le=1000)] | None = None
    """Into how many blocks the stage is cut, in each of which the weights are those at its middle; 100 unless given, and
    no more than there are draws. After each block, every source is within one draw of its exact integral."""

    @model_validator(mode="after")
    def _exactly_one(self) -> MixWeights:
        moves = self.from_ is not None or self.to is not None
        if not moves:
            if self.shape is not None or self.blocks is not None:
                raise ValueError("`shape` and `blocks` go with `from` and `to`")
            one_of(self, "kind", "temperature", "unimax", "values", "table")
        elif self.from_ is None or self.to is None:
            raise ValueError("weights that move are given by `from` and `to`")
        elif [name for name in ("kind", "temperature", "unimax", "values", "table") if getattr(self, name) is not None]:
            raise ValueError("weights that move are given by `from` and `to` alone")
        return self


class Mix(Part):
    """Several sources drawn in exact proportion: every prefix of the stage is within one draw of it."""

    by: Name
    """The column whose values are the sources: `pool`, `group`, or any other."""
    weights: MixWeights = MixWeights.model_construct(kind="proportional")
    """How draws are divided among the sources; `{from: WEIGHTS, to: WEIGHTS}` moves along the stage."""
