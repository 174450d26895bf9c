"""Expressions: text -> a small typed tree. Parsed, never evaluated as code.

    expression  = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | comparison
    comparison  = sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=") sum | ["not"] "in" (list | column) ]
    sum         = product { ("+" | "-") product }
    product     = factor { ("*" | "/") factor }
    factor      = "-" factor | operand
    operand     = column | function "(" sum { "," sum } ")" | number | "text" | true | false | null | "(" expression ")"

A column is a name or dotted name (`tokens`, `capability.ocr`). `"web" in tags` asks a list column. A missing value
compares as false; ask for it with `== null`. Functions are `abs`, `sqrt`, `log`, `exp`, `min` and `max`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal as OneOf
from typing import TypeAlias

Value: TypeAlias = bool | int | Decimal | str | None
Operator: TypeAlias = OneOf["==", "!=", "<", "<=", ">", ">="]

MAX_LENGTH = 4096
MAX_DEPTH = 32
MAX_SIGNS = 100


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


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left operator right`, numbers."""

    operator: OneOf["+", "-", "*", "/"]
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`; `-x` is the function `-`. `start` and `end` are where the name stands."""

    name: str
    arguments: tuple[Operand, ...]
    start: int
    end: int


Operand: TypeAlias = "Column | Literal | Arithmetic | Call"
Expression: TypeAlias = "Operand | Compare | In | Not | Join"

#: How many arguments a function takes: at least, at most.
FUNCTIONS: dict[str, tuple[int, int]] = {
    "abs": (1, 1),
    "sqrt": (1, 1),
    "log": (1, 1),
    "exp": (1, 1),
    "min": (2, 8),
    "max": (2, 8),
}


#: How closely operators bind.
_BINDS = {"+": 0, "-": 0, "*": 1, "/": 1}


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
        (?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?)
      | (?P<string>"(?:[^"\\]|\\.)*"|'[^']*')
      | (?P<operator>==|!=|<=|>=|<|>)
      | (?P<sign>[-+*/])
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
    """The tree of a condition. Raises `ExpressionError`."""
    return _condition(_Parser(_bounded(text)).whole())


def parse_score(text: str) -> Operand:
    """The tree of an expression that gives a number, such as `0.5 * quality + log(tokens)`. Raises `ExpressionError`."""
    found = _Parser(_bounded(text)).whole()
    if isinstance(found, Compare | In | Not | Join):
        raise ExpressionError("this is a condition, and a number is needed", *extent(found))
    return found


def _condition(found: Expression) -> Expression:
    if isinstance(found, Arithmetic | Call) or (isinstance(found, Literal) and not isinstance(found.value, bool)):
        raise ExpressionError("a value alone is no condition", *extent(found))
    return found


def _bounded(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", 0, 1)
    return text


def extent(expression: Expression) -> tuple[int, int]:
    """Where an expression stands in its text."""
    match expression:
        case Column() | Literal():
            return expression.start, expression.end
        case Call():
            inside = [extent(argument) for argument in expression.arguments]
            return expression.start, max(expression.end, *(end for _, end in inside))
        case Compare() | Arithmetic():
            return extent(expression.left)[0], extent(expression.right)[1]
        case In():
            return extent(expression.item)
        case Not():
            return extent(expression.operand)
        case Join():
            return extent(expression.operands[0])[0], extent(expression.operands[-1])[1]


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0
        self.depth = 0
        self.num_signs = 0

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
        return operands[0] if len(operands) == 1 else Join(word, tuple(map(_condition, operands)))

    def disjunction(self) -> Expression:
        self.deeper()
        found = self.joined("or")
        self.depth -= 1
        return found

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError(f"nested more than {MAX_DEPTH} deep", 0, 1)

    def conjunction(self) -> Expression:
        return self.joined("and")

    def negation(self) -> Expression:
        negated = 0
        while self.peek("not"):
            self.next()
            negated += 1
        found = self.comparison()
        if negated:
            _condition(found)
        return Not(found) if negated % 2 else found

    def comparison(self) -> Expression:
        left = self.sum()
        if self.kind == "operator":
            start = self.tokens[self.at].start
            operator = self.next().text
            return Compare(operator, self.value(left, start), self.value(self.sum(), start))  # type: ignore[arg-type]
        if not self.peek("not", "in"):
            return left
        negated = self.peek("not")
        start = self.next().start
        if negated:
            self.expect("in")
        return In(self.value(left, start), self.options(), negated)

    def value(self, found: Expression, start: int) -> Operand:
        """What is compared or computed with is a value, no condition."""
        if isinstance(found, Compare | In | Not | Join):
            raise ExpressionError("a condition cannot be compared or computed with", start, start + 1)
        return found

    def sum(self) -> Expression:
        return self.reckoned(self.product, "+", "-")

    def product(self) -> Expression:
        return self.reckoned(self.factor, "*", "/")

    def reckoned(self, part: Callable[[], Expression], *signs: str) -> Expression:
        found = part()
        while self.kind == "sign" and self.peek(*signs):
            token = self.next()
            self.num_signs += 1
            if self.num_signs > MAX_SIGNS:
                raise ExpressionError(f"computes more than {MAX_SIGNS} times", token.start, token.end)
            right = self.value(part(), token.start)
            found = Arithmetic(token.text, self.value(found, token.start), right)  # type: ignore[arg-type]
        return found

    def factor(self) -> Expression:
        if self.kind == "sign" and self.peek("-"):
            token = self.next()
            self.deeper()
            negated = self.value(self.factor(), token.start)
            self.depth -= 1
            if isinstance(negated, Literal) and isinstance(negated.value, int | Decimal):
                return Literal(-negated.value, token.start, negated.end)
            return Call("-", (negated,), token.start, token.end)
        if self.peek("("):
            self.next()
            inner = self.disjunction()
            self.expect(")")
            return inner
        return self.operand()

    def call(self, name: _Token) -> Call:
        if name.text not in FUNCTIONS:
            raise ExpressionError(f"there is no function `{name.text}`", name.start, name.end)
        self.expect("(")
        self.deeper()
        arguments = [self.value(self.sum(), name.start)]
        while self.peek(","):
            self.next()
            arguments.append(self.value(self.sum(), name.start))
        self.expect(")")
        self.depth -= 1
        least, most = FUNCTIONS[name.text]
        if not least <= len(arguments) <= most:
            takes = str(least) if least == most else f"{least} to {most}"
            raise ExpressionError(f"`{name.text}` takes {takes}, not {len(arguments)}", name.start, name.end)
        return Call(name.text, tuple(arguments), name.start, name.end)

    def options(self) -> tuple[Literal, ...] | Column:
        if not self.peek("["):
            operand = self.operand()
            if not isinstance(operand, Column):
                raise ExpressionError('`in` takes a list such as ["a", "b"]', *extent(operand))
            return operand
        self.next()
        options: list[Literal] = []
        while not self.peek("]"):
            if options:
                self.expect(",")
            option = self.factor()
            if not isinstance(option, Literal):
                meant = f'; write "{option.name}" if text was meant' if isinstance(option, Column) else ""
                raise ExpressionError(f"a list holds values{meant}", *extent(option))
            options.append(option)
        self.next()
        return tuple(options)

    def operand(self) -> Operand:
        if self.kind in ("end", "operator", "sign", "mark") or (self.kind == "keyword" and not self.peek(*_CONSTANTS)):
            raise self.fail("a column or a value")
        token = self.next()
        match token.kind:
            case "number":
                number: Value = int(token.text) if token.text.isdigit() else Decimal(token.text)
                return Literal(number, token.start, token.end)
            case "string":
                body = token.text[1:-1]
                if token.text[0] == '"':
                    body = re.sub(r"\\(.)", r"\1", body)
                return Literal(body, token.start, token.end)
            case "keyword":
                return Literal(_CONSTANTS[token.text], token.start, token.end)
            case _:
                return self.call(token) if self.peek("(") else Column(token.text, token.start, token.end)


def columns(expression: Expression) -> Iterator[Column]:
    """Every column an expression names, in order."""
    match expression:
        case Column():
            yield expression
        case Literal():
            pass
        case Compare() | Arithmetic():
            yield from columns(expression.left)
            yield from columns(expression.right)
        case Call():
            for argument in expression.arguments:
                yield from columns(argument)
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
    """One text for one meaning of the same words: how an expression enters a digest and a report.

    It has no brackets but those it needs, so that it nests no deeper than what was read, and can be read again.
    """
    match expression:
        case Column():
            return expression.name
        case Literal(value=value):
            return _canonical_value(value)
        case Compare():
            return f"{canonical(expression.left)} {expression.operator} {canonical(expression.right)}"
        case Arithmetic():
            binds = _BINDS[expression.operator]
            left, right = _bracketed(expression.left, binds), _bracketed(expression.right, binds + 1)
            return f"{left} {expression.operator} {right}"
        case Call(name="-"):
            return f"-{_bracketed(expression.arguments[0], max(_BINDS.values()) + 1)}"
        case Call():
            return f"{expression.name}({', '.join(map(canonical, expression.arguments))})"
        case In():
            word = "not in" if expression.negated else "in"
            options = expression.options
            listed = options.name if isinstance(options, Column) else f"[{', '.join(map(canonical, options))}]"
            return f"{canonical(expression.item)} {word} {listed}"
        case Not():
            operand = canonical(expression.operand)
            return f"not ({operand})" if isinstance(expression.operand, Join | Not) else f"not {operand}"
        case Join():
            parts = (
                f"({canonical(part)})" if isinstance(part, Join) else canonical(part) for part in expression.operands
            )
            return f" {expression.word} ".join(parts)


def _bracketed(operand: Operand, binds: int) -> str:
    """An operand, in brackets if it is computed by what binds less."""
    less = isinstance(operand, Arithmetic) and _BINDS[operand.operator] < binds
    return f"({canonical(operand)})" if less else canonical(operand)


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
