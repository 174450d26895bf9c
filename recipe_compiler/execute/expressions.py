"""Typed expressions over a table: checked against its columns, then lowered to polars."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Edit, Findings, Span
from recipe_compiler.model.columns import PLACE
from recipe_compiler.syntax import expression as syntax

Kind: TypeAlias = Literal["text", "number", "boolean", "texts", "numbers", "null"]

_NAMES: Mapping[Kind, str] = {
    "text": "text",
    "number": "a number",
    "boolean": "true or false",
    "texts": "a list of texts",
    "numbers": "a list of numbers",
    "null": "null",
}


def usable_columns(frame: pl.DataFrame) -> dict[str, Kind]:
    """The columns that rules may name, and their kinds."""
    found: dict[str, Kind] = {}
    for name, dtype in frame.schema.items():
        if name in PLACE or name.startswith("@"):
            continue
        if dtype == pl.Boolean:
            found[name] = "boolean"
        elif dtype.is_numeric():
            found[name] = "number"
        elif dtype == pl.List(pl.String):
            found[name] = "texts"
        elif isinstance(dtype, pl.List) and dtype.inner is not None and dtype.inner.is_numeric():
            found[name] = "numbers"
        elif dtype == pl.String or isinstance(dtype, pl.Enum):
            found[name] = "text"
    return found


def require_column(frame: pl.DataFrame, name: str, findings: Findings, span: Span, *, text_meant: bool = False) -> bool:
    """Whether a column with one value a sample may be named; if not, says which could have been meant."""
    known = usable_columns(frame)
    if known.get(name) in ("texts", "numbers"):
        findings.error("execute.column-type", f"`{name}` is a list, and one value a sample is needed here", span)
        return False
    if name in known:
        return True
    close = difflib.get_close_matches(name, list(known), n=1)
    way_out, mended = f"a pool carries an upstream value with `fields: {{columns: {{{name}: {name}}}}}`", None
    if text_meant:
        way_out, mended = f'write "{name}" if text was meant', Edit(span, f'"{name}"')
    elif close:
        way_out, mended = f"did you mean `{close[0]}`?", Edit(span, close[0])
    findings.error(
        "execute.unknown-column",
        f"there is no column `{name}`",
        span,
        notes=[f"columns here: {', '.join(sorted(known))}"],
        help=way_out,
        mended=mended,
    )
    return False


def holds(frame: pl.DataFrame, condition: pl.Expr) -> NDArray[np.bool_]:
    """Whether a condition holds for each row, also where it is about no column."""
    found: NDArray[np.bool_] = frame.with_columns(condition.alias("@holds"))["@holds"].to_numpy()
    return found


def bits(frame: pl.DataFrame, conditions: Sequence[pl.Expr]) -> list[kernels.Bits]:
    """Whether each condition holds for each row. All are looked at side by side, and their bits stay where they are."""
    names = [f"@holds {number}" for number in range(len(conditions))]
    held = frame.with_columns(condition.alias(name) for name, condition in zip(names, conditions, strict=True))
    found = []
    for name in names:
        array = held[name].to_arrow()
        packed = np.frombuffer(array.buffers()[1] or b"", dtype=np.uint8)
        found.append(kernels.Bits(packed, array.offset, len(array)))
    return found


class Lowering:
    """Checks and lowers expressions. `place` gives the span of a part of the text."""

    def __init__(self, frame: pl.DataFrame, findings: Findings, place: Callable[[int, int], Span]) -> None:
        self.frame = frame
        self.columns = usable_columns(frame)
        self.findings = findings
        self.place = place

    def condition(self, tree: syntax.Expression, *, known: bool = True) -> pl.Expr:
        """The expression as a condition without nulls: a missing value compares as false.

        If not `known`, a comparison with a missing number is null, and so is a condition that it decides (Kleene's logic).
        """
        match tree:
            case syntax.Join():
                parts = [self.condition(part, known=known) for part in tree.operands]
                return pl.all_horizontal(parts) if tree.word == "and" else pl.any_horizontal(parts)
            case syntax.Not():
                return ~self.condition(tree.operand, known=known)
            case syntax.Compare():
                found = self._compare(tree)
                return found if not known and self._kind(tree.left) == "number" else found.fill_null(False)
            case syntax.In():
                found = self._contains(tree)
                return found if not known and self._kind(tree.item) == "number" else found.fill_null(False)
            case syntax.Column():
                kind = self._kind(tree)
                if kind != "boolean":
                    self._mismatch(f"`{tree.name}` is {_NAMES[kind]}, and a condition is true or false", tree)
                return pl.col(tree.name).fill_null(False)
            case syntax.Literal():
                return pl.lit(bool(tree.value))
            case syntax.Arithmetic() | syntax.Call():
                raise AssertionError("a condition is no value")

    def number(self, tree: syntax.Operand) -> pl.Expr:
        """The expression as numbers (64-bit floats); null where a value is missing or nothing finite comes out."""
        kind = self._kind(tree)
        if kind not in ("number", "null"):
            self._mismatch(f"a number is needed here, and this is {_NAMES[kind]}", tree)
        found = self._operand(tree).cast(pl.Float64, strict=False)
        return pl.when(found.is_finite()).then(found)

    def _reckoned(self, tree: syntax.Arithmetic | syntax.Call) -> Kind:
        operands = (tree.left, tree.right) if isinstance(tree, syntax.Arithmetic) else tree.arguments
        for operand in operands:
            kind = self._kind(operand)
            if kind not in ("number", "null"):
                self._mismatch(f"{_NAMES[kind]} cannot be reckoned with", operand)
        return "number"

    def _kind(self, operand: syntax.Operand, beside: Kind = "null") -> Kind:
        """The kind of an operand. A column that is not there may be a bare word beside a text."""
        if isinstance(operand, syntax.Column):
            if operand.name in self.columns:
                return self.columns[operand.name]
            place = self.place(operand.start, operand.end)
            require_column(self.frame, operand.name, self.findings, place, text_meant=beside == "text")
            return "null"
        if isinstance(operand, syntax.Arithmetic | syntax.Call):
            return self._reckoned(operand)
        match operand.value:
            case None:
                return "null"
            case bool():
                return "boolean"
            case str():
                return "text"
            case _:
                return "number"

    def _mismatch(self, headline: str, operand: syntax.Operand) -> None:
        self.findings.error("execute.column-type", headline, self.place(*syntax.extent(operand)))

    def _compare(self, tree: syntax.Compare) -> pl.Expr:
        left = self._kind(tree.left)
        right = self._kind(tree.right, beside=left)
        for side, other in ((tree.left, tree.right), (tree.right, tree.left)):
            if isinstance(side, syntax.Literal) and side.value is None:
                if tree.operator not in ("==", "!="):
                    self._mismatch("null compares only by `==` and `!=`", side)
                found = self._operand(other)
                return found.is_null() if tree.operator == "==" else found.is_not_null()
        if "null" not in (left, right):
            if left != right:
                self._mismatch(f"{_NAMES[left]} does not compare with {_NAMES[right]}", tree.right)
            elif left in ("texts", "numbers") or (left == "boolean" and tree.operator not in ("==", "!=")):
                self._mismatch(f"{_NAMES[left]} does not compare by `{tree.operator}`", tree.left)
        for side, other in ((tree.left, tree.right), (tree.right, tree.left)):
            if isinstance(side, syntax.Column) and isinstance(other, syntax.Literal) and tree.operator in ("==", "!="):
                labels = self.frame.schema.get(side.name)
                if isinstance(labels, pl.Enum) and isinstance(other.value, str):
                    return _is_label(side.name, labels, other.value, equal=tree.operator == "==")
        first, second = self._operand(tree.left), self._operand(tree.right)
        match tree.operator:
            case "==":
                return first == second
            case "!=":
                return first != second
            case "<":
                return first < second
            case "<=":
                return first <= second
            case ">":
                return first > second
            case ">=":
                return first >= second

    def _contains(self, tree: syntax.In) -> pl.Expr:
        kind = self._kind(tree.item)
        if isinstance(tree.options, syntax.Column):
            if self._kind(tree.options) not in ("texts", "null"):
                self._mismatch(f"`{tree.options.name}` is not a list", tree.options)
            elif kind not in ("text", "null"):
                self._mismatch(f"{_NAMES[kind]} is never text", tree.item)
            if self.findings.errors:
                return pl.lit(False)
            found = pl.col(tree.options.name).list.contains(self._operand(tree.item))
        else:
            for option in tree.options:
                if "null" not in (kind, self._kind(option)) and self._kind(option) != kind:
                    self._mismatch(f"{_NAMES[kind]} is never {_NAMES[self._kind(option)]}", option)
            # Null is in no list, as it equals nothing.
            given = [_plain(option.value) for option in tree.options if option.value is not None]
            found = pl.any_horizontal([self._operand(tree.item) == option for option in given] or [pl.lit(False)])
        return ~found.fill_null(False) if tree.negated else found

    def _operand(self, operand: syntax.Operand) -> pl.Expr:
        if isinstance(operand, syntax.Literal):
            return pl.lit(_plain(operand.value))
        if isinstance(operand, syntax.Arithmetic):
            left, right = (self._float(side) for side in (operand.left, operand.right))
            match operand.operator:
                case "+":
                    return left + right
                case "-":
                    return left - right
                case "*":
                    return left * right
                case "/":
                    return left / right
        if isinstance(operand, syntax.Call):
            return _called(operand.name, [self._float(argument) for argument in operand.arguments])
        column = pl.col(operand.name)
        # An enumeration compares as the text that it is.
        return column.cast(pl.String) if isinstance(self.frame.schema.get(operand.name), pl.Enum) else column

    def _float(self, operand: syntax.Operand) -> pl.Expr:
        return self._operand(operand).cast(pl.Float64, strict=False)


def _called(name: str, arguments: list[pl.Expr]) -> pl.Expr:
    first = arguments[0]
    match name:
        case "-":
            return -first
        case "abs":
            return first.abs()
        case "sqrt":
            return first.sqrt()
        case "min" | "max":
            # A missing value makes the whole missing; polars would pass over it.
            missing = pl.any_horizontal([argument.is_null() for argument in arguments])
            found = pl.min_horizontal(arguments) if name == "min" else pl.max_horizontal(arguments)
            return pl.when(~missing).then(found)
        case _:
            # The logarithm of a platform's library may differ in its last bit from another's.
            return first.map_batches(lambda values: _same_everywhere(name, values), return_dtype=pl.Float64)


def _same_everywhere(name: str, values: pl.Series) -> pl.Series:
    found = pl.Series(values.name, kernels.elementary(name, values.fill_null(float("nan")).to_numpy()))
    return found.set(values.is_null(), None)


def _is_label(name: str, labels: pl.Enum, value: str, *, equal: bool) -> pl.Expr:
    """Enumerations are compared by number; a text that is none of the values equals none of them."""
    same = pl.col(name) == pl.lit(value, dtype=labels) if value in labels.categories else pl.lit(False)
    return same if equal else pl.col(name).is_not_null() & ~same


def _plain(value: syntax.Value) -> bool | int | float | str | None:
    return float(value) if isinstance(value, Decimal) else value
