"""Pools are read as few tables as can be, and each row of these is of the file and the pool that it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import example, given
from hypothesis import strategies as st

from recipe_compiler.execute import frames
from recipe_compiler.execute.pools import parts
from recipe_compiler.resolve.bind import BoundPool
from recipe_compiler.resolve.index import FileIndex
from tests.properties.test_occurrence import pool_of
from tests.support import run_recipe, write_jsonl

#: How a file keeps what it holds: the type of counts, whether texts are numbered, whether samples have keys.
_KEPT = st.tuples(st.sampled_from([np.uint8, np.uint16]), st.booleans(), st.booleans())
#: Few different ones, so that many files keep theirs in the same way, and rows that are so few that pieces are put together.
_FILE = st.tuples(st.sampled_from([(np.uint8, True, False), (np.uint8, True, True)]) | _KEPT, st.integers(0, 5))
_LABELS = st.tuples(
    st.sampled_from(["train", "train", "train", "holdout"]),
    st.sampled_from([None, "one", "other"]),
    st.sampled_from([(), ("a",), ("a", "b")]),
)
_POOLS = st.lists(st.tuples(_LABELS, st.lists(_FILE, min_size=1, max_size=3)), min_size=1, max_size=5)


def _index(first: int, rows: int, counts: Any, *, numbered: bool, keyed: bool) -> FileIndex:
    """The index of samples whose numbers count on from the first."""
    numbers = np.arange(first, first + rows, dtype=np.uint64)
    texts = pa.array([f"t{number % 3}" for number in numbers], pa.string_view())
    names = pa.array(["t0", "t1", "t2"], pa.large_string())
    few = pa.DictionaryArray.from_arrays(pa.array((numbers % 3).astype(np.uint8)), names)
    columns = {
        # Pieces of a row each that hold the same become one column of polars, in one piece.
        "id_high": pa.array(np.full(rows, 7, dtype=np.uint64)),
        "id_low": pa.array(numbers),
        "text_tokens": pa.array(numbers.astype(np.uint32)),
        "images": pa.array((numbers % 7).astype(counts)),
        "videos": pa.array((numbers % 2).astype(counts)),
        "column:text": few if numbered else texts,
        "number:number": pa.array(numbers.astype(np.int8)),
        "key": pa.array([f"k{number}" for number in numbers], pa.string_view()) if keyed else pa.nulls(rows),
        "media": pa.nulls(rows),
    }
    return FileIndex(key="", table=pa.table(columns), seen={"text": 8, "number": 2}, malformed=())


def _made(pools: Sequence[Any]) -> tuple[list[BoundPool], list[dict[str, Any]]]:
    """Pools, and what is to be said of the rows of those that are trained on."""
    found, wanted, source, first = [], [], 0, 0
    for at, ((role, group, tags), files) in enumerate(pools):
        indexes = []
        for (counts, numbered, keyed), rows in files:
            indexes.append(_index(first, rows, counts, numbered=numbered, keyed=keyed))
            wanted += [
                {
                    "id_high": 7, "id_low": number, "source": source, "pool": f"p{at}", "group": group, "category": None,
                    "license": f"l{at % 2}", "tags": list(tags), "tokens": number + 10 * (number % 7) + 100 * (number % 2),
                    "text": f"t{number % 3}", "number": number, "key": f"k{number}" if keyed else None,
                }
                for number in range(first, first + rows)
                if role == "train"
            ]  # fmt: skip
            source, first = source + 1, first + rows
        pool = pool_of(indexes)
        scan = replace(pool.scan, pool=f"p{at}", role=role, group=group, license=f"l{at % 2}", tags=tags)
        found.append(replace(pool, scan=scan))
    return found, wanted


@given(_POOLS)
@example([(("train", group, ()), [((np.uint8, False, False), 1)]) for group in ("one", None)])
def test_rows_are_of_the_file_they_lie_in(pools: list[Any]) -> None:
    bound, wanted = _made(pools)
    tables = parts(bound)
    assert [pool.scan.pool for part in tables for pool in part.pools] == [
        pool.scan.pool for pool in bound if pool.scan.role == "train"
    ]
    assert [part.frame.height for part in tables] == [sum(pool.samples for pool in part.pools) for part in tables]
    if not tables:
        return
    seen = {"text": 8, "number": 2}
    table, most = frames.unite([part.frame for part in tables], seen, per_image=10, per_video=100)
    assert table.schema["key"] == pl.String
    assert table.select(*wanted[0]).rows(named=True) == wanted if wanted else table.height == 0
    assert most == max((row["tokens"] for row in wanted), default=0)


def test_files_that_keep_the_same_are_one_table_of_their_own_memory() -> None:
    same = ((np.uint8, True, False), 5_000)
    # The second pool of a run that a holdout ends, and one whose counts are wider.
    pools = [(("train", "one", ()), [same, same]), (("train", None, ("a",)), [same]), (("holdout", None, ()), [same])]
    pools += [(("train", None, ()), [same]), (("train", None, ()), [((np.uint16, True, False), 5_000)])]
    bound, _ = _made(pools)
    tables = parts(bound)
    assert [len(part.pools) for part in tables] == [2, 1, 1]
    first = tables[0].frame
    assert {name: first[name].n_chunks() for name in ("id_high", "pool", "source", "column:text")} == dict.fromkeys(
        ("id_high", "pool", "source", "column:text"), 3
    )
    own = [file.index.table["id_low"].chunk(0).buffers()[1].address for pool in bound[:2] for file in pool.files]
    assert [piece.ctypes.data for piece in frames.pieces(first["id_low"])] == own


def test_pools_of_a_sample_each(tmp_path: Path) -> None:
    """The same number of images, and texts of different lengths."""
    for name, answer in (("a", "Yes."), ("b", "No, it is a longer one.")):
        turns = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": answer}]
        write_jsonl(tmp_path / f"{name}.jsonl", [{"messages": turns}])
    pools = "".join(f"  {name}: {{source: {name}.jsonl}}\n" for name in "ab")
    (tmp_path / "recipe.yaml").write_text(f"recipe: 1\nname: r\nseed: 1\npools:\n{pools}stages: [{{name: train}}]\n")
    assert run_recipe("compile", "recipe.yaml", "--out", "out", cwd=tmp_path).code == 0
    rows = pq.read_table(next((tmp_path / "out/shards").glob("*.parquet")))
    assert sorted(zip(rows["pool"].to_pylist(), rows["source"].to_pylist(), strict=True)) == [(0, 0), (1, 1)]
    assert len(set(rows["tokens"].to_pylist())) == 2


def test_samples_without_media_stay_where_those_of_another_file_are_missing(tmp_path: Path) -> None:
    texts = [{"messages": [{"role": "user", "content": f"Is it {number}?"}]} for number in range(6)]
    for text in texts:
        text["messages"].append({"role": "assistant", "content": "Yes."})
    write_jsonl(tmp_path / "texts.jsonl", texts[:4])
    shown = [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "It."}]
    write_jsonl(tmp_path / "images.jsonl", [{"messages": shown, "images": ["gone.png"]}, texts[4], texts[5]])
    pool = "{source: [texts.jsonl, images.jsonl], missing_media: drop}"
    (tmp_path / "recipe.yaml").write_text(f"recipe: 1\nname: r\nseed: 1\npools: {{a: {pool}}}\nstages: [{{name: t}}]\n")
    ran = run_recipe("compile", "recipe.yaml", "--out", "out", cwd=tmp_path)
    assert ran.code == 0, ran.err
    rows = pq.read_table(next((tmp_path / "out/shards").glob("*.parquet")))
    assert sorted(rows["source"].to_pylist()) == [0, 0, 1, 1, 1, 1]
