"""The recipe as the user writes it, version 1 of the language. Descriptions here are what an editor shows."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from recipe_compiler.model.scalars import Count, ExpressionText, Name, Share, Weight, mended

LANGUAGE_VERSION = 1


class Part(BaseModel):
    """A piece of a recipe: unknown keys are errors, values are never coerced, nothing is filled in later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


def _one_of(part: BaseModel, *names: str) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        listed = ", ".join(f"`{name}`" for name in names)
        raise ValueError(f"say exactly one of {listed}" + (f", not {len(given)}" if given else ""))


def _many(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts: TypeAlias = Annotated[list[str], BeforeValidator(_many, json_schema_input_type=str | list[str])]


class _Short(Part):
    """A part that may also be written as one text, of the shape `SHORT`."""

    SHORT: ClassVar[JsonSchemaValue]

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The long form or the short one."""
        long = handler(schema)
        return {"anyOf": [cls.SHORT, handler.resolve_ref_schema(long)]}


class Amount(_Short):
    """How much: a share (`30%`), a count of samples, or tokens."""

    SHORT: ClassVar[JsonSchemaValue] = {"type": "string", "description": "A share, such as `30%`.", "examples": ["30%"]}

    share: Share | None = None
    """A fraction of what there is: `30%` or `1/3`."""
    count: Count | None = None
    """Samples: `500`, `200k`."""
    tokens: Count | None = None
    """Tokens: `1.2B`."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"share": value}
        if isinstance(value, int | Decimal):
            either = f"`{{count: {value}}}` or `{{tokens: {value}}}`"
            raise mended(f"say what `{value}` counts: {either}", f"{{count: {value}}}")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Amount:
        _one_of(self, "share", "count", "tokens")
        return self


class Weights(_Short):
    """How draws are divided among the values of a column."""

    SHORT: ClassVar[JsonSchemaValue] = {"enum": ["proportional", "equal"]}

    kind: Literal["proportional", "equal"] | None = None
    """`proportional` to the samples there are, or `equal`."""
    temperature: Weight | None = None
    """Proportional to `samples ** (1 / temperature)`: 1 is proportional, larger is flatter (mBERT, mT5)."""
    unimax: Weight | None = None
    """As equal as can be with no source seen more than this many times (UniMax, arXiv 2304.09151)."""
    values: dict[str, Weight] | None = None
    """A weight for each value."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Weights:
        _one_of(self, "kind", "temperature", "unimax", "values")
        return self

    @model_validator(mode="after")
    def _in_range(self) -> Weights:
        for name in ("temperature", "unimax"):
            number: Fraction | None = getattr(self, name)
            if number is not None and (number <= 0 or number.denominator > 1000 or number > 1000):
                raise ValueError(f"`{name}` is more than 0, at most 1000, with at most three decimals")
        return self


PROPORTIONAL = Weights(kind="proportional")


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
    """Files, as globs below the root: `data/*.jsonl.gz`."""
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
    """The folder that media paths are relative to. Given, every reference is checked to exist."""
    missing_media: Literal["error", "drop", "keep"] = "error"
    """What to do with a sample whose media are missing."""
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
    """One Parquet, CSV or JSON Lines file below the root."""
    match: Literal["sample_id", "key"] = "sample_id"
    """Join by sample id (32 hexadecimal digits) or by upstream key."""
    column: str | None = None
    """The file's column that holds the id or key; named like `match` unless given."""
    pools: list[Name] | None = None
    """The pools whose keys these are; all of them unless given."""
    columns: dict[Name, str] | None = None
    """Name in the recipe -> column in the file; all other columns under their own names unless given."""


class TokenCosts(Part):
    """What media count for in `tokens`, beside the estimate of the text."""

    per_image: Annotated[Count, Field(le=1_000_000)] = 576
    """Tokens of an image."""
    per_video: Annotated[Count, Field(le=1_000_000)] = 4608
    """Tokens of a video."""


class Deduplicate(Part):
    """Which repetitions to drop."""

    exact: bool
    """Drop samples whose messages and media are the same; the first pool by name keeps its own."""


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
        _one_of(self, "by", "where")
        return self


class Repeat(Part):
    """How often one sample may be drawn."""

    max: Annotated[Count, Field(ge=1)] | Literal["any"]
    """A number of draws, or `any`."""


ONCE = Repeat(max=1)


class Select(Part):
    """Which samples to take."""

    budget: Amount
    """How much to take: `{share: 30%}`, `{count: 200k}` or `{tokens: 1.2B}`."""
    method: Literal["random", "stratified"] = "random"
    """`random` over all, or `stratified`: exact counts for each value of `by`."""
    by: Texts | None = None
    """The columns whose values are strata."""
    weights: Weights = PROPORTIONAL
    """How the budget is divided among strata. A stratum that has less gives what it has."""
    caps: list[Cap] = Field(default_factory=list, max_length=250)
    """The most that values or conditions may take."""
    repeat: Repeat = ONCE
    """How often a sample may be taken, for a budget beyond what there is."""

    @model_validator(mode="after")
    def _fits(self) -> Select:
        if (self.method == "stratified") != (self.by is not None):
            raise ValueError("`by` goes with `method: stratified`, and only with it")
        if self.method == "random" and self.weights != PROPORTIONAL:
            raise ValueError("`weights` goes with `method: stratified`")
        if self.repeat.max == "any" or not 1 <= self.repeat.max <= 1000:
            raise ValueError("`repeat` of a selection is a number from 1 to 1000; stages also take `any`")
        return self


class Fitted(Weights):
    """How draws are divided among sources: weights, or a table of them."""

    table: str | None = None
    """A file of weights that were fitted elsewhere, such as by RegMix (arXiv 2407.01492): a CSV, JSON Lines or Parquet
    file below the root, of at most 1 MiB, with the columns `name` and `weight`."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Fitted:
        _one_of(self, "kind", "temperature", "unimax", "values", "table")
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
            _one_of(self, "kind", "temperature", "unimax", "values", "table")
        elif self.from_ is None or self.to is None:
            raise ValueError("weights that move are given by `from` and `to`")
        elif [name for name in ("kind", "temperature", "unimax", "values", "table") if getattr(self, name) is not None]:
            raise ValueError("weights that move are given by `from` and `to` alone")
        return self


class Mix(Part):
    """Several sources drawn in exact proportion: every prefix of the stage is within one draw of it."""

    by: Name
    """The column whose values are the sources: `pool`, `group`, or any other."""
    weights: MixWeights = MixWeights(kind="proportional")
    """How draws are divided among the sources; `{from: WEIGHTS, to: WEIGHTS}` moves along the stage."""


class Order(_Short):
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
        _one_of(self, "kind", "sort", "pace")
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


SHUFFLE = Order(kind="shuffle")


class Stage(Part):
    """A run of draws trained one after another. A sample belongs to the first stage whose `where` holds for it."""

    name: Name
    """The stage's name."""
    where: ExpressionText | None = None
    """Which samples it takes; all that are left unless given."""
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


class Schedule(_Short):
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


class Batch(Part):
    """What every global batch is guaranteed to hold. Batches are counted inside a stage."""

    rows: Annotated[Count, Field(ge=1, le=1_000_000)]
    """Draws in a global batch: what all ranks together take one step with."""
    remainder: Literal["keep", "pad", "drop"] = "keep"
    """What to do where a stage is no multiple of `rows`: `keep` its short end, `drop` the draws at its end, or `pad` it by
    drawing some of its samples once more."""
    stratify: Name | None = None
    """A column: each of its values has in every batch the floor or the ceiling of its exact share of the stage."""
    modality: Literal["uniform", "anchored"] | None = None
    """`uniform`: a batch holds text, images or videos alone. `anchored`: every micro-batch has an image or a video."""
    micro: Annotated[Count, Field(ge=1)] | None = None
    """Draws in a micro-batch, the consecutive draws of a batch that one rank takes at once; for `anchored`."""

    @model_validator(mode="after")
    def _fits(self) -> Batch:
        if self.stratify is not None and self.modality is not None:
            raise ValueError("`stratify` and `modality` arrange the same draws; say one of them")
        if (self.micro is not None) != (self.modality == "anchored"):
            raise ValueError("`micro` goes with `modality: anchored`, and only with it")
        if self.micro is not None and self.rows % self.micro:
            raise ValueError(f"a batch of {self.rows:,} cannot be cut into micro-batches of {self.micro:,}")
        return self


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
    tokens: TokenCosts = TokenCosts()
    """What media count for in `tokens`."""
    pools: dict[Name, Pool] = Field(min_length=1)
    """The sources of samples, by name."""
    annotations: list[Annotation] = Field(default_factory=list)
    """Tables of scores or labels."""
    filter: list[ExpressionText] = Field(default_factory=list)
    """Conditions that every sample must meet."""
    dedup: Deduplicate | None = None
    """Which repetitions to drop."""
    select: Select | None = None
    """Which samples to take; all of them unless given."""
    schedule: Schedule | None = None
    """The short form of `stages`."""
    stages: list[Stage] | None = Field(default=None, min_length=1)
    """What is trained on, first to last."""
    repeat: Exposure | None = None
    """How often one sample may be drawn over all stages together."""
    batch: Batch | None = None
    """What every global batch is guaranteed to hold."""
    shard: Shard = Shard()
    """Into which files the global order is cut."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors."""
    schema = Recipe.model_json_schema(mode="validation")
    # What another recipe gives need not be given again, and a version may look like a number.
    schema["required"] = ["recipe", "name"]
    schema["anyOf"] = [{"required": ["pools"]}, {"required": ["extends"]}]
    schema["properties"]["version"]["anyOf"].append({"type": "number"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Recipe", **schema}
