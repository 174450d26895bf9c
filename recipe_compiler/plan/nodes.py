"""The operations of a plan. Values only: what they mean to rows is in `execute`, to order in `emit`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

from recipe_compiler.core import digest_parts
from recipe_compiler.plan.goals import Parameters
from recipe_compiler.syntax.expression import Expression, Operand, canonical

Location: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Exactly one of a share, a count and tokens."""

    share: Fraction | None = None
    count: int | None = None
    tokens: int | None = None

    def __str__(self) -> str:
        if self.share is not None:
            percent = self.share * 100
            return (
                f"{float(percent):g}%"
                if percent.denominator < 10**6 and percent == round(percent, 6)
                else str(self.share)
            )
        return f"{self.count:,}" if self.count is not None else f"{self.tokens:,} tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How to divide among values: `proportional`, `equal`, or by one of the parameters."""

    kind: Literal["proportional", "equal", "temperature", "unimax", "values", "table"]
    temperature: Fraction | None = None
    unimax: Fraction | None = None
    values: Mapping[str, Fraction] | None = None
    table: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case "temperature":
                return f"temperature {self.temperature}"
            case "unimax":
                return f"unimax {self.unimax}"
            case "values":
                return ", ".join(f"{name} {weight}" for name, weight in sorted((self.values or {}).items()))
            case "table":
                return f"as in {self.table}"
            case _:
                return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Weights that move from one division to another along a stage that is cut into blocks."""

    start: Weights
    end: Weights
    shape: Literal["linear", "cosine"]
    blocks: int

    def __str__(self) -> str:
        return f"from {self.start} to {self.end}, {self.shape} in {self.blocks:,} blocks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Reads a pool."""

    pool: str
    source: tuple[str, ...]
    format: str
    fields: Mapping[str, Any]
    hint: Mapping[str, Any]
    media: str | None
    missing_media: Literal["error", "drop", "keep"]
    max_malformed: int
    role: Literal["train", "holdout"]
    group: str | None
    category: str | None
    license: str | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unite:
    """All pools as one table; holdouts stay out."""

    per_image: int
    per_video: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """Exact tokens in place of the estimated ones."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotate:
    """Joins a table of scores or labels."""

    source: str
    match: Literal["sample_id", "key"]
    column: str
    pools: tuple[str, ...] | None
    columns: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Keeps what a condition holds for."""

    where: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicate:
    """Keeps the first of each set of equal samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """The most a value of `by`, or the samples `where` holds for, may take."""

    by: str | None
    where: Expression | None
    max: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Takes a budget, by the keyed order."""

    seed: int
    budget: Amount
    by: tuple[str, ...]
    weights: Weights
    caps: tuple[Cap, ...]
    repeat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What each value of `by`, or the samples `where` holds for, are to have of a budget."""

    by: str | None
    where: Expression | None
    min: Amount | None
    max: Amount | None
    target: Amount | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Takes a budget that meets every quota: the largest sum of scores, or without scores the least distortion."""

    seed: int
    budget: Amount
    score: Operand | None
    quotas: tuple[Quota, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """Takes the largest scores, of all or of each stratum."""

    seed: int
    budget: Amount
    score: Operand
    by: tuple[str, ...]
    weights: Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Takes a band of ranks, of all or of each stratum."""

    seed: int
    score: Operand
    low: Fraction
    high: Fraction
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """Takes the samples of some classes of difficulty, or a random control of as many."""

    seed: int
    kind: Literal["pism", "cmab"]
    column: str
    solved: str | None
    keep: tuple[str, ...]
    easy_inclusive: bool
    control: bool
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """Takes the samples that are in the top of most tasks."""

    seed: int
    budget: Amount
    scores: tuple[Operand, ...]
    top: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Deita:
    """Takes the largest scores of samples that are not too near to one that is taken."""

    seed: int
    budget: Amount
    embedding: str
    score: Operand
    threshold: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class KCenter:
    """Takes always the sample farthest from all taken."""

    seed: int
    budget: Amount
    embedding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmr:
    """Takes always the sample with the largest score less its similarity to one that is taken."""

    seed: int
    budget: Amount
    embedding: str
    score: Operand
    relevance: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilityLocation:
    """Takes always the sample that adds most to the similarity of all samples to the nearest one that is taken."""

    seed: int
    budget: Amount
    embedding: str
    neighbours: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalDriven:
    """Takes samples for a goal; with `baseline`, so many times as many at random instead.

    Without a budget the rule of the parameters says how many. `columns` are those that the recipe names.
    """

    seed: int
    goal: str
    budget: Amount | None
    parameters: Parameters
    columns: Mapping[str, str]
    baseline: int | None
    per_video: int
    frames: int
    without: tuple[str, ...]
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmssr:
    """Takes the best of each bin for each capability in turn. Without a source, bins are styles alone."""

    seed: int
    budget: Amount
    capabilities: tuple[str, ...]
    style: str
    source: str | None
    threshold: Fraction
    compat: bool
    fill: Literal["none", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order within each source of a stage."""

    kind: Literal["shuffle", "listed", "sort", "pace"]
    by: str | None = None
    """The column of `sort` or `pace`."""
    descending: bool = False
    window: int | None = None
    shuffle_window: int | None = None
    start: Fraction | None = None
    shape: Literal["root", "linear"] | None = None


#: What a batch counts.
Measure: TypeAlias = Literal["rows", "packs", "tokens", "padded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Draws in sequences of at most so many tokens, filled inside windows of the order."""

    most: int
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What every global batch of a stage holds: `size` of a measure. Of `padded` tokens each draw has as many as the
    longest. `window` is given where batches are made inside windows of the order."""

    size: int
    measure: Measure
    remainder: Literal["keep", "pad", "drop"]
    stratify: str | None
    modality: Literal["uniform", "anchored"] | None
    micro: int | None
    similar: bool
    window: int | None

    @property
    def counts_tokens(self) -> bool:
        """Whether batches are of a budget, so that their draws are counted by no rule of arithmetic."""
        return self.measure in ("tokens", "padded")

    @property
    def promises(self) -> bool:
        """Whether what a batch holds is more than the next draws."""
        return self.remainder != "keep" or self.stratify is not None or self.modality is not None or self.similar


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Takes the samples `where` holds for out of what is left, and puts their draws in order.

    A sample is drawn at most `repeat` times in an epoch, and at most `most` times over all stages; None is any number.
    """

    seed: int
    name: str
    where: Expression | None
    by: str | None
    weights: Weights | Course
    draws: Amount | None
    repeat: int | None
    order: Order
    replay: Mapping[str, Amount]
    epochs: int = 1
    resample: bool = True
    most: int | None = None
    pack: Pack | None = None
    batch: Batch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Cuts the global order into shards."""

    rows: int


#: Every way of choosing.
Take: TypeAlias = (
    Select | Quotas | Top | Band | Mmssr | Difficulty | Vote | Deita | KCenter | Mmr | FacilityLocation | GoalDriven
)
#: Everything else.
NOT_TAKING = (Scan, Unite, Recount, Annotate, Filter, Deduplicate, Stage, Cut)
Operation: TypeAlias = Scan | Unite | Recount | Annotate | Filter | Deduplicate | Take | Stage | Cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operation, what it reads, and a digest of both. `at` is where the recipe asks for it; no part of the digest."""

    operation: Operation
    inputs: tuple[str, ...]
    digest: str
    at: Location


def make_node(operation: Operation, inputs: tuple[Node, ...], at: Location) -> Node:
    """A node, digested."""
    digests = tuple(node.digest for node in inputs)
    text = json.dumps(document(operation), sort_keys=True, ensure_ascii=False)
    parts = [type(operation).__name__.encode(), text.encode(), *(digest.encode() for digest in digests)]
    return Node(operation=operation, inputs=digests, digest=digest_parts("plan node", parts), at=at)


def tables(operation: Operation) -> Iterator[tuple[str, Location]]:
    """The files that an operation reads beside pools, and where below its own place the recipe names each."""
    match operation:
        case Recount():
            yield operation.source, ("counts",)
        case Annotate():
            yield operation.source, ("source",)
        case Stage(weights=Weights(table=str(path))):
            yield path, ("mix", "weights", "table")
        case Stage(weights=Course(start=start, end=end)):
            for key, weights in (("from", start), ("to", end)):
                if weights.table is not None:
                    yield weights.table, ("mix", "weights", key, "table")


_EXPRESSIONS = ("Column", "Literal", "Compare", "In", "Not", "Join", "Arithmetic", "Call")


def document(value: Any) -> Any:
    """A plan value as plain JSON: rationals as text, expressions in their canonical form."""
    if isinstance(value, Fraction):
        return str(value)
    if type(value).__name__ in _EXPRESSIONS and dataclasses.is_dataclass(value):
        return canonical(value)  # type: ignore[arg-type]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: document(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): document(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [document(item) for item in value]
    return value
