"""The selection method mmSSR, as a part of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from recipe_compiler.model.parts import Amount, Part
from recipe_compiler.model.scalars import Name, Weight


class Mmssr(Part):
    """mmSSR (arXiv 2503.13383): the budget is divided equally among capabilities, and what each gets equally among
    styles of interaction in every source, whose best samples are taken. What a small style lacks goes to larger ones."""

    method: Literal["mmssr"]
    """The method."""
    budget: Amount
    """How many samples to take: `{share: 30%}` or `{count: 200k}`."""
    capabilities: list[Name] = Field(min_length=1, max_length=250)
    """The columns of scores, one for each capability, in the order in which they choose."""
    style: Name = "style"
    """The column of styles: a text, several with commas between them, or a list of texts."""
    bin_by: Literal["style_source", "style"] = "style_source"
    """Bins are pairs of a style and a source, as in the released code, or styles, as in the paper."""
    source: Name = "pool"
    """The column of sources."""
    threshold: Weight = Field(default=0, validate_default=True)
    """A capability takes samples that score more than this."""
    compat: bool = False
    """As the released code does: inside a bin, samples whose first style it is come before those whose second it is,
    whatever they score, and what is left of dividing a turn among bins waits for the next round."""
    fill: Literal["none", "random"] = "none"
    """Where the capabilities cannot fill the budget: say so and stop, or take others at random."""

    @model_validator(mode="after")
    def _fits(self) -> Mmssr:
        if self.budget.tokens is not None:
            raise ValueError("a budget of mmSSR is a share or a count of samples")
        twice = sorted({name for name in self.capabilities if self.capabilities.count(name) > 1})
        if twice:
            raise ValueError(f"`{twice[0]}` is named twice in `capabilities`")
        if self.bin_by == "style" and "source" in self.model_fields_set:
            raise ValueError("`source` goes with `bin_by: style_source`")
        return self
