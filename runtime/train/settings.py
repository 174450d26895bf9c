"""One mapping of a config: each setting is taken once and checked, and what nobody took is told."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from recipe_compiler.diagnostics import Edit, Findings, Span
from recipe_compiler.syntax.tree import ListNode, MapNode, Node, ScalarNode

Word = TypeVar("Word", bound=str)


class Settings:
    """The settings of a mapping, or of none where it is `missing`. Mistakes go to `findings`, and take the default."""

    def __init__(self, node: MapNode, where: str, folder: Path, findings: Findings, *, missing: bool = False) -> None:
        self.node, self.where, self.folder, self.findings = node, where, folder, findings
        self.missing = missing
        self._taken: list[str] = []

    def span(self, key: str) -> Span:
        """Where the value of a setting stands; the whole mapping where there is none."""
        entry = self.node.get(key)
        return self._first_line() if entry is None else entry.value.span

    def key_span(self, key: str) -> Span:
        """Where the name of a setting stands."""
        entry = self.node.get(key)
        return self._first_line() if entry is None else entry.key_span

    def names(self) -> list[str]:
        """The names there are, where any name may be."""
        return [entry.key for entry in self.node]

    def part(self, key: str, *, needed: bool = False) -> Settings:
        """A mapping inside this one."""
        where = f"{self.where}.{key}" if self.where else key
        node = self._take(key, needed=needed)
        if isinstance(node, MapNode):
            return Settings(node, where, self.folder, self.findings)
        if node is not None:
            self._wrong(key, "settings were expected")
        return Settings(MapNode((), self._first_line()), where, self.folder, self.findings, missing=True)

    def whole(self, key: str, default: int | None, *, least: int = 1) -> int | None:
        """A whole number of at least `least`; needed where the default is None."""
        value = self._scalar(key, needed=default is None)
        if value is None:
            return default
        if type(value) is not int:
            self._wrong(key, "a whole number was expected")
            return default
        if value < least:
            self._wrong(key, f"at least {least} is needed")
            return default
        return value

    def number(self, key: str, default: float | None) -> float | None:
        """A number that is not negative; needed where the default is None."""
        value = self._scalar(key, needed=default is None)
        if value is None:
            return default
        if type(value) not in (int, Decimal):
            self._wrong(key, "a number was expected")
            return default
        if value < 0:
            self._wrong(key, "it cannot be negative")
            return default
        return float(value)

    def count_or_share(self, key: str) -> int | Fraction:
        """A count, or a share as `3%`; 0 unless given."""
        value = self._scalar(key)
        if value is None:
            return 0
        if type(value) is int and value >= 0:
            return value
        try:
            share = Fraction(value[:-1]) / 100 if isinstance(value, str) and value.endswith("%") else None
        except ValueError:
            share = None
        if share is None or not 0 <= share <= 1:
            self._wrong(key, "a count, or a share such as `3%` was expected")
            return 0
        return share

    def flag(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        value = self._scalar(key)
        if value is not None and type(value) is not bool:
            self._wrong(key, "`true` or `false` was expected")
        return value if type(value) is bool else default

    def choice(self, key: str, known: Sequence[Word]) -> Word:
        """One of several words; the first unless given."""
        value = self._scalar(key)
        if value is None:
            return known[0]
        if self._is_known(value, known, self.span(key), key):
            return known[known.index(value)]
        return known[0]

    def texts(self, key: str, known: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of texts, of which each is one of the known ones where those are given."""
        node = self._take(key)
        if node is None:
            return ()
        items = node.items if isinstance(node, ListNode) else (node,)
        found = []
        for item in items:
            if not isinstance(item, ScalarNode) or not isinstance(item.value, str):
                self._wrong(key, "a list of words was expected")
            elif known is None or self._is_known(item.value, known, item.span, key):
                found.append(item.value)
        return tuple(found)

    def path(self, key: str, *, needed: bool = True) -> Path | None:
        """A local path, relative to the config's folder."""
        value = self._scalar(key, needed=needed)
        if value is None:
            return None
        if not isinstance(value, str) or not value or "\0" in value:
            self._wrong(key, "a path was expected", code="model.path")
            return None
        if "://" in value:
            self._wrong(key, "a local path was expected, and this is remote", code="model.path")
            return None
        return self.folder / value

    def close(self) -> None:
        """Tells what nobody took."""
        if self.missing:
            return
        for entry in self.node:
            if entry.key in self._taken:
                continue
            known = [name for name in self._taken if self.node.get(name) is None]
            meant = next(iter(difflib.get_close_matches(entry.key, known, n=1, cutoff=0.6)), None)
            path = f"{self.where}.{entry.key}" if self.where else entry.key
            listed = ", ".join(f"`{name}`" for name in sorted(self._taken))
            self.findings.error(
                "model.unknown-field",
                f"`{path}` is not a setting",
                entry.key_span,
                help=f"did you mean `{meant}`?" if meant else f"known here: {listed}",
                mended=Edit(entry.key_span, meant) if meant else None,
            )

    def _first_line(self) -> Span:
        span = self.node.span
        end = span.source.text.find("\n", span.start, span.end)
        return span if end < 0 else Span(span.source, span.start, max(end, span.start + 1))

    def _take(self, key: str, *, needed: bool = False) -> Node | None:
        if key not in self._taken:
            self._taken.append(key)
        entry = self.node.get(key)
        if entry is None and needed and not self.missing:
            inside = f" in `{self.where}`" if self.where else ""
            headline = f"`{key}` is missing{inside}"
            self.findings.error("model.missing-field", headline, self._first_line(), help=f"add `{key}:`")
        return None if entry is None else entry.value

    def _scalar(self, key: str, *, needed: bool = False) -> Any:
        node = self._take(key, needed=needed)
        if node is None:
            return None
        if not isinstance(node, ScalarNode) or node.value is None:
            self._wrong(key, "one value was expected")
            return None
        return node.value

    def _is_known(self, value: object, known: Sequence[str], span: Span, key: str) -> bool:
        if value in known:
            return True
        path = f"{self.where}.{key}" if self.where else key
        meant = next(iter(difflib.get_close_matches(str(value), known, n=1, cutoff=0.6)), None)
        self.findings.error(
            "model.wrong-type",
            f"`{path}`: `{value}` is none of {', '.join(known)}",
            span,
            help=f"did you mean `{meant}`?" if meant else "",
            mended=Edit(span, meant) if meant else None,
        )
        return False

    def _wrong(self, key: str, reason: str, *, code: str = "model.wrong-type") -> None:
        path = f"{self.where}.{key}" if self.where else key
        self.findings.error(code, f"`{path}`: {reason}", self.span(key))
