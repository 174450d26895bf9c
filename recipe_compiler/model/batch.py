"""Which draws are taken together: packs, and what every global batch holds."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, model_validator

from recipe_compiler.core import LARGEST_PACK
from recipe_compiler.model.parts import Part, one_of
from recipe_compiler.model.scalars import Count, Name

#: Draws in a window unless the recipe says so.
WINDOW: Final = 8192
Window: TypeAlias = Annotated[Count, Field(ge=2, le=1_000_000_000)]


class Pack(Part):
    """Draws put together in sequences of a fixed length, for training without padding."""

    max_tokens: Annotated[Count, Field(ge=1, le=LARGEST_PACK)]
    """The most `tokens` of a pack. No draw may be longer."""
    window: Window = WINDOW
    """Packs are filled by best fit inside windows of about this many draws of the order, each at least half as long, so
    that a draw that comes or goes changes the packs around it alone."""


class Batch(Part):
    """What every global batch is guaranteed to hold. Batches are counted inside a stage."""

    rows: Annotated[Count, Field(ge=1, le=1_000_000)] | None = None
    """Draws in a global batch: what all ranks together take one step with."""
    packs: Annotated[Count, Field(ge=1, le=1_000_000)] | None = None
    """Packs in a global batch; goes with `pack`."""
    tokens: Annotated[Count, Field(ge=1, le=1_000_000_000)] | None = None
    """As many draws as have at most so many tokens together. Their number is another one for every batch, and the manifest
    says where each ends."""
    padded_tokens: Annotated[Count, Field(ge=1, le=1_000_000_000)] | None = None
    """The same, where each draw counts as many tokens as the longest of its batch: what a padded batch takes."""
    lengths: Literal["mixed", "similar"] = "mixed"
    """`similar` brings draws of similar length together, inside each window; a batch then stands where its longest draw
    stood."""
    window: Window | None = None
    """Batches that count tokens, or hold similar lengths, are made inside windows of about this many draws of the order,
    so that a draw that comes or goes changes those around it alone; 8,192 unless given."""
    remainder: Literal["keep", "pad", "drop"] | None = None
    """What to do where a stage is no multiple of `rows`, or of `packs`: `keep` its short end (it does unless given), `drop`
    the draws at its end, or `pad` it by drawing some of its samples once more."""
    stratify: Name | None = None
    """A column: each of its values has in every batch the floor or the ceiling of its exact share of the stage."""
    modality: Literal["uniform", "anchored"] | None = None
    """`uniform`: a batch, and each pack, holds text, images or videos alone. `anchored`: every micro-batch has an image or a
    video."""
    micro: Annotated[Count, Field(ge=1)] | None = None
    """Draws in a micro-batch, the consecutive draws of a batch that one rank takes at once; for `anchored`."""

    @model_validator(mode="after")
    def _fits(self) -> Batch:
        one_of(self, "rows", "packs", "tokens", "padded_tokens")
        if self.stratify is not None and self.modality is not None:
            raise ValueError("`stratify` and `modality` arrange the same draws; say one of them")
        if (self.micro is not None) != (self.modality == "anchored"):
            raise ValueError("`micro` goes with `modality: anchored`, and only with it")
        if self.rows is None and (self.stratify is not None or self.micro is not None):
            raise ValueError("`stratify` and `modality: anchored` go with `rows`")
        if self.rows is not None and self.lengths == "similar" and (self.stratify or self.modality):
            raise ValueError("`lengths: similar` arranges the same draws as `stratify` and `modality`; say one of them")
        if self.micro is not None and self.rows is not None and self.rows % self.micro:
            raise ValueError(f"a batch of {self.rows:,} cannot be cut into micro-batches of {self.micro:,}")
        return self

    @model_validator(mode="after")
    def _counts(self) -> Batch:
        counts_tokens = self.tokens is not None or self.padded_tokens is not None
        if counts_tokens and self.remainder is not None:
            raise ValueError("`remainder` goes with `rows` and `packs`: a batch that counts tokens may be of any size")
        if self.packs is not None and self.remainder == "pad":
            raise ValueError("a pack is not drawn twice: say `remainder: drop` or `remainder: keep`")
        if self.packs is not None and self.lengths == "similar":
            raise ValueError("`lengths: similar` is for draws that are padded, and packs are full")
        if self.window is not None and not counts_tokens and self.lengths == "mixed":
            raise ValueError("`window` goes with `tokens`, `padded_tokens` or `lengths: similar`")
        return self
