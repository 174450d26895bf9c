"""Every sample's bytes are found again by offset and length, and are that sample."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler import scanning
from tests.reading import oracle
from tests.reading.helpers import Reading, gzipped, json_lines, parquet, plain, read_bytes, zstandard_compressed

properties = settings(deadline=None, database=None, max_examples=120)

MARK = b"\xef\xbb\xbf"
FIELDS = {"user": ["question"], "assistant": ["answer"]}

letters = st.characters(codec="utf-8", exclude_characters="\ufeff")
texts = st.one_of(
    st.text(letters, min_size=1, max_size=10),
    st.lists(
        st.sampled_from(['"', '""', ",", "\t", "\n", "\r\n", "\r", "{", "}", "[", "]", "\\", "a", "é"]),
        min_size=1,
        max_size=6,
    ).map("".join),
)
records = st.lists(st.fixed_dictionaries({"question": texts, "answer": texts}), min_size=1, max_size=8)
line_ends = st.sampled_from(["\n", "\r\n"])
blanks = st.sampled_from(["", "", "\n", "\r\n\n", "\n\n\n"])
spaces = st.sampled_from(["", " ", "\n", "\t\r\n "])
wraps = st.sampled_from([plain, gzipped, zstandard_compressed])


def read(name: str, data: bytes, preset: str = "auto") -> Reading:
    with tempfile.TemporaryDirectory() as folder:
        return read_bytes(Path(folder), name, data, fields=FIELDS, preset=preset)


def assert_found(reading: Reading, expected: list[dict[str, Any]]) -> None:
    """All records, in order, each at its place, with the content the oracle gives."""
    assert list(reading.malformed) == []
    assert [entry.indexed_id for entry in reading.entries] == [entry.mapped_id for entry in reading.entries]
    for entry, record in zip(reading.entries, expected, strict=True):
        assert entry.content["messages"] == oracle.qa(record)["messages"]
    ends = [0]
    for entry in reading.entries:
        assert ends[-1] <= entry.offset < entry.offset + entry.length <= len(reading.stream)
        ends.append(entry.offset + entry.length)


@properties
@given(records=records, end=line_ends, mark=st.booleans(), blank=blanks, last=st.booleans(), wrap=wraps, data=st.data())
def test_json_lines(
    records: list[dict[str, Any]], end: str, mark: bool, blank: str, last: bool, wrap: Any, data: st.DataObject
) -> None:
    lines = [json.dumps(record, ensure_ascii=data.draw(st.booleans())) for record in records]
    indent = data.draw(st.sampled_from(["", " ", "\t"]))
    text = blank + (end + blank).join(indent + line + indent for line in lines) + (end + blank if last else "")
    reading = read("a.jsonl", wrap(MARK * mark + text.encode()))
    assert_found(reading, records)
    for entry, line in zip(reading.entries, lines, strict=True):
        assert reading.stream[entry.offset : entry.offset + entry.length] == line.encode()


@properties
@given(
    records=records, mark=st.booleans(), space=spaces, shape=st.sampled_from(["array", "object", "wrapped"]), wrap=wraps
)
def test_json_texts(records: list[dict[str, Any]], mark: bool, space: str, shape: str, wrap: Any) -> None:
    values = [json.dumps(record, ensure_ascii=False) for record in records]
    if shape == "object":
        values = [f"{json.dumps(f'k{number}' + chr(34))}{space}:{space}{value}" for number, value in enumerate(values)]
    inner = f"{space},{space}".join(values)
    text = {
        "array": f"{space}[{space}{inner}{space}]{space}",
        "object": f"{space}{{{space}{inner}{space}}}{space}",
        "wrapped": f'{space}{{"info"{space}:{{"a":[1]}},"rows":{space}[{space}{inner}{space}]{space}}}{space}',
    }[shape]
    reading = read("a.json", wrap(MARK * mark + text.encode()))
    assert_found(reading, records)
    for entry, value in zip(reading.entries, values, strict=True):
        assert reading.stream[entry.offset : entry.offset + entry.length] == value.encode()


def cell(text: str, delimiter: str, always: bool) -> str:
    special = always or any(character in text for character in ('"', delimiter, "\n", "\r"))
    return '"' + text.replace('"', '""') + '"' if special else text


@properties
@given(
    records=records,
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.booleans(),
    blank=blanks,
    last=st.booleans(),
    wrap=wraps,
    kind=st.sampled_from([("a.csv", ","), ("a.tsv", "\t")]),
    always=st.booleans(),
)
def test_delimited_rows(
    records: list[dict[str, Any]],
    end: str,
    mark: bool,
    blank: str,
    last: bool,
    wrap: Any,
    kind: tuple[str, str],
    always: bool,
) -> None:
    name, delimiter = kind
    rows = [["question", "answer"], *([record["question"], record["answer"]] for record in records)]
    lines = [delimiter.join(cell(text, delimiter, always) for text in row) for row in rows]
    text = (end + blank).join(lines) + ((end + blank) if last else "")
    assert_found(read(name, wrap(MARK * mark + text.encode())), records)


@properties
@given(records=records, end=line_ends)
def test_unquoted_rows(records: list[dict[str, Any]], end: str) -> None:
    clean = str.maketrans("", "", "\t\r\n")
    kept = [{name: "." + text.translate(clean) for name, text in record.items()} for record in records]
    text = end.join(["question\tanswer", *(f"{record['question']}\t{record['answer']}" for record in kept)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tsv"
        path.write_bytes(text.encode())
        layout = scanning.layout(path.name, path, hint={"quote": False}, preset="auto", fields=FIELDS)
        index = scanning.index(path, layout=layout, fields=FIELDS)
        mapper = scanning.Mapper(layout=layout, fields=FIELDS)
        data = path.read_bytes()
        spans = zip(index.numbers["offset"].tolist(), index.numbers["length"].tolist(), strict=True)
        found = [mapper.sample(data[offset : offset + length]).content["messages"] for offset, length in spans]
    assert found == [oracle.qa(record)["messages"] for record in kept]


names = st.text("abcxyzé_-/", min_size=1, max_size=130).filter(
    lambda name: name.strip("/") == name and "//" not in name
)


@properties
@given(
    records=records,
    stem=names,
    form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    folders=st.booleans(),
    wrap=wraps,
    in_json=st.booleans(),
)
def test_archives(records: list[dict[str, Any]], stem: str, form: int, folders: bool, wrap: Any, in_json: bool) -> None:
    if form == tarfile.USTAR_FORMAT:
        stem = stem.replace("é", "e")[-60:].strip("/") or "x"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for number, record in enumerate(records):
            if folders:
                info = tarfile.TarInfo(f"folder{number}")
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            members = (
                {"json": json.dumps(record)}
                if in_json
                else {"json": json.dumps({"question": record["question"]}), "txt": record["answer"]}
            )
            for ending, text in members.items():
                content = text.encode()
                info = tarfile.TarInfo(f"{stem}{number}.{ending}")
                info.size, info.mtime = len(content), 1.25 if form == tarfile.PAX_FORMAT else 1
                archive.addfile(info, io.BytesIO(content))
    fields = FIELDS if in_json else {**FIELDS, "assistant": ["txt"]}
    with tempfile.TemporaryDirectory() as folder:
        reading = read_bytes(Path(folder), "a.tar", wrap(buffer.getvalue()), fields=fields)
    assert_found(reading, records)
    assert {entry.content["key"] for entry in reading.entries} == {None}


@properties
@given(records=records, group=st.integers(1, 9))
def test_parquet_rows(records: list[dict[str, Any]], group: int) -> None:
    reading = read("a.parquet", parquet(records, row_group_size=group))
    assert_found(reading, records)


@pytest.mark.parametrize("column", ["question", "answer"])
def test_a_byte_order_mark_inside_the_data_is_data(tmp_path: Path, column: str) -> None:
    rows = [{"question": "q", "answer": "a"}, {"question": "p", "answer": "b"}]
    rows[1][column] = "\ufeff" + rows[1][column]
    text = "question,answer\r\n" + "".join(f"{row['question']},{row['answer']}\r\n" for row in rows)
    in_csv = read_bytes(tmp_path, "a.csv", text.encode(), fields=FIELDS)
    in_json = read_bytes(tmp_path, "a.jsonl", json_lines(rows), fields=FIELDS)
    assert in_csv.contents == in_json.contents
    assert in_csv.ids == in_json.ids


def test_ten_thousand_records_are_all_found(tmp_path: Path) -> None:
    rows = [{"question": f"q {number}" * (number % 5 + 1), "answer": str(number)} for number in range(10_000)]
    reading = read_bytes(tmp_path, "a.jsonl", json_lines(rows), fields=FIELDS)
    assert_found(reading, rows)
    assert len(set(reading.ids)) == 10_000
