"""Values are numbered in the order of their texts, however the column lies and however many there are."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recipe_compiler.execute import frames

_TEXT = st.one_of(
    st.none(), st.sampled_from(["", "(none)", "a", "ab", "twelve bytes", "thirteen byte", "thirteen bytf"]), st.text()
)


def _check(values: list[str | None], column: pl.Series) -> None:
    named = ["(none)" if value is None else value for value in values]
    numbers, names = frames.numbered(column)
    assert names == sorted(set(named), key=str.encode)
    assert [names[number] for number in numbers.tolist()] == named


@given(st.lists(st.lists(_TEXT, max_size=40), min_size=1, max_size=4), st.integers(0, 9), st.integers(0, 9))
def test_texts_in_pieces(pieces: list[list[str | None]], skipped: int, last: int) -> None:
    column = pl.concat([pl.Series("text", piece, dtype=pl.String) for piece in pieces], rechunk=False)
    values = [value for piece in pieces for value in piece]
    num = max(len(values) - skipped - last, 0)
    _check(values[skipped : skipped + num], column.slice(skipped, num))


def test_few_texts_and_many() -> None:
    chance = np.random.default_rng(5)
    for kinds in (3, 4_096, 4_097, 9_000):
        values = [f"a text of some length {number}" for number in chance.permutation(np.arange(20_000) % kinds)]
        _check(values, pl.Series(values))


@given(st.lists(st.tuples(_TEXT, st.booleans()), min_size=1))
def test_only_living_rows_have_a_number(rows: list[tuple[str | None, bool]]) -> None:
    alive = np.array([living for _, living in rows])
    numbers, names = frames.numbered(pl.Series([value for value, _ in rows], dtype=pl.String), alive, missing="-")
    assert names == sorted({"-" if value is None else value for value, living in rows if living}, key=str.encode)
    assert all(
        names[number] == ("-" if value is None else value)
        for number, (value, living) in zip(numbers.tolist(), rows, strict=True)
        if living
    )
