"""What files hold: how their records are laid out, which samples they are, and pictures. A door to the Rust core beside
`kernels`.

A file that cannot be used raises `DataError`; a broken contract raises `KernelError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipe_compiler import _core, core
from recipe_compiler.kernels import I64, U8, U32, U64

unwrap = core.unwrap
_call = core.call

Json = Mapping[str, Any]


def json_text(value: Json) -> str:
    """A value as the core takes it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts that may be missing: text `i` is `data[offsets[i]:offsets[i + 1]]` (UTF-8) where `valid[i]`."""

    offsets: I64
    data: U8
    valid: U8


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A record that could not be used."""

    record: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One row for each sample of a record stream, in file order.

    `numbers` holds the numeric columns by name. `media` holds the paths of all samples in a row, `num_media[i]` of
    them for sample `i`. `columns` holds carried upstream values as text, with a mask of the kinds of values seen:
    1 boolean, 2 integer, 4 float, 8 text, 16 list or object (as JSON).
    """

    numbers: Mapping[str, U64 | U32]
    keys: Texts
    media: Texts
    columns: Mapping[str, tuple[Texts, int]]
    malformed: Sequence[Malformed]


def wrapping(path: Path) -> str:
    """`plain`, `gzip`, `zstd` or `parquet`, by the file's first bytes. A zip or a pickle raises."""
    return _call(_core.wrapping, path)


def check_table(path: Path) -> None:
    """Raises if a table that is to be read as a whole (Parquet, or lines of text) would take memory out of proportion."""
    _call(_core.check_table, path)


def layout(name: str, stream: Path, *, hint: Json, preset: str, fields: Json) -> Json:
    """How the records of a stream are laid out. `name` tells CSV from TSV; everything else is told by content."""
    found: Json = json.loads(_call(_core.layout, name, stream, json_text(hint), preset, json_text(fields)))
    return found


def detect(stream: Path, *, layout: Json, preset: str, fields: Json) -> tuple[str, Json, str]:
    """(preset, complete mapping, why) from the first 64 records of a stream. No fit raises with what was seen."""
    name, mapping, why = _call(_core.detect, stream, json_text(layout), preset, json_text(fields))
    return name, json.loads(mapping), why


def index(stream: Path, *, layout: Json, fields: Json) -> Index:
    """Indexes a record stream in parallel. What was read does not stay in memory, however large the file."""
    found: dict[str, Any] = dict(_call(_core.index, stream, json_text(layout), json_text(fields)))
    columns = {name: (Texts(**texts), seen) for name, (texts, seen) in found.pop("columns").items()}
    malformed = [Malformed(record=r, offset=o, reason=why) for r, o, why in found.pop("malformed")]
    keys, media = Texts(**found.pop("keys")), Texts(**found.pop("media"))
    return Index(numbers=found, keys=keys, media=media, columns=columns, malformed=malformed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleParts:
    """One sample: its id (16 bytes), its canonical form, and the media embedded in its record."""

    sample_id: bytes
    content: dict[str, Any]
    blobs: list[bytes]


class Mapper:
    """Reads records of one layout through one mapping, by the same code that indexed them."""

    def __init__(self, *, layout: Json, fields: Json) -> None:
        self._mapper = _core.Mapper(json_text(layout), json_text(fields))

    def sample(self, record: bytes) -> SampleParts:
        """The sample of one record's bytes. A record that cannot be read raises `DataError`."""
        sample_id, content, blobs = _call(self._mapper.sample, record)
        return SampleParts(sample_id=sample_id, content=json.loads(content), blobs=blobs)

    def facts(self, record: bytes) -> Json:
        """What an answer to a record is judged by: `answers` (all that are accepted; none where the record is a
        conversation), `options` (pairs of letter and text), `columns` (the carried ones, as text or None).

        A record that cannot be read raises `DataError`.
        """
        facts: Json = json.loads(_call(self._mapper.facts, record))
        return facts


def ordinary_jpeg(data: bytes | memoryview) -> tuple[int, int] | None:
    """(height, width) of a JPEG that all decoders built on libjpeg read alike, by its headers; None of any other file."""
    return _core.ordinary_jpeg(np.frombuffer(data, dtype=np.uint8))


def plain_jpegs(pictures: Iterable[tuple[bytes | memoryview, U8]]) -> list[bool]:
    """Decodes plain JPEGs, each into memory of its shape, height x width x 3, and tells which of them were plain.

    Their pixels are those of libjpeg, bit for bit. What is cut, damaged or only strange is not plain: baseline, Huffman's
    codes and one scan are. Memory of what was not plain may hold anything.
    """
    return _core.plain_jpegs([(np.frombuffer(data, dtype=np.uint8), pixels) for data, pixels in pictures])


def prove(record: bytes, members: Sequence[bytes]) -> str:
    """The `proof` (32 hexadecimal digits) that belongs into a record that states its sample; `members` are its media."""
    return _core.prove(record, list(members)).hex()


def wording(stream: Path, *, layout: Json, fields: Json) -> Mapping[str, U64 | U32]:
    """What goal-driven selection asks of texts, for each sample that `index` has, in the same order.

    `question_words`, `answer_words` and `answer_distinct` are counts of runs of `[A-Za-z0-9_]`, distinct ones inside each
    answer; bits of `marks`: 1 the question speaks of time, 2 it offers choices, 4 there is one, 8 there is an answer;
    `text` and `shown` are hashes of all that is said, and of the first video or else the first picture.
    """
    return _call(_core.wording, stream, json_text(layout), json_text(fields))
