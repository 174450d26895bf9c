"""The recipe as the user writes it, version 1 of the language. Descriptions here are what an editor shows."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic.json_schema import JsonSchemaValue

from recipe_compiler.model.batch import Batch, Pack
from recipe_compiler.model.described import describe
from recipe_compiler.model.mix import Mix
from recipe_compiler.model.parts import ONCE, Amount, Part, Repeat, Short, Texts, one_of
from recipe_compiler.model.scalars import Count, ExpressionText, Name, Share
from recipe_compiler.model.select import Selections

LANGUAGE_VERSION = 1


class Turns(Part):
    """A list of messages in a record."""

    path: str
    """Where the list is."""
    role: str
    """The field of a message that says who speaks."""
    text: str
    """The field of a message that holds what is said."""


class Pairs(Part):
    """A list of exchanges in a record."""

    path: str
    """Where the list is; `history?` may be absent."""
    user: str
    """The question of an exchange, such as `q` or `[0]`."""
    assistant: str
    """The answer of an exchange, such as `a` or `[1]`."""


class Fields(Part):
    """Where a record keeps what a sample needs, by dotted path. A trailing `?` says that a field may be absent."""

    key: Texts | None = None
    """The upstream identity; several are joined by `/`."""
    system: Texts | None = None
    """The system message."""
    turns: Turns | None = None
    """A conversation."""
    pairs: Pairs | None = None
    """Exchanges, before the question."""
    user: Texts | None = None
    """The question; several are joined by line breaks."""
    choices: Texts | None = None
    """Options shown below the question: one list, or a column for each option."""
    assistant: Texts | None = None
    """The answer."""
    images: Texts | None = None
    """Images: paths below `media`, data URIs, or bytes."""
    videos: Texts | None = None
    """Videos: paths below `media`."""
    tools: Texts | None = None
    """Tool definitions."""
    columns: dict[Name, str] = Field(default_factory=dict)
    """Upstream values to filter, weigh and sort by: name in the recipe -> path in the record."""


class Pool(Part):
    """A named source of samples."""

    source: Texts = Field(min_length=1)
    """Files, as globs below the root (`data/*.jsonl.gz`) or in a store (`s3://bucket/pool/*.jsonl`)."""
    format: Literal[
        "auto", "openai", "swift", "llava", "sharegpt", "videochat", "alpaca", "qa", "caption", "prompt"
    ] = "auto"
    """How records say what a sample is. `auto` looks at the first records and reports what it saw."""
    fields: Fields | None = None
    """Your own mapping, or changes to the preset's."""
    records: str | None = None
    """The key that holds the records of a JSON object, or `*` for the object's own values."""
    header: bool | None = None
    """Whether the first row of a CSV or TSV file names its columns (it does unless this is false)."""
    quote: bool | None = None
    """Whether `"` quotes cells of a CSV or TSV file (it does unless this is false)."""
    media: str | None = None
    """The folder that media paths are relative to, below the root or in a store; the root itself, unless given."""
    missing_media: Literal["error", "drop", "keep"] = "error"
    """What to do with a sample whose media are missing. Without a `media` folder, an error is a warning."""
    max_malformed: Count = 0
    """How many records may be unreadable before the compile stops."""
    role: Literal["train", "holdout"] = "train"
    """A holdout pool is indexed and never drawn."""
    group: Name | None = None
    """The group that schedules arrange, such as `general`, `reasoning` or `ocr`."""
    category: Name | None = None
    """A finer label of your own, such as `chart`."""
    license: str | None = None
    """The licence, to filter by."""
    tags: list[str] = Field(default_factory=list)
    """Labels to filter by: `"synthetic" in tags`."""


class Annotation(Part):
    """A table of scores or labels, joined to samples."""

    source: str
    """One Parquet, CSV or JSON Lines file below the root or in a store."""
    match: Literal["sample_id", "key"] = "sample_id"
    """Join by sample id (32 hexadecimal digits) or by upstream key."""
    column: str | None = None
    """The file's column that holds the id or key; named like `match` unless given."""
    pools: list[Name] | None = None
    """The pools whose keys these are; all of them unless given."""
    columns: dict[Name, str] | None = None
    """Name in the recipe -> column in the file; all other columns under their own names unless given."""


