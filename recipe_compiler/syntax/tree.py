"""YAML with spans. Scalars are resolved by the core schema of YAML 1.2: `NO` is text and `1:30` is text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from recipe_compiler.diagnostics import Span

Scalar: TypeAlias = bool | int | Decimal | str | None


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A leaf. `text` is what was written, `plain` whether it stood without quotes."""

    value: Scalar
    text: str
    plain: bool
    span: Span


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping, where the key stands, and its value."""

    key: str
    key_span: Span
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping, in the order written."""

    entries: tuple[Entry, ...]
    span: Span

    def get(self, key: str) -> Entry | None:
        """The entry of a key."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


Node: TypeAlias = ScalarNode | ListNode | MapNode


def plain_value(node: Node) -> object:
    """The tree as Python values."""
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [plain_value(item) for item in node.items]
        case MapNode():
            return {entry.key: plain_value(entry.value) for entry in node.entries}
