"""Who has which capability: the table beside a slow reading of its rows, and what is wrong with tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.capabilities import Capabilities, Levels, Match, ScoresError
from runtime.sample import Sample

Row = Mapping[str, Any]


def sample(number: int, key: str | None) -> Sample:
    facts = {"pool": "p", "group": None, "stage": "s", "rule": "r", "repeat": 0, "tokens": 1, "unit": number}
    return Sample(position=number, sample_id=f"{number:032x}", key=key, messages=[], media=[], tools=None, **facts)


def write(path: Path, rows: Sequence[Row]) -> Path:
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(list(rows)), path)
        case ".csv":
            pa.csv.write_csv(pa.Table.from_pylist(list(rows)), path)
        case _:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def slowly(
    rows: Sequence[Row], match: Match, levels: Mapping[str, float], samples: Sequence[Sample]
) -> list[list[bool]]:
    """One row after another, for each sample and each capability."""
    found = []
    for one in samples:
        own = [row for row in rows if row[match] is not None and row[match] == getattr(one, match)]
        scores = [{name: row[name] for name in levels} for row in own] or [dict.fromkeys(levels)]
        found.append([scores[0][name] is not None and scores[0][name] >= least for name, least in levels.items()])
    return found


@settings(max_examples=60)
@given(st.data())
def test_it_is_the_slow_reading(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    match: Match = data.draw(st.sampled_from(["sample_id", "key"]))
    suffix = data.draw(st.sampled_from([".parquet", ".csv", ".jsonl"]))
    names = st.sampled_from(["7", "07", "é", "a b", "A", "zz", "z"])
    samples = [sample(number, data.draw(st.none() | names)) for number in range(data.draw(st.integers(0, 8)))]
    ids = st.sampled_from([f"{number:032x}" for number in range(12)]) if match == "sample_id" else names
    score = st.none() | st.integers(0, 5)
    rows = [
        {match: name, "ocr": data.draw(score), "chart": data.draw(st.floats(0, 5) | st.just(math.nan))}
        for name in data.draw(st.lists(ids, min_size=1, max_size=7, unique=True))
    ]
    if suffix == ".jsonl":
        rows = [row | {"chart": None if math.isnan(row["chart"]) else row["chart"]} for row in rows]
    levels = {"ocr": data.draw(st.sampled_from([0.0, 3.0])), "chart": 2.5}
    path = write(tmp_path_factory.mktemp("scores") / f"t{suffix}", rows)
    found = Capabilities(Levels(source=path, match=match, levels=levels)).of(samples)
    assert found.shape == (len(samples), 2)
    assert found.tolist() == slowly(rows, match, levels, samples)


def test_the_case_of_an_id_does_not_matter_and_labels_are_levels(tmp_path: Path) -> None:
    one, other = f"{0xABCDEF:032x}", f"{1:032x}"
    path = write(tmp_path / "t.parquet", [{"sample_id": one.upper(), "ocr": True}, {"sample_id": other, "ocr": False}])
    capabilities = Capabilities(Levels(source=path, match="sample_id", levels={"ocr": 1}))
    assert capabilities.of([sample(0xABCDEF, None), sample(1, None), sample(2, None)]).tolist() == [
        [True],
        [False],
        [False],
    ]


@pytest.mark.parametrize(
    ("name", "rows", "reason"),
    [
        ("t.parquet", [{"key": "a", "other": 1}], "has no column `ocr`; it has `key`, `other`"),
        ("t.jsonl", [{"id": "a", "ocr": 1}], "has no column `key`; it has `id`, `ocr`"),
        ("t.csv", [{"sample_id": "a", "ocr": 1}], "has no column `key`; match by `sample_id`, which it has"),
        ("t.csv", [{"key": "a", "ocr": 1}, {"key": "a", "ocr": 2}], "has several rows for one key, for example `a`"),
        ("t.parquet", [{"key": "a", "ocr": "much"}], "its column `ocr` has no numbers, but string"),
        ("t.parquet", [{"key": ["a"], "ocr": 1}], "its column `key` has no texts"),
        ("t.txt", [{"key": "a", "ocr": 1}], "scores are a .parquet, .csv or .jsonl file"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(tmp_path: Path, name: str, rows: list[Row], reason: str) -> None:
    path = write(tmp_path / name, rows)
    with pytest.raises(ScoresError, match=reason):
        Capabilities(Levels(source=path, match="key", levels={"ocr": 1}))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_bytes_that_are_no_table_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\xff no table\n{")
    with pytest.raises(Exception, match=name):
        Capabilities(Levels(source=tmp_path / name, match="key", levels={"ocr": 1}))