class TokenCosts(Part):
    """What `tokens` counts: exact counts of a processor, or the estimate of the text and what media count for beside it."""

    counts: str | None = None
    """One Parquet, CSV or JSON Lines file below the root with the exact `tokens` of every sample by `sample_id`, as `recipe
    count` writes it. Filters, budgets, packs, batches and the manifest count by it."""

    per_image: Annotated[Count, Field(le=1_000_000)] = 576
    """Tokens of an image."""
    per_video: Annotated[Count, Field(le=1_000_000)] = 4608
    """Tokens of a video."""

    @model_validator(mode="after")
    def _either(self) -> TokenCosts:
        if self.counts is not None and self.model_fields_set & {"per_image", "per_video"}:
            raise ValueError("`counts` are exact and include media; `per_image` and `per_video` go with the estimate")
        return self


class Deduplicate(Part):
    """Which repetitions to drop."""

    exact: bool
    """Drop samples whose messages and media are the same; the first pool by name keeps its own."""


class Order(Short):
    """The order within each source of a stage."""

    SHORT: ClassVar[JsonSchemaValue] = {"enum": ["shuffle", "listed"]}

    kind: Literal["shuffle", "listed"] | None = None
    """`shuffle`, or `listed`: by pool name, file name and place in the file."""
    sort: Name | None = None
    """A column to sort by, smallest first."""
    pace: Name | None = None
    """A column of difficulty, easiest (smallest) first: at first only the easiest samples are drawn from, and step by
    step all of them (competence-based curriculum, arXiv 1903.09848). Each is drawn once, in an order of chance."""
    start: Share | None = None
    """The easiest share that `pace` draws from at first; 1% unless given."""
    shape: Literal["root", "linear"] | None = None
    """How the share grows that `pace` draws from: `root` (it does unless given) is faster at first than `linear`."""
    descending: bool = False
    """Largest first."""
    window: Count | None = None
    """Sort only inside windows of this many draws of the shuffled order."""
    shuffle_window: Count | None = None
    """Shuffle inside windows of this many draws of the sorted order."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> Order:
        one_of(self, "kind", "sort", "pace")
        if self.sort is None and (self.window is not None or self.shuffle_window is not None):
            raise ValueError("`window` and `shuffle_window` go with `sort`")
        if self.descending and self.kind is not None:
            raise ValueError("`descending` goes with `sort` or `pace`")
        if self.pace is None and (self.start is not None or self.shape is not None):
            raise ValueError("`start` and `shape` go with `pace`")
        if self.start is not None and not (0 < self.start <= 1 and self.start.denominator <= 1_000_000):
            raise ValueError("`start` is more than 0%, at most 100%, with at most four decimals")
        if self.window is not None and self.shuffle_window is not None:
            raise ValueError("`window` and `shuffle_window` exclude each other")
        if self.window == 0 or self.shuffle_window == 0:
            raise ValueError("a window holds at least one draw")
        return self


SHUFFLE = Order.model_construct(kind="shuffle")


class Stage(Part):
    """A run of draws trained one after another. A sample belongs to the first stage whose `where` holds for it."""

    name: Name
    """The stage's name."""
    where: ExpressionText | None = None
    """Which samples it takes; all that are left unless given."""
    select: Selections | None = None
    """Which of these to take; those that are not taken are left for later stages."""
    mix: Mix | None = None
    """Draw from several sources in exact proportion; otherwise the stage is one source."""
    draws: Amount | None = None
    """How many draws: a share of the stage's samples or a count; all of them once unless given."""
    repeat: Repeat = ONCE
    """How often a sample may be drawn in one epoch of this stage."""
    epochs: Annotated[Count, Field(ge=1, le=1_000_000)] = 1
    """How often the stage's draws are run, each time in an order of its own. Where not all samples are drawn, each epoch
    draws anew: those that were drawn less often come first, so that in the end all have been drawn."""
    resample: bool = True
    """Whether each epoch draws anew; with `false` it draws the samples of the first one."""
    order: Order = SHUFFLE
    """The order within each source."""
    replay: dict[Name, Amount] = Field(default_factory=dict)
    """Draws from earlier stages, mixed in exactly: stage -> a share of this stage's draws, or a count."""

    @model_validator(mode="after")
    def _units(self) -> Stage:
        for amount in (self.draws, *self.replay.values()):
            if amount is not None and amount.tokens is not None:
                raise ValueError("a stage is measured in draws: say `share` or `count`")
            if amount is not None and 0 in (amount.share, amount.count):
                raise ValueError("no draws at all; leave it out instead")
        if not self.resample and self.epochs == 1:
            raise ValueError("`resample: false` goes with `epochs`")
        if sum((amount.share or Fraction(0) for amount in self.replay.values()), Fraction(0)) >= 1:
            raise ValueError("replays take the whole stage; their shares must leave something for its own samples")
        return self


