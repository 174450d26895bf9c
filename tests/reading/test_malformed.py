"""Bad data is listed with its place, or refused with file and reason; it never ends in another way."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from recipe_compiler import scanning
from recipe_compiler.errors import DataError
from runtime.stream import ManifestDataset
from tests.reading.helpers import (
    CONTAINERS,
    Reading,
    json_array,
    json_lines,
    json_object,
    parquet,
    read_bytes,
    tar,
    web_dataset,
)
from tests.support import compile_text, questions, rejected, write_jsonl

FIELDS = {"user": ["question"], "assistant": ["answer"]}
GOOD = questions("good", 20)
LINES = json_lines(GOOD)
LINE = LINES.splitlines(keepends=True)[0]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jsonl", LINES)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    return b'{"question": ' + b"[" * depth + b"]" * depth + b', "answer": "a"}\n'


#: Files that are refused whole: name, bytes, and what the reason says.
REFUSED: Mapping[str, tuple[str, bytes, str]] = {
    "cut gzip": ("a.jsonl.gz", gzip.compress(LINES)[:-20], "cannot be decompressed"),
    "cut gzip trailer": ("a.jsonl.gz", gzip.compress(LINES)[:-4], "cannot be decompressed"),
    "gzip with a wrong checksum": ("a.jsonl.gz", gzip.compress(LINES)[:-8] + b"\0" * 8, "cannot be decompressed"),
    "gzip header only": ("a.jsonl.gz", b"\x1f\x8b", "cannot be decompressed"),
    "cut zstd": ("a.jsonl.zst", zstandard.compress(LINES)[:-9], "cannot be decompressed"),
    "zstd magic only": ("a.jsonl.zst", b"\x28\xb5\x2f\xfd", "cannot be decompressed"),
    "cut parquet": ("a.parquet", parquet(GOOD)[:-30], ""),
    "parquet magic only": ("a.parquet", b"PAR1", ""),
    "parquet without its data": ("a.parquet", b"PAR1" + parquet(GOOD)[-400:], ""),
    "noise": ("a.jsonl", bytes(range(128, 256)) * 9, "starts with"),
    "text": ("a.txt", b"hello, world\n", "starts with `h`"),
    "pickle": ("a.jsonl", pickle.dumps(GOOD), "pickle"),
    "old pickle": ("a.jsonl", pickle.dumps(GOOD, protocol=2), "pickle"),
    "oldest pickle": ("a.jsonl", pickle.dumps(GOOD, protocol=0), "starts with"),
    "zip": ("a.jsonl", zipped(), "zip archive"),
    "utf-16": ("a.jsonl", LINES.decode().encode("utf-16"), "starts with"),
    "csv that is not utf-8": ("a.csv", "question,答\nq,a\n".encode("gb18030"), "not UTF-8"),
}

#: Files that hold good records beside bad ones: name, bytes, good, bad, and what the first reason says.
LISTED: Mapping[str, tuple[str, bytes, int, int, str]] = {
    "cut json lines": ("a.jsonl", LINES[:-9], 19, 1, "EOF"),
    "cut array": ("a.json", json_array(GOOD)[:-9], 19, 1, "never ends"),
    "cut array after a comma": ("a.json", b"[" + LINE + b",", 1, 1, "cut short"),
    "array with a comma at its end": ("a.json", b"[" + LINE + b",]", 1, 1, "`]` where a record should be"),
    "something after an array": ("a.json", json_array(GOOD) + b"x", 20, 1, "after the end"),
    "cut archive": ("a.tar", web_dataset(GOOD)[: 512 * 11 + 100], 4, 1, "runs past the end"),
    "damaged archive header": ("a.tar", web_dataset(GOOD)[: 512 * 10] + b"x" * 512 * 3, 4, 1, "broken tar member"),
    "deep nesting": ("a.jsonl", LINES + nested(1000), 20, 1, "recursion"),
    "deeper nesting": ("a.jsonl", LINES + nested(200_000), 20, 1, "recursion"),
    "a key twice": (
        "a.jsonl",
        LINES + b'{"question": "q", "answer": "a", "answer": "b"}',
        20,
        1,
        "`answer` stands twice",
    ),
    "not a number": ("a.jsonl", LINES + b'{"question": "q", "answer": NaN}', 20, 1, "bare NaN"),
    "infinity": ("a.jsonl", LINES + b'{"question": "q", "answer": -Infinity}', 20, 1, "bare Infinity"),
    "a line that is not utf-8": ("a.jsonl", LINES + b'{"question": "\xff", "answer": "a"}', 20, 1, "not UTF-8"),
    "a lone surrogate": ("a.jsonl", LINES + rb'{"question": "\ud800", "answer": "a"}', 20, 1, "hex escape"),
    "a control character": ("a.jsonl", LINES + b'{"question": "a\x01b", "answer": "a"}', 20, 1, "control character"),
    "a field missing": ("a.jsonl", LINES + b'{"question": "q"}', 20, 1, "no `answer`"),
    "a field null": ("a.jsonl", LINES + b'{"question": null, "answer": "a"}', 20, 1, "no `question`"),
    "a field of another kind": ("a.jsonl", LINES + b'{"question": {}, "answer": "a"}', 20, 1, "an object, not text"),
    "a value that is no record": ("a.jsonl", LINES + b"7\nnull\n[]\n", 20, 3, "no `question`"),
    "a short row": ("a.csv", b"question,answer\nq,a\nq\n", 1, 1, "1 cells"),
    "a long row": ("a.csv", b"question,answer\nq,a\nq,a,b\n", 1, 1, "3 cells"),
    "a row that is not utf-8": ("a.csv", b"question,answer\nq,a\nq,\xff\n", 1, 1, "not UTF-8"),
    "an open quote": ("a.csv", b'question,answer\nq,a\n"q,a\nq,a\n', 1, 1, "1 cells"),
    "an entry without a colon": ("a.json", json_object(GOOD)[:-1] + b', "x" {}}', 20, 1, "without a colon"),
    "a member that is no json": ("a.tar", web_dataset(GOOD)[: 512 * 40] + tar([("x.json", b"{")]), 20, 1, "x.json"),
}

#: Files that hold nothing, which is no fault of theirs.
EMPTY = {
    "empty": ("a.jsonl", b""),
    "space": ("a.json", b" \n\t\r\n "),
    "a byte order mark": ("a.jsonl", b"\xef\xbb\xbf"),
    "an empty array": ("a.json", b"[]"),
    "an empty gzip": ("a.jsonl.gz", gzip.compress(b"")),
    "an empty zstd": ("a.jsonl.zst", zstandard.compress(b"")),
    "an empty parquet": ("a.parquet", parquet([], schema=["question", "answer"])),
    "a header alone": ("a.csv", b"question,answer\n"),
    "an empty csv": ("a.csv", b""),
}


def read(folder: Path, name: str, data: bytes) -> Reading:
    return read_bytes(folder, name, data, fields=FIELDS)


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_with_a_reason(tmp_path: Path, case: str) -> None:
    name, data, reason = REFUSED[case]
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, data)
    assert name in caught.value.path
    assert reason in caught.value.reason
    assert "\n" not in caught.value.reason.strip()


@pytest.mark.parametrize("case", LISTED)
def test_bad_records_are_listed_beside_the_good_ones(tmp_path: Path, case: str) -> None:
    name, data, num_good, num_bad, reason = LISTED[case]
    reading = read(tmp_path, name, data)
    assert (len(reading.entries), len(reading.malformed)) == (num_good, num_bad), reading.malformed
    assert reason in reading.malformed[0].reason
    assert all(0 <= bad.offset <= len(reading.stream) for bad in reading.malformed)
    assert all(entry.indexed_id == entry.mapped_id for entry in reading.entries)


@pytest.mark.parametrize("case", [*REFUSED, *LISTED])
def test_a_recipe_over_a_bad_file_is_rejected_with_the_file_s_name(tmp_path: Path, case: str) -> None:
    name, data = (REFUSED[case] if case in REFUSED else LISTED[case])[:2]
    write_jsonl(tmp_path / "data/0.jsonl", GOOD)
    (tmp_path / "data" / f"1-{name}").write_bytes(data)
    fields = json.dumps(FIELDS)
    errors = rejected(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {{source: 'data/*', fields: {fields}}}\n")
    (error,) = errors
    assert error.code in ("resolve.unreadable", "resolve.malformed")
    assert f"data/1-{name}" in " ".join([error.headline, *(record.file for record in error.records)])
    assert not list((tmp_path / ".recipe").rglob("*.records")) or case in LISTED
    assert not list((tmp_path / ".recipe").rglob(".*.records.*")), "a half-written stream was left"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", LISTED)
def test_allowed_bad_records_leave_the_good_ones(tmp_path: Path, case: str) -> None:
    name, data, num_good, num_bad, _ = LISTED[case]
    write_jsonl(tmp_path / "data/0.jsonl", questions("other", 5))
    (tmp_path / "data" / f"1-{name}").write_bytes(data)
    pool = f"{{source: 'data/*', fields: {json.dumps(FIELDS)}, max_malformed: {num_bad}}}"
    built = compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {pool}\n")
    assert built.manifest.draws == num_good + 5
    dataset = ManifestDataset(tmp_path / "out")
    assert len(list(map(dataset.__getitem__, range(len(dataset))))) == num_good + 5


@pytest.mark.parametrize("case", EMPTY)
def test_a_file_that_holds_nothing_adds_nothing(tmp_path: Path, case: str) -> None:
    name, data = EMPTY[case]
    write_jsonl(tmp_path / "data/0.jsonl", GOOD)
    (tmp_path / "data" / f"1-{name}").write_bytes(data)
    pool = f"{{source: 'data/*', fields: {json.dumps(FIELDS)}}}"
    built = compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {pool}\n")
    assert built.manifest.draws == 20


@pytest.mark.parametrize("case", EMPTY)
def test_a_pool_that_holds_nothing_is_rejected(tmp_path: Path, case: str) -> None:
    name, data = EMPTY[case]
    (tmp_path / name).write_bytes(data)
    errors = rejected(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {{source: {name}}}\n")
    assert all(error.headline for error in errors)


MEMBERS = [
    (f"{number}.{ending}", content)
    for number in range(4)
    for ending, content in (("json", LINE), ("png", b"p" * 700), ("txt", b"t"))
]


def test_no_sample_of_a_cut_archive_is_lost_or_changed_in_silence(tmp_path: Path) -> None:
    good = tar(MEMBERS)
    whole = read(tmp_path, "a.tar", good)
    ends = [entry.offset + entry.length for entry in whole.entries]
    assert len(ends) == 4 and not whole.malformed
    for cut in range(512, ends[-1], 256):
        try:
            reading = read(tmp_path, "a.tar", good[:cut])
        except DataError:
            continue
        assert reading.malformed, f"a cut after {cut} bytes is not told"
        untold = [entry for entry, end in zip(whole.entries, ends, strict=True) if end <= cut]
        told = {bad.offset for bad in reading.malformed}
        assert all(entry in whole.entries for entry in reading.entries)
        assert all(entry in reading.entries or entry.offset in told for entry in untold), cut


def test_what_stands_behind_the_end_of_an_archive_is_read_or_told(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.tar", web_dataset(GOOD[:3]) + web_dataset(GOOD[3:7]))
    assert len(reading.entries) == 7 or reading.malformed


@pytest.mark.parametrize("column", ["question", "answer"])
def test_bytes_are_never_taken_for_text(tmp_path: Path, column: str) -> None:
    rows = [{"question": "q", "answer": "a"} | {column: b"\x00\x01binary"}] * 3
    in_tar = read_bytes(tmp_path, "a.tar", tar([(f"0.{column}", b"\x00\x01binary")]), fields={"user": [column]})
    assert not in_tar.entries and "bytes" in in_tar.malformed[0].reason
    in_parquet = read(tmp_path, "a.parquet", parquet(rows))
    assert not in_parquet.entries and len(in_parquet.malformed) == 3


def test_a_bad_record_s_place_is_told(tmp_path: Path) -> None:
    lines = LINES.splitlines(keepends=True)
    lines[7] = b'{"question": 3}\n'
    reading = read(tmp_path, "a.jsonl", b"".join(lines))
    (bad,) = reading.malformed
    assert (bad.record, bad.offset) == (7, sum(map(len, lines[:7])))


def write_variants() -> dict[str, bytes]:
    files = {f"a{container.ending}": container.write(GOOD[:3]) for container in CONTAINERS}
    files["b.json"] = json_object(GOOD[:3])
    rows = [{"question": "q", "answer": ["a", "b"], "n": 1.5, "m": {"x": None, "y": [True]}, "z": b"\0"}] * 3
    files["b.parquet"] = parquet(rows)
    for name in list(files):
        if not name.endswith(".parquet"):
            files[f"{name}.gz"] = gzip.compress(files[name])
            files[f"{name}.zst"] = zstandard.compress(files[name])
    return files


VARIANTS = write_variants()


@pytest.mark.parametrize("name", VARIANTS)
def test_damaged_bytes_never_end_in_another_way(tmp_path: Path, name: str) -> None:
    good = VARIANTS[name]
    chance = random.Random(len(good))  # noqa: S311
    for _ in range(500 if name.endswith(".parquet") else 100):
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.1:
            del data[chance.randrange(len(data)) :]
        try:
            reading = read(tmp_path, name, bytes(data))
        except DataError:
            continue
        assert all(entry.indexed_id == entry.mapped_id for entry in reading.entries)


LAYOUTS: list[dict[str, Any]] = [
    {"shape": "json-lines"},
    {"shape": "json-object", "at": ""},
    {"shape": "delimited", "delimiter": ",", "quote": True, "header": True, "columns": ["question", "answer"]},
    {"shape": "web-dataset"},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: str(layout["shape"]))
def test_a_mapper_refuses_noise_with_a_reason(layout: dict[str, Any]) -> None:
    mapper = scanning.Mapper(layout=layout, fields=FIELDS)
    chance = random.Random(1)  # noqa: S311
    seeds = [LINE, b'"k": ' + LINE, b"q,a\n", web_dataset(GOOD[:1]), b"", b'"', b'"k"', b'"k":', b"{", b"\0" * 512]
    for _ in range(400):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(0, 4)):
            data.insert(chance.randint(0, len(data)), chance.choice(b'"{}[]:,\\\0\xff a\n'))
        del data[chance.randint(0, len(data)) :]
        try:
            mapper.sample(bytes(data))
        except DataError as error:
            assert error.reason
