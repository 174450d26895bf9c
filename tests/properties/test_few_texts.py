"""Texts of few values are kept as numbers in an index, and every table of them says what the texts themselves would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from recipe_compiler import scanning, table
from recipe_compiler.diagnostics import Findings, Span
from recipe_compiler.execute import frames
from recipe_compiler.execute.expressions import Lowering, holds
from recipe_compiler.execute.pools import parts
from recipe_compiler.resolve import columns
from recipe_compiler.resolve.index import FileIndex, keep, read_table
from recipe_compiler.syntax.expression import parse_expression
from tests.properties.test_occurrence import pool_of

_TEXT = st.one_of(
    st.none(), st.sampled_from(["", "a", "b", "(none)", "a text longer than a view holds", "é"]), st.text()
)
_FILES = st.lists(st.lists(_TEXT, max_size=12), min_size=1, max_size=3)


def _table(values: list[str | None]) -> pa.Table:
    """The index of samples that carry these texts."""
    given = [(value or "").encode() for value in values]
    offsets = np.cumsum([0, *map(len, given)], dtype=np.int64)
    data = np.frombuffer(b"".join(given), dtype=np.uint8)
    texts = scanning.Texts(
        offsets=offsets, data=data, valid=np.array([value is not None for value in values], dtype=np.uint8)
    )
    nothing = scanning.Texts(
        offsets=np.zeros(len(values) + 1, dtype=np.int64), data=data[:0], valid=np.zeros(len(values), dtype=np.uint8)
    )
    wide = dict.fromkeys(("id_high", "id_low"), np.arange(len(values), dtype=np.uint64))
    counts = ("num_media", "length", "text_tokens", "images", "videos", "answers")
    numbers = dict.fromkeys(counts, np.zeros(len(values), dtype=np.uint32))
    none = replace(nothing, offsets=np.zeros(1, dtype=np.int64), valid=np.zeros(0, dtype=np.uint8))
    index = scanning.Index(numbers=wide | numbers, keys=nothing, media=none, columns={"text": (texts, 8)}, malformed=())
    return columns.build(index)


def _frames(files: list[list[str | None]]) -> pl.DataFrame:
    indexes = [FileIndex(key="", table=_table(values), seen={"text": 8}, malformed=()) for values in files]
    pool = pool_of(indexes)
    (part,) = parts([pool])
    return part.frame


@given(st.lists(_FILES, min_size=1, max_size=3), st.sampled_from([0, 2, 5, 1 << 12]))
def test_texts_are_those_that_were_read(pools: list[list[list[str | None]]], few: int) -> None:
    """Whatever is few: all files number their texts, some do, or none, and pools have others than those beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "FEW", few)
        united, _ = frames.unite([_frames(files) for files in pools], {"text": 8}, per_image=0, per_video=0)
    values = [value for files in pools for file in files for value in file]
    dtype = united.schema["text"]
    assert_series_equal(united["text"].cast(pl.String), pl.Series("text", values, dtype=pl.String))
    if isinstance(dtype, pl.Enum):
        assert dtype.categories.to_list() == sorted({value for value in values if value is not None}, key=str.encode)
        assert len(dtype.categories) <= few
    else:
        assert any(len(set(file)) > few for files in pools for file in files) or len(set(values)) > few


def test_an_index_keeps_few_texts_as_numbers(tmp_path: Path) -> None:
    for kinds, width in ((3, 1), (255, 1), (256, 2), (4_096, 2), (4_097, None)):
        values = [f"one of several texts {number % kinds:04}" for number in range(9_000)]
        keep(_table(values), tmp_path / "index.arrow")
        kept = read_table(tmp_path / "index.arrow")["column:text"]
        assert kept.to_pylist() == values
        numbered = pa.types.is_dictionary(kept.type)
        assert (kept.type.index_type.bit_width // 8 if numbered else None) == width


_RULES = [
    f"{before}{rule}"
    for rule in (
        'text == "a"', 'text != "a"', '"absent" == text', 'text != "absent"', 'text < "b"', 'text >= ""', "text == null",
        'text in ["a", "absent"]', 'text not in ["a", null]', "text == other", "text != other", "text in tags",
    )
    for before in ("", "not ")
]  # fmt: skip


@given(st.lists(st.tuples(_TEXT, _TEXT), max_size=12))
@settings(max_examples=30)
def test_rules_say_the_same_of_numbered_texts(rows: list[tuple[str | None, str | None]]) -> None:
    texts = pl.DataFrame(
        {"text": [text for text, _ in rows], "other": [other for _, other in rows], "tags": [["a", "b"]] * len(rows)},
        schema={"text": pl.String, "other": pl.String, "tags": pl.List(pl.String)},
    )
    values = sorted({value for value in texts["text"] if value is not None})
    numbered = texts.with_columns(pl.col("text").cast(pl.Enum(values)))
    for rule in _RULES:
        found = []
        for frame in (texts, numbered):
            findings = Findings()
            condition = Lowering(frame, findings, lambda start, end: Span("r.yaml", start, end)).condition(
                parse_expression(rule)
            )
            assert not findings.errors
            found.append(holds(frame, condition).tolist())
        assert found[0] == found[1], rule


@pytest.mark.parametrize(("most", "width"), [(0, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4)])
def test_an_index_keeps_counts_in_as_few_bytes_as_they_need(most: int, width: int) -> None:
    counts = np.array([0, most], dtype=np.uint32)
    lengths = np.array([7, most << 17], dtype=np.uint64)
    found = columns.narrow(
        {"length": lengths, "id_low": lengths, "images": counts, "videos": counts, "answers": counts}
    )
    assert {name: found[name].dtype.itemsize for name in ("images", "videos", "answers")} == dict.fromkeys(
        ("images", "videos", "answers"), width
    )
    assert found["length"].dtype.itemsize == (4 if most << 17 < 1 << 32 else 8) and found["id_low"].dtype == np.uint64
    assert all(found[name].tolist() == [0, most] for name in ("images", "videos", "answers"))
    assert found["length"].tolist() == lengths.tolist()
