"""A sample of a batch that was read ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from recipe_compiler.threads import ReadBatch, filled, parted
from runtime.readahead.fetch import Failed
from runtime.reader import Reader, Rows
from runtime.sample import Media, Sample

#: What `Reader.of_row` asks of a row.
_COLUMNS = ("sample_id", "pool", "stage", "rule", "repeat", "tokens", "unit")


class Shared:
    """What the samples of a batch have in common."""

    __slots__ = ("batch", "columns", "positions", "reader", "rows")

    def __init__(self, reader: Reader, positions: Sequence[int], rows: Rows, batch: ReadBatch) -> None:
        self.reader = reader
        self.positions = positions
        self.rows = rows
        self.batch = batch
        self.columns: dict[str, list[Any]] = {}

    def facts(self, place: int) -> dict[str, Any]:
        """What the row says."""
        if not self.columns:
            self.columns = {name: self.rows[name].tolist() for name in _COLUMNS}
        row = {name: column[place] for name, column in self.columns.items()}
        return self.reader.of_row(row, self.positions[place])

    def content(self, place: int) -> dict[str, Any]:
        """What the record says."""
        content = self.batch.content(place)
        return {name: content[name] for name in ("key", "messages", "tools")}


_FROM_CONTENT = frozenset({"key", "messages", "tools"})
_FROM_ROW = frozenset({"position", "sample_id", "pool", "group", "stage", "rule", "repeat", "tokens", "unit"})


class SampleAhead(Sample):
    """A `Sample` whose content becomes Python objects when somebody looks: what nobody asks for costs nothing.

    A slot that was not filled is asked for here, and filled. Media are there at once, for nearly all who read look at them.
    """

    __slots__ = ("_place", "_shared")
    _place: int
    _shared: Shared

    def __getattr__(self, name: str) -> Any:
        if name in _FROM_ROW:
            found = self._shared.facts(self._place)
        elif name in _FROM_CONTENT:
            found = self._shared.content(self._place)
        else:
            raise AttributeError(name)
        for field, value in found.items():
            object.__setattr__(self, field, value)
        return found[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sample) and _values(self) == _values(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _sample, (_values(self),)


def ahead(shared: Shared, count: int) -> list[Sample | Failed]:
    """The samples of a batch. Nothing is made of them yet but their places and their media."""
    kinds, names, data, ends = shared.batch.media()
    paths = [None if name is None else Path(name) for name in names]
    sha256 = [None if path is None else shared.reader.digest_of(path) for path in paths]
    nothing = [None] * len(kinds)
    made = filled(Media, kind=kinds, path=paths, data=data, url=nothing, files=nothing, decoded=nothing, sha256=sha256)
    nothing = [None] * count
    places = [*range(count)]
    return [*filled(SampleAhead, _shared=[shared] * count, _place=places, tombstone=nothing, media=parted(made, ends))]


def _values(sample: Sample) -> dict[str, Any]:
    return {field.name: getattr(sample, field.name) for field in fields(Sample)}


def _sample(values: dict[str, Any]) -> Sample:
    return Sample(**values)
