"""The scalars of the language. A share, a count and a weight are different types, and a field says which it takes."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_RATIO = re.compile(r"(\d+)\s*/\s*([1-9]\d*)")
_COUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([kKMBG]?)")
_LARGEST = 10**15
_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9}


def mended(reason: str, text: str) -> PydanticCustomError:
    """A mistake that has one way out: what should be written instead."""
    return PydanticCustomError("mended", "{reason}", {"reason": reason, "mended": text})


def _share(value: object) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, str):
        if match := _PERCENT.fullmatch(value.strip()):
            return Fraction(match[1]) / 100
        if match := _RATIO.fullmatch(value.strip()):
            return Fraction(int(match[1]), int(match[2]))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        # 0.3 is thirty per cent, and who writes 70 means seventy.
        percent = f"{(Decimal(value) * (100 if value < 1 else 1)).normalize():f}%"
        raise mended(f"a share is written `{percent}` or as a ratio such as `1/3`, not `{value}`", percent)
    raise ValueError("a share is written as a percentage such as `30%` or a ratio such as `1/3`")


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        number = Fraction(value)
    elif isinstance(value, str) and (match := _COUNT.fullmatch(value.strip())):
        number = Fraction(match[1].replace("_", "")) * _SCALE[match[2]]
    elif isinstance(value, str) and _PERCENT.fullmatch(value.strip()):
        raise ValueError(f"a count is a whole number such as `500` or `1.2M`, not the share `{value}`")
    else:
        raise ValueError("a count is a whole number such as `500`, `200k` or `1.2M`")
    if number.denominator != 1 or number < 0:
        raise ValueError(f"`{value}` is not a whole number")
    if number > _LARGEST:
        raise ValueError(f"`{value}` is more than {_LARGEST:,}, the largest count there is")
    return int(number)


def _weight(value: object) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and value >= 0:
        return Fraction(value)
    if isinstance(value, str) and (match := _RATIO.fullmatch(value.strip())):
        return Fraction(int(match[1]), int(match[2]))
    raise ValueError("a weight is a number such as `2` or `0.5`, or a ratio such as `1/3`")


def _show(value: Fraction) -> str:
    return str(value)


Share: TypeAlias = Annotated[
    Fraction,
    BeforeValidator(_share),
    PlainSerializer(_show),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*(\d+(\.\d+)?\s*%|\d+\s*/\s*[1-9]\d*)\s*$",
            "description": "A fraction of a whole: `30%` or `1/3`.",
            "examples": ["30%", "1/3"],
        }
    ),
]
Count: TypeAlias = Annotated[
    int,
    BeforeValidator(_count),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d[\d_]*(\.\d+)?\s*[kKMBG]?\s*$"},
            ],
            "description": "A whole number: `500`, `200k` or `1.2M`.",
            "examples": [500, "200k", "1.2M"],
        }
    ),
]
Weight: TypeAlias = Annotated[
    Fraction,
    BeforeValidator(_weight),
    PlainSerializer(_show),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*\d+\s*/\s*[1-9]\d*\s*$"}],
            "description": "A relative number: `2`, `0.5` or `1/3`.",
            "examples": [2, "1/3"],
        }
    ),
]
Name: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[\p{L}\p{N}_][\p{L}\p{N}_.+-]*$", max_length=120),
]
ScoreText: TypeAlias = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "description": "A number for each sample, such as `quality` or `0.5 * quality + log(tokens)`.",
            "examples": ["quality", "0.5 * quality + log(tokens)"],
        }
    ),
]
ExpressionText: TypeAlias = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "description": 'A condition on columns, such as `tokens <= 4096 and group == "ocr"`.',
            "examples": ["tokens <= 4096 and images <= 8", 'group == "ocr"'],
        }
    ),
]
