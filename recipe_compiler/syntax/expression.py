"""Filter expressions: text -> a small typed tree. Parsed, never evaluated as code.

    expression  = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | comparison
    comparison  = operand [ ("==" | "!=" | "<" | "<=" | ">" | ">=") operand | ["not"] "in" (list | column) ]
    operand     = column | number | "text" | true | false | null | "(" expression ")"

A column is a name or dotted name (`tokens`, `capability.ocr`). `"web" in tags` asks a list column. A missing value
compares as false; ask for it with `== null`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal as OneOf
from typing import TypeAlias

Value: TypeAlias = bool | int | Decimal | str | None
Operator: TypeAlias = OneOf["==", "!=", "<", "<=", ">", ">="]

MAX_LENGTH = 4096
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Column:
    """A column by name; `start` and `end` are where it stands in the text."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written out."""

    value: Value
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`."""

    operator: Operator
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class In:
    """`item in options`, where options are written out or are a list column."""

    item: Operand
    options: tuple[Literal, ...] | Column
    negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """`not operand`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Join:
    """Operands joined by `and` or by `or`."""

    word: OneOf["and", "or"]
    operands: tuple[Expression, ...]


Operand: TypeAlias = Column | Literal
Expression: TypeAlias = Column | Literal | Compare | In | Not | Join


class ExpressionError(ValueError):
    """The text is no expression; `start` and `end` say where, `mended` what should stand there, if that is known."""

    def __init__(self, reason: str, start: int, end: int, mended: str | None = None) -> None:
        super().__init__(reason)
        self.mended = mended
        self.reason = reason
        self.start = start
        self.end = end


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?)
      | (?P<string>"(?:[^"\\]|\\.)*"|'[^']*')
      | (?P<operator>==|!=|<=|>=|<|>)
      | (?P<mark>[()\[\],])
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_0-9]+)*)
    )""",
    re.VERBOSE,
)
#: What other languages write, and what is written here.
_MEANT = {"=": "==", "&": "and", "&&": "and", "|": "or", "||": "or", "!": "not ", "<>": "!="}
_KEYWORDS = frozenset({"and", "or", "not", "in", "true", "false", "null"})
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            written = next((word for word in (text[start : start + 2], text[start]) if word in _MEANT), text[start])
            end, meant = start + len(written), _MEANT.get(written)
            reason = f"`{written}` is not expected" + (f"; write `{meant.strip()}`" if meant else "")
            raise ExpressionError(reason, start, end, meant)
        group = match.lastgroup or ""
        token = match.group(group)
        kind = "keyword" if group == "name" and token in _KEYWORDS else group
        yield _Token(kind, token, match.start(group), match.end(group))
        at = match.end()


def parse_expression(text: str) -> Expression:
    """The tree of an expression. Raises `ExpressionError`."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", 0, 1)
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0
        self.depth = 0

    def peek(self, *texts: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].text in texts and self.kind != "string"

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind if self.at < len(self.tokens) else "end"

    def next(self) -> _Token:
        if self.at == len(self.tokens):
            end = len(self.text)
            raise ExpressionError("the expression ends too early", max(end - 1, 0), end)
        self.at += 1
        return self.tokens[self.at - 1]

    def fail(self, wanted: str) -> ExpressionError:
        if self.at == len(self.tokens):
            end = len(self.text)
            return ExpressionError(f"{wanted} is missing at the end", max(end - 1, 0), end)
        token = self.tokens[self.at]
        return ExpressionError(f"`{token.text}` where {wanted} should be", token.start, token.end)

    def expect(self, text: str) -> _Token:
        if not self.peek(text):
            raise self.fail(f"`{text}`")
        return self.next()

    def whole(self) -> Expression:
        found = self.disjunction()
        if self.at < len(self.tokens):
            raise self.fail("`and`, `or` or the end")
        return found

    def joined(self, word: OneOf["and", "or"]) -> Expression:
        part = self.conjunction if word == "or" else self.negation
        operands = [part()]
        while self.peek(word):
            self.next()
            operands.append(part())
        return operands[0] if len(operands) == 1 else Join(word, tuple(operands))

    def disjunction(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError(f"nested more than {MAX_DEPTH} deep", 0, 1)
        found = self.joined("or")
        self.depth -= 1
        return found

    def conjunction(self) -> Expression:
        return self.joined("and")

    def negation(self) -> Expression:
        negated = 0
        while self.peek("not"):
            self.next()
            negated += 1
        found = self.comparison()
        return Not(found) if negated % 2 else found

    def comparison(self) -> Expression:
        if self.peek("("):
            self.next()
            inner = self.disjunction()
            self.expect(")")
            return inner
        left = self.operand()
        if self.kind == "operator":
            operator = self.next().text
            return Compare(operator, left, self.operand())  # type: ignore[arg-type]
        negated = self.peek("not")
        if negated:
            self.next()
            self.expect("in")
        elif self.peek("in"):
            self.next()
        else:
            if isinstance(left, Literal) and not isinstance(left.value, bool):
                raise ExpressionError("a value alone is no condition", left.start, left.end)
            return left
        return In(left, self.options(), negated)

    def options(self) -> tuple[Literal, ...] | Column:
        if not self.peek("["):
            operand = self.operand()
            if isinstance(operand, Literal):
                raise ExpressionError('`in` takes a list such as ["a", "b"]', operand.start, operand.end)
            return operand
        self.next()
        options: list[Literal] = []
        while not self.peek("]"):
            if options:
                self.expect(",")
            operand = self.operand()
            if isinstance(operand, Column):
                reason = f'a list holds values; write "{operand.name}" if text was meant'
                raise ExpressionError(reason, operand.start, operand.end)
            options.append(operand)
        self.next()
        return tuple(options)

    def operand(self) -> Operand:
        if self.kind in ("end", "operator", "mark") or (self.kind == "keyword" and not self.peek(*_CONSTANTS)):
            raise self.fail("a column or a value")
        token = self.next()
        match token.kind:
            case "number":
                number: Value = int(token.text) if token.text.lstrip("-").isdigit() else Decimal(token.text)
                return Literal(number, token.start, token.end)
            case "string":
                body = token.text[1:-1]
                if token.text[0] == '"':
                    body = re.sub(r"\\(.)", r"\1", body)
                return Literal(body, token.start, token.end)
            case "keyword":
                return Literal(_CONSTANTS[token.text], token.start, token.end)
            case _:
                return Column(token.text, token.start, token.end)


def columns(expression: Expression) -> Iterator[Column]:
    """Every column an expression names, in order."""
    match expression:
        case Column():
            yield expression
        case Literal():
            pass
        case Compare():
            yield from columns(expression.left)
            yield from columns(expression.right)
        case In():
            yield from columns(expression.item)
            if isinstance(expression.options, Column):
                yield expression.options
        case Not():
            yield from columns(expression.operand)
        case Join():
            for operand in expression.operands:
                yield from columns(operand)


def canonical(expression: Expression) -> str:
    """One text for one meaning of the same words: how an expression enters a digest and a report."""
    match expression:
        case Column():
            return expression.name
        case Literal(value=value):
            return _canonical_value(value)
        case Compare():
            return f"{canonical(expression.left)} {expression.operator} {canonical(expression.right)}"
        case In():
            word = "not in" if expression.negated else "in"
            options = expression.options
            listed = options.name if isinstance(options, Column) else f"[{', '.join(map(canonical, options))}]"
            return f"{canonical(expression.item)} {word} {listed}"
        case Not():
            return f"not ({canonical(expression.operand)})"
        case Join():
            parts = (
                f"({canonical(part)})" if isinstance(part, Join) else canonical(part) for part in expression.operands
            )
            return f" {expression.word} ".join(parts)


def _canonical_value(value: Value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case _:
            return str(value)
