"""Carried values are the same however an index keeps them: numbers are numbers where they are everywhere, else all is text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.choosing import Pools
from tests.support import write_jsonl

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([0.5, 1.25, 0.1, -2.0, 2**60, 2**70, "1", "x", "true"]),
)
COLUMNS = st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=3)


def frame_of(folder: Path, pools: list[list[list[Any]]]) -> pl.DataFrame:
    listed = ""
    for pool, files in enumerate(pools):
        for number, values in enumerate(files):
            rows = [
                {"id": f"{pool}-{number}-{row}", "question": f"What is {row}?", "answer": "It.", "v": value}
                for row, value in enumerate(values)
            ]
            write_jsonl(folder / f"p{pool}" / f"f{number}.jsonl", rows)
        listed += f"  p{pool}: {{source: p{pool}/*.jsonl, fields: {{columns: {{v: v}}}}}}\n"
    return Pools(folder, f"recipe: 1\nname: carried\npools:\n{listed}").run("").frame


def text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


@settings(max_examples=60, deadline=None)
@given(pools=st.lists(COLUMNS, min_size=1, max_size=3))
def test_a_column_has_the_type_that_holds_all_its_values(
    tmp_path_factory: pytest.TempPathFactory, pools: list[list[list[Any]]]
) -> None:
    found = frame_of(tmp_path_factory.mktemp("carried"), pools)["v"]
    values = [value for files in pools for column in files for value in column]
    kinds = {type(value) for value in values if value is not None}
    if not kinds <= {bool} and not kinds <= {int, float}:
        assert found.to_list() == [text(value) for value in values]
    elif kinds == {bool}:
        assert found.dtype == pl.Boolean
        assert found.to_list() == values
    elif kinds:
        assert found.dtype.is_numeric()
        assert found.cast(pl.Float64).to_list() == [None if value is None else float(value) for value in values]


def test_one_text_makes_all_values_texts_as_they_were_written(tmp_path: Path) -> None:
    found = frame_of(tmp_path, [[[1, 2], [3]], [[True], [0.5]], [["x"]]])["v"]
    assert found.to_list() == ["1", "2", "3", "true", "0.5", "x"]
