"""What a manifest says. Frozen values; no clock, no host, no absolute path.

The rows of a shard are a table with the columns of `ROWS`, one row for each draw, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

FORMAT: Final = 1

#: A row of a shard. `offset` and `length` are bytes of the source's record stream; `repeat` counts earlier draws of the
#: same sample; `occurrence` tells apart equal samples of one pool; draws of one `unit` are taken together (see `Units`);
#: `check` is a checksum of the other cells.
ROWS: Final = pa.schema(
    [
        pa.field("position", pa.uint64(), nullable=False),
        pa.field("sample_id", pa.binary(16), nullable=False),
        pa.field("occurrence", pa.uint32(), nullable=False),
        pa.field("source", pa.uint32(), nullable=False),
        pa.field("offset", pa.uint64(), nullable=False),
        pa.field("length", pa.uint64(), nullable=False),
        pa.field("pool", pa.uint32(), nullable=False),
        pa.field("stage", pa.uint32(), nullable=False),
        pa.field("rule", pa.uint32(), nullable=False),
        pa.field("repeat", pa.uint32(), nullable=False),
        pa.field("tokens", pa.uint32(), nullable=False),
        pa.field("images", pa.uint32(), nullable=False),
        pa.field("videos", pa.uint32(), nullable=False),
        pa.field("unit", pa.uint64(), nullable=False),
        pa.field("check", pa.uint32(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRef:
    """A pool: how its records are read, and the digest of the samples it holds (in any order)."""

    name: str
    role: str
    group: str | None
    category: str | None
    license: str | None
    tags: tuple[str, ...]
    media: str | None
    preset: str
    fields: Mapping[str, Any]
    samples: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRef:
    """A file of a pool, pinned: path below the root, size in bytes, BLAKE3 of its bytes."""

    pool: str
    path: str
    size: int
    digest: str
    wrapping: str
    layout: Mapping[str, Any]
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationRef:
    """An annotation file, pinned."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRef:
    """A recipe as it was written, by its name below the folder of the recipe that was compiled."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one stratum was to have, had, and got. `requested` is exact, as `p/q`."""

    name: str
    requested: str
    available: int
    realised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What one source of a stage was to have, had, and got. `requested` is exact, as `p/q`, and `rule` the number of its
    rule. `earlier` counts those of its draws that the manifest this one goes on from had made; they are not among the
    `realised` ones."""

    name: str
    rule: int
    requested: str
    available: int
    earlier: int
    realised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRef:
    """A run of positions. `shares` are its sources; `samples` counts different ones."""

    name: str
    start: int
    draws: int
    samples: int
    shares: tuple[Portion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """The manifest that this one goes on from: positions below `position` are its draws, row for row.

    Stages that start below `position` are that manifest's, the last of them as far as it came; the others are the
    recipe's. `past_pools` and `past_sources` are the numbers of those that the recipe does not read.
    """

    manifest: str
    position: int
    past_pools: tuple[int, ...]
    past_sources: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the funnel: what it is, and how many rows of each pool it left."""

    what: str
    kept: Mapping[str, int]
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something the recipe asked for, beside what came of it."""

    what: str
    requested: str
    available: int
    realised: int
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """What a rule was to have most of, beside the most that is proven to be possible, as decimal numbers."""

    what: str
    realised: str
    bound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Draws that are taken together, where not each is by itself: packs, or batches of a number of tokens (`kind`).

    Each has at most `most` tokens, or so many with each draw as long as its longest (`measure` is `padded`). Of the
    recipe's own draws there are `units` with `tokens`, the longest draw has `longest`, and they take `room`: packs as
    many tokens as they may have, batches their draws as long as the longest of each.
    """

    kind: str
    measure: str
    most: int
    units: int
    tokens: int
    room: int
    longest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRef:
    """A file of rows: positions `start` to `start + rows`, the first row's `unit`, and the digest of the rows (not of the
    file)."""

    file: str
    start: int
    rows: int
    unit: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """What was available, which samples were chosen, in which sequence, and everything.

    `texts` is of how the recipe was written, comments and all, and no part of `manifest`: the same recipe written
    differently makes the same manifest.
    """

    pools: str
    selection: str
    order: str
    manifest: str
    texts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The compiled result.

    `global_batch` is how many units of draws the recipe's batches have, and `counted` who counted `tokens` exactly; None
    where the recipe has no batches, and where tokens are estimated.
    """

    name: str
    version: str | None
    seed: int
    recipe: Mapping[str, Any]
    texts: tuple[TextRef, ...]
    pools: tuple[PoolRef, ...]
    sources: tuple[SourceRef, ...]
    annotations: tuple[AnnotationRef, ...]
    rules: tuple[str, ...]
    stages: tuple[StageRef, ...]
    funnel: tuple[Step, ...]
    requests: tuple[Request, ...]
    strata: tuple[Share, ...]
    optima: tuple[Optimum, ...]
    units: Units | None
    global_batch: int | None
    counted: str | None
    shards: tuple[ShardRef, ...]
    after: After | None
    ids: Identities

    @property
    def draws(self) -> int:
        """The length of the global order."""
        return sum(shard.rows for shard in self.shards)

    @property
    def own_pools(self) -> tuple[PoolRef, ...]:
        """The pools that the recipe reads."""
        past = frozenset(() if self.after is None else self.after.past_pools)
        return tuple(pool for number, pool in enumerate(self.pools) if number not in past)

    @property
    def own_sources(self) -> tuple[SourceRef, ...]:
        """The files that the recipe reads."""
        past = frozenset(() if self.after is None else self.after.past_sources)
        return tuple(source for number, source in enumerate(self.sources) if number not in past)

    @property
    def own_stages(self) -> tuple[StageRef, ...]:
        """The stages of the recipe."""
        start = 0 if self.after is None else self.after.position
        return tuple(stage for stage in self.stages if stage.start >= start)
