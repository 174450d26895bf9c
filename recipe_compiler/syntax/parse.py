"""`parse`: the text of a recipe -> its tree. The only room of the YAML library.

The tree is built from the events of libyaml (which reads `{level: level?}` as YAML 1.2 does), so an alias is refused
before anything could grow from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import yaml

from recipe_compiler.diagnostics import Findings, Place, SourceText, Span
from recipe_compiler.syntax.tree import Entry, ListNode, MapNode, Node, Scalar, ScalarNode

MAX_DEPTH = 24
#: Keys, lists and values together: ten thousand pools with a few settings each.
MAX_NODES = 1 << 16

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


def parse(source: SourceText, findings: Findings) -> MapNode | None:
    """The tree, or None where the text has none."""
    try:
        node = _Builder(source, findings).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = min(mark.index, max(len(source.text) - 1, 0)) if mark else 0
        reason = error.problem or error.context or "not YAML"
        findings.error("syntax.yaml", f"not YAML: {reason}", Span(source, at, at + 1))
        return None
    except yaml.reader.ReaderError as error:
        findings.error("syntax.yaml", f"not YAML: {error.reason}", Span(source, 0, 1))
        return None
    if node is None:
        return None
    if not isinstance(node, MapNode):
        findings.error("syntax.shape", "a recipe is a mapping of keys to values", node.span)
        return None
    return node


class _Builder:
    def __init__(self, source: SourceText, findings: Findings) -> None:
        self.source = source
        self.findings = findings
        self.num_nodes = 0
        self.events: Iterator[yaml.Event] = iter(yaml.parse(source.text, Loader=yaml.CSafeLoader))

    def document(self) -> Node | None:
        found: Node | None = None
        started = False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if started:
                    headline, way_out = "a recipe is one document", "put each recipe in a file of its own"
                    self.findings.error("syntax.shape", headline, self.span(event), help=way_out)
                    return None
                started = True
                found = self.node(next(self.events), 0)
        if not started:
            self.findings.error("syntax.shape", "the recipe is empty", Span(self.source, 0, 0))
        return found

    def span(self, event: yaml.Event) -> Span:
        return _between(self.source, event, event)

    def node(self, event: yaml.Event, depth: int) -> Node | None:
        """The node an event begins, or None where it is no part of the language (and was reported)."""
        self.num_nodes += 1
        if self.num_nodes > MAX_NODES:
            way_out = "share settings with `extends`, or name many files with one pattern"
            self.findings.error("syntax.shape", f"more than {MAX_NODES:,} values", self.span(event), help=way_out)
            self.findings.stop_if_errors()
        if depth > MAX_DEPTH:
            self.findings.error("syntax.depth", f"nested more than {MAX_DEPTH} deep", self.span(event))
            self.findings.stop_if_errors()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self.findings.error(
                "syntax.anchor",
                "anchors and aliases are not part of the language",
                self.span(event),
                help="write the value out, or share settings with `extends`",
            )
        if tag := getattr(event, "tag", None):
            self.findings.error("syntax.tag", f"the tag `{tag}` is not part of the language", self.span(event))
        match event:
            case yaml.ScalarEvent():
                plain = not event.style
                value: Scalar = _resolve(event.value) if plain else event.value
                return ScalarNode(value, event.value, plain, self.span(event))
            case yaml.SequenceStartEvent():
                return self.sequence(event, depth)
            case yaml.MappingStartEvent():
                return self.mapping(event, depth)
        return None

    def sequence(self, start: yaml.Event, depth: int) -> ListNode:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            if (item := self.node(event, depth + 1)) is not None:
                items.append(item)
        return ListNode(tuple(items), _between(self.source, start, event))

    def mapping(self, start: yaml.Event, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if not isinstance(key, ScalarNode):
                self.findings.error("syntax.shape", "a key must be plain text", self.span(event))
                continue
            if key.text == "<<" and key.plain:
                self.findings.error("syntax.anchor", "merge keys are not part of the language", key.span)
                continue
            if (first := entries.get(key.text)) is not None:
                self.findings.error(
                    "syntax.duplicate-key",
                    f"`{key.text}` is given twice",
                    key.span,
                    label="given again",
                    places=[Place(first.key_span, "first given here")],
                    help="keep one of the two",
                )
                continue
            if value is not None:
                entries[key.text] = Entry(key.text, key.span, value)
        return MapNode(tuple(entries.values()), _between(self.source, start, event))


def _between(source: SourceText, first: yaml.Event, last: yaml.Event) -> Span:
    assert first.start_mark is not None
    assert last.end_mark is not None
    return Span(source, first.start_mark.index, last.end_mark.index)


def _resolve(text: str) -> Scalar:
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text) and len(text) < 40:
        return int(text)
    if _HEX.fullmatch(text) and len(text) < 40:
        return int(text, 16)
    if _DECIMAL.fullmatch(text) and len(text) < 80:
        return Decimal(text)
    return text