class Schedule(Short):
    """The four organisations of the data-organisation study, written short."""

    SHORT: ClassVar[JsonSchemaValue] = {"enum": ["mixed", "curriculum", "balanced", "reverse"]}

    kind: Literal["mixed", "curriculum", "balanced", "reverse"]
    """`mixed`: all shuffled. `curriculum`: groups in sequence. `reverse`: the other way round. `balanced`: equal draws
    of each group throughout, repeating small groups."""
    by: Name = "group"
    """The column whose values are arranged."""
    sequence: list[str] = Field(default_factory=lambda: ["general", "reasoning", "ocr"], min_length=1)
    """The order of a curriculum, first to last."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


class Exposure(Part):
    """How often one sample may be drawn in all."""

    max: Annotated[Count, Field(ge=1, le=1_000_000)]
    """The most draws of one sample, over all stages, epochs, replays and padding together. A sample that has had them is
    passed over, and those drawn less often come first."""


class Shard(Part):
    """How the manifest is cut."""

    rows: Annotated[Count, Field(ge=1)] = 65536
    """Draws in a shard."""


class Recipe(Part):
    """A data recipe, version 1."""

    recipe: Literal[1]
    """The version of the language."""
    name: Name
    """What the data mix is called."""
    version: Name | None = None
    """The release this recipe makes."""
    extends: Texts | None = None
    """Recipes to build on: maps merge by key, stages by name, and `null` takes a setting away."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The only source of chance."""
    tokens: TokenCosts = TokenCosts.model_construct()
    """What `tokens` counts."""
    pools: dict[Name, Pool] = Field(min_length=1)
    """The sources of samples, by name."""
    annotations: list[Annotation] = Field(default_factory=list)
    """Tables of scores or labels."""
    filter: list[ExpressionText] = Field(default_factory=list)
    """Conditions that every sample must meet."""
    dedup: Deduplicate | None = None
    """Which repetitions to drop."""
    select: Selections | None = None
    """Which samples to take; all of them unless given. A list takes one selection after another."""
    schedule: Schedule | None = None
    """The short form of `stages`."""
    stages: list[Stage] | None = Field(default=None, min_length=1)
    """What is trained on, first to last."""
    repeat: Exposure | None = None
    """How often one sample may be drawn over all stages together."""
    pack: Pack | None = None
    """How draws are put together in sequences of a fixed length; each is a sequence of its own unless given."""
    batch: Batch | None = None
    """What every global batch is guaranteed to hold."""
    shard: Shard = Shard.model_construct()
    """Into which files the global order is cut."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors."""
    schema = Recipe.model_json_schema(mode="validation")
    describe(schema, Part)
    # What another recipe gives need not be given again, and a version may look like a number.
    schema["required"] = ["recipe", "name"]
    schema["anyOf"] = [{"required": ["pools"]}, {"required": ["extends"]}]
    schema["properties"]["version"]["anyOf"].append({"type": "number"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Recipe", **schema}
