"""What the parts of a recipe are made of: strict fields, amounts, weights."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from recipe_compiler.model.scalars import Count, Share, Weight, mended


class Part(BaseModel):
    """A piece of a recipe: unknown keys are errors, values are never coerced, nothing is filled in later.

    The text under a field describes it in the JSON Schema (`described`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def one_of(part: BaseModel, *names: str) -> None:
    """Raises unless exactly one of these fields is given."""
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        listed = ", ".join(f"`{name}`" for name in names)
        raise ValueError(f"say exactly one of {listed}" + (f", not {len(given)}" if given else ""))


def _many(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts: TypeAlias = Annotated[list[str], BeforeValidator(_many, json_schema_input_type=str | list[str])]


class Short(Part):
    """A part that may also be written as one text, of the shape `SHORT`."""

    SHORT: ClassVar[JsonSchemaValue]

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The long form or the short one."""
        long = handler(schema)
        return {"anyOf": [cls.SHORT, handler.resolve_ref_schema(long)]}


class Amount(Short):
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
        one_of(self, "share", "count", "tokens")
        return self


class Weights(Short):
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
        one_of(self, "kind", "temperature", "unimax", "values")
        return self

    @model_validator(mode="after")
    def _in_range(self) -> Weights:
        for name in ("temperature", "unimax"):
            number: Fraction | None = getattr(self, name)
            if number is not None and (number <= 0 or number.denominator > 1000 or number > 1000):
                raise ValueError(f"`{name}` is more than 0, at most 1000, with at most three decimals")
        return self


# What is known to be right is constructed and not validated: a schema takes longer to build than a recipe to check.
PROPORTIONAL = Weights.model_construct(kind="proportional")


class Repeat(Part):
    """How often one sample may be drawn."""

    max: Annotated[Count, Field(ge=1)] | Literal["any"]
    """A number of draws, or `any`."""


ONCE = Repeat.model_construct(max=1)
