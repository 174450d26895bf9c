"""Equal samples of a pool are numbered by what they carry, and where that is the same, as they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from recipe_compiler import kernels, pipeline
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute import frames
from recipe_compiler.execute.equals import Alike, Ids, groups
from recipe_compiler.execute.pools import parts
from recipe_compiler.plan import nodes
from recipe_compiler.resolve.bind import BoundFile, BoundPool
from recipe_compiler.resolve.index import FileIndex
from recipe_compiler.resolve.texts import KeptTexts

_RECIPE = "recipe: 1\nname: r\nseed: 1\npools:\n  p: {source: p.jsonl}\nstages: [{name: train}]\n"
_TEXT = st.sampled_from([None, "a", "b", "10", "9", "a much longer text than fits in a view"])
_ROW = st.tuples(st.integers(0, 4), st.integers(0, 1), _TEXT, _TEXT, st.sampled_from([None, 9, 10, -1]))


def pool_of(indexes: Sequence[FileIndex]) -> BoundPool:
    """A pool of files with these indexes."""
    checked = pipeline.check_texts(KeptTexts({"r.yaml": _RECIPE}), "r.yaml", Findings())
    assert checked is not None
    ((node, scan),) = checked.plan.select(nodes.Scan)
    return BoundPool(
        scan=scan,
        node=node,
        files=tuple(map(_file, indexes)),
        preset="qa",
        fields={},
        why="",
        missing_media=(),
        samples=sum(index.table.num_rows for index in indexes),
        digest="0" * 64,
        repeats=True,
    )


def _pool(files: list[list[Any]]) -> BoundPool:
    return pool_of(list(map(_index, files)))


def _file(index: FileIndex) -> BoundFile:
    return BoundFile(
        path="p.jsonl", size=0, digest="0" * 64, wrapping="plain", layout={}, stream=Path("p.jsonl"), index=index
    )


def _index(rows: list[Any]) -> FileIndex:
    high, low, key, text, number = zip(*rows, strict=True) if rows else [()] * 5
    texts = pa.array(text, pa.large_string())
    columns = {
        "id_high": pa.array(np.array(high, dtype=np.uint64) << np.uint64(55)),
        "id_low": pa.array(low, pa.uint64()),
        "key": pa.array(key, pa.large_string()),
        # Texts are numbered where they are few, which another file of the pool need not be.
        "column:text": texts if len(rows) % 3 == 0 else _numbered(text),
        "number:number": pa.array(number, pa.int8()),
        "media": pa.nulls(len(rows), pa.large_list(pa.large_string())),
        **dict.fromkeys(("text_tokens", "images", "videos"), pa.array(np.zeros(len(rows), dtype=np.uint32))),
    }
    return FileIndex(key="", table=pa.table(columns), seen={"text": 8, "number": 2}, malformed=())


def _numbered(texts: Sequence[str | None]) -> pa.DictionaryArray:
    """Texts as an index numbers them: different ones are sorted."""
    names = sorted({text for text in texts if text is not None})
    numbers = pa.array([None if text is None else names.index(text) for text in texts], pa.uint8())
    return pa.DictionaryArray.from_arrays(numbers, pa.array(names, pa.string_view()))


def _frame(pool: BoundPool) -> pl.DataFrame:
    (part,) = parts([pool])
    return part.frame


def _ids(pools: Sequence[BoundPool]) -> Ids:
    parts = [_frame(pool) for pool in pools]
    return Ids.of(Alike.of(pools, repeats=True), groups(parts), np.zeros(sum(map(len, parts)), dtype=np.uint32))


@given(st.lists(st.lists(_ROW, max_size=30), min_size=1, max_size=3))
# Texts that are numbered in the order in which they come would be in another one.
@example([[(3, 1, "a", "a", None), (3, 1, "a", "10", None), *[(0, 0, None, None, None)] * 5]])
def test_equals_are_numbered_by_what_they_carry(files: list[list[Any]]) -> None:
    pool = _pool(files)
    found = _ids([pool]).occurrence.tolist()

    def place(value: str | None) -> tuple[bool, bytes]:
        return value is not None, (value or "").encode()

    rows = [row for file in files for row in file]
    written = [(row[:2], place(row[2]), place(None if row[4] is None else str(row[4])), place(row[3])) for row in rows]
    wanted, before = [0] * len(rows), Counter[Any]()
    for at in sorted(range(len(rows)), key=written.__getitem__):
        wanted[at] = before[rows[at][:2]]
        before[rows[at][:2]] += 1
    assert found == wanted


_POOL = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=25)


def test_pools_of_several_files_are_not_copied() -> None:
    part = _frame(_pool([[(1, 0, "k", "a", 9)] * 3, [(2, 0, "k", "b", 10)] * 2]))
    whole, _ = frames.unite([part, part], {"text": 8, "number": 2}, per_image=1, per_video=1)
    for name, was in (("id_high", "id_high"), ("number", "number:number")):
        before, after = ([piece.ctypes.data for piece in frames.pieces(of)] for of in (part[was], whole[name]))
        assert len(before) == 2 and after == [*before, *before]


@given(st.lists(_POOL, min_size=1, max_size=4))
def test_of_equals_that_are_there_one_stays(pools: list[list[Any]]) -> None:
    """In several pools, of which some samples are left out before anything else."""
    found = [_pool([[(high, 0, None, "a", 9) for high, _ in rows]]) for rows in pools]
    kept = np.array([there for rows in pools for _, there in rows], dtype=np.bool_)
    ids = _ids(found).only(kept)
    names = [(at, high) for at, rows in enumerate(pools) for high, _ in rows]
    before = [names[:place].count(name) for place, name in enumerate(names)]
    assert ids.occurrence.tolist() == [number for number, there in zip(before, kept, strict=True) if there]
    pool, high = (np.array([name[part] for name in names], dtype=np.uint32)[kept] for part in (0, 1))
    keys = kernels.Keys(high=ids.high, low=ids.low, occurrence=ids.occurrence, pool=pool)
    first = kernels.first_of_equals(keys, ids.repeated, np.ones(len(high), dtype=np.bool_))
    order = np.lexsort((ids.occurrence, pool))
    wanted = {order[np.flatnonzero(high[order] == number)[0]] for number in set(high.tolist())}
    assert set(np.flatnonzero(first).tolist()) == wanted
