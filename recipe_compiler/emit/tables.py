"""Tables of weights that were fitted elsewhere: a `name` and a `weight` a row."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute.weights import Tables
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.resolve.bind import BoundPlan

MAX_BYTES: Final = 1 << 20
#: A number as it may be written. Ratios may not: the sum of many has a divisor without bound.
_WEIGHT = re.compile(r"\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,2})?")


def read_tables(bound: BoundPlan, checked: CheckedRecipe, findings: Findings) -> Tables:
    """The weights of every table that a stage names."""
    files = {(annotation.node.digest, annotation.path): annotation.file for annotation in bound.annotations}
    tables = {}
    for node, path, at in bound.plan.tables():
        if isinstance(node.operation, nodes.Stage):
            try:
                tables[path] = _read(files[node.digest, path])
            except (ValueError, KeyError, RecursionError, csv.Error, OSError, pa.ArrowException) as error:
                reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                findings.error("resolve.unreadable", f"`{path}`: {reason}", checked.span(*at))
    return tables


def _read(file: Path) -> dict[str, Fraction]:
    """The weights of one table. Raises `ValueError` and errors of the formats for what is none."""
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"a table of weights has at most {MAX_BYTES:,} bytes")
    weights: dict[str, Fraction] = {}
    for number, row in enumerate(_rows(file), start=1):
        name, weight = (row.get(column) if isinstance(row, dict) else None for column in ("name", "weight"))
        if not isinstance(name, str) or weight is None:
            raise ValueError(f"row {number:,} has no `name` and `weight`")
        if name in weights:
            raise ValueError(f"row {number:,} gives `{name[:80]}` a second weight")
        weights[name] = _weight(weight, number)
    return weights


def _rows(file: Path) -> Iterator[Any]:
    match file.suffix:
        case ".parquet":
            yield from pq.read_table(file, columns=["name", "weight"]).to_pylist()
        case ".csv":
            yield from csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""))
        case ".jsonl" | ".ndjson":
            for line in file.read_text(encoding="utf-8-sig").splitlines():
                if line.strip():
                    yield json.loads(line, parse_float=str, parse_int=str)
        case _:
            raise ValueError("a table of weights is a .parquet, .csv or .jsonl file")


def _weight(value: object, number: int) -> Fraction:
    if isinstance(value, str) and _WEIGHT.fullmatch(value.strip()):
        return Fraction(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value):
        return Fraction(value)
    raise ValueError(f"the weight in row {number:,} is no number from 0 on")
