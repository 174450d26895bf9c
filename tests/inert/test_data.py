"""Data are data: no pool and no table of scores runs code, reaches out of the root, or takes memory out of proportion."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.inert.helpers import assert_refused, measured
from tests.reading.helpers import tar
from tests.support import questions, write_jsonl, write_recipe

MIB = 1 << 20
GOOD = "".join(json.dumps(row) + "\n" for row in questions("a", 20)).encode()
RECORD = GOOD.splitlines()[0]


class Attack:
    """What a pickle runs when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def parquet(columns: Mapping[str, pa.Array], **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink, **options)
    return sink.getvalue()


def same(text: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), pa.array([text]))


def member(kind: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("0.json")
        info.type, info.linkname = kind, "/etc/hostname"
        archive.addfile(info)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Attack()))
    return buffer.getvalue()


def objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Attack()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


#: A pool that is one file: its name, its bytes, and what is told.
POOLS: Mapping[str, tuple[str, Callable[[], bytes], str]] = {
    "a gzip bomb": ("a.jsonl.gz", lambda: gzip.compress(GOOD + b" " * (300 * MIB), 1), "over 200 times its"),
    "a zstd bomb": ("a.jsonl.zst", lambda: zstandard.compress(GOOD + b"\n" * (1000 * MIB)), "over 200 times its"),
    "a Parquet cell": (
        "a.parquet",
        lambda: parquet({"question": pa.array(["a" * (200 * MIB)]), "answer": pa.array(["b"])}, compression="zstd"),
        "expand to 200 MiB",
    ),
    "a Parquet cell in gzip": (
        "a.parquet",
        lambda: parquet({"question": pa.array(["a" * (200 * MIB)]), "answer": pa.array(["b"])}, compression="gzip"),
        "expand to 200 MiB",
    ),
    "a Parquet dictionary": (
        "a.parquet",
        lambda: parquet({"question": same("a" * 1000, 2_000_000), "answer": same("b", 2_000_000)}),
        "over 200 times its",
    ),
    "Parquet nulls": (
        "a.parquet",
        lambda: parquet({"question": pa.nulls(50_000_000, pa.string())}, compression="zstd"),
        "over 200 times its",
    ),
    "a Parquet list": (
        "a.parquet",
        lambda: parquet({"question": pa.array([[0] * 8_000_000], pa.list_(pa.int8()))}, compression="zstd"),
        "a page of",
    ),
    "deep JSON": ("a.jsonl", lambda: b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion limit"),
    "deep JSON that never ends": ("a.json", lambda: b'{"a":' * 100_000, "recursion limit"),
    "deep arrays that never end": ("a.json", lambda: b"[" * 100_000, "never ends"),
    "one line": ("a.jsonl", lambda: b'{"question": "' + b"a" * (80 * MIB) + b'", "answer": "b"}', "at most 64 MiB"),
    "one line that never ends": ("a.jsonl", lambda: b'{"question": "' + b"a" * (80 * MIB), "at most 64 MiB"),
    "many values": ("a.jsonl", lambda: b'{"question": [' + b"0," * (16 * MIB) + b"0]}", "more than 1048576 values"),
    "a CSV cell": ("a.csv", lambda: b'question,answer\nq,"' + b"a" * (80 * MIB), "at most 64 MiB"),
    "a CSV header": ("a.csv", lambda: b"," * (8 * MIB), "longer than 1048576 bytes"),
    "an open quote": ("a.csv", lambda: b'"' + b"a,b\n" * (2 * MIB), "longer than 1048576 bytes"),
    "a pickle": ("a.pkl", lambda: pickle.dumps(Attack()), "a Python pickle, which can run code"),
    "a pickle by another name": ("a.jsonl", lambda: pickle.dumps(Attack()), "a Python pickle, which can run code"),
    "a checkpoint": ("a.pt", zipped, "a zip archive"),
    "an array of objects": ("a.npy", objects, "neither JSON"),
    "a symbolic link in an archive": ("a.tar", lambda: member(tarfile.SYMTYPE), "is a link or a device"),
    "a hard link in an archive": ("a.tar", lambda: member(tarfile.LNKTYPE), "is a link or a device"),
    "a device in an archive": ("a.tar", lambda: member(tarfile.CHRTYPE), "is a link or a device"),
    "a pipe in an archive": ("a.tar", lambda: member(tarfile.FIFOTYPE), "is a link or a device"),
    "an archive that climbs": ("a.tar", lambda: tar([("../../0.json", RECORD)]), "leads out of the archive"),
    "an archive from the top": ("a.tar", lambda: tar([("/etc/0.json", RECORD)]), "leads out of the archive"),
}


@pytest.mark.parametrize("case", POOLS)
def test_a_pool_that_is_an_attack_is_refused(tmp_path: Path, case: str) -> None:
    name, data, reason = POOLS[case]
    (tmp_path / name).write_bytes(data())
    write_recipe(tmp_path, f"recipe: 1\nname: x\npools: {{a: {{source: {name}}}}}\n")
    ran = measured("compile", "recipe.yaml", cwd=tmp_path)
    assert_refused(ran, "error[resolve.", f"`{name}`", reason, "recipe.yaml:3:")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "build").exists()
    left = sum(path.stat().st_size for path in (tmp_path / ".recipe").rglob("*") if path.is_file())
    assert left < MIB, "a refused file leaves nothing in the cache"


@dataclass(frozen=True, slots=True)
class Scores:
    """A table of scores, and what is told."""

    name: str
    data: Callable[[], bytes]
    told: tuple[str, ...] = field(default=())


SCORES: Mapping[str, Scores] = {
    "a pickle": Scores("s.parquet", lambda: pickle.dumps(Attack()), ("a Python pickle, which can run code",)),
    "a pickle as it is": Scores("s.pkl", lambda: pickle.dumps(Attack()), ("a Python pickle, which can run code",)),
    "a gzip bomb": Scores("s.csv", lambda: gzip.compress(b"id,v\n" + b"a,1\n" * (50 * MIB), 1), ("is compressed",)),
    "a zstd bomb": Scores("s.jsonl", lambda: zstandard.compress(b'{"id":"a"}\n' * (20 * MIB)), ("is compressed",)),
    "a CSV cell": Scores("s.csv", lambda: b'id,v\nq,"' + b"a" * (80 * MIB), ("a line of",)),
    "one line": Scores("s.jsonl", lambda: b'{"id": "' + b"a" * (80 * MIB) + b'"}\n', ("a line of",)),
    "deep JSON": Scores("s.jsonl", lambda: b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", ("Depth",)),
    "a Parquet cell": Scores(
        "s.parquet", lambda: parquet({"id": pa.array(["a" * (200 * MIB)])}, compression="zstd"), ("expand to 200 MiB",)
    ),
    "Parquet nulls": Scores(
        "s.parquet", lambda: parquet({"id": pa.nulls(500_000_000, pa.int8())}), ("would take more than",)
    ),
}


@pytest.mark.parametrize("case", SCORES)
def test_scores_that_are_an_attack_are_refused(tmp_path: Path, case: str) -> None:
    scores = SCORES[case]
    (tmp_path / scores.name).write_bytes(scores.data())
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    recipe = "recipe: 1\nname: x\npools: {a: {source: a.jsonl}}\nannotations: [{source: %s, match: key, column: id}]\n"
    write_recipe(tmp_path, recipe % scores.name)
    ran = measured("plan", "recipe.yaml", cwd=tmp_path)
    assert_refused(ran, "error[resolve.unreadable]", f"`{scores.name}`", "recipe.yaml:4:", *scores.told)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the root, with what nobody should reach."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(GOOD)
    (folder / "scores.csv").write_text("id,v\na-1,1\n")
    (folder / "secret.png").write_bytes(b"secret")
    return folder


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "images").mkdir(parents=True)
    (folder / "store").mkdir()
    (folder / "store/inside.png").write_bytes(b"picture")
    return folder


def test_a_pool_behind_a_link_out_of_the_root_is_refused(root: Path, outside: Path) -> None:
    (root / "a.jsonl").symlink_to(outside / "a.jsonl")
    write_recipe(root, "recipe: 1\nname: x\npools: {a: {source: a.jsonl}}\n")
    assert_refused(measured("compile", "recipe.yaml", cwd=root), "error[resolve.unreadable]", "leads out of the root")


def test_a_pool_in_a_linked_folder_out_of_the_root_is_refused(root: Path, outside: Path) -> None:
    (root / "data").symlink_to(outside)
    write_recipe(root, "recipe: 1\nname: x\npools: {a: {source: data/*.jsonl}}\n")
    assert_refused(measured("compile", "recipe.yaml", cwd=root), "error[resolve.unreadable]", "leads out of the root")


def test_a_link_to_no_file_is_not_left_out_in_silence(root: Path) -> None:
    (root / "a.jsonl").write_bytes(GOOD)
    write_recipe(root, "recipe: 1\nname: x\npools: {a: {source: '*.jsonl'}}\n")
    for target in ("gone.jsonl", "b.jsonl"):
        (root / "b.jsonl").symlink_to(target)
        ran = measured("plan", "recipe.yaml", cwd=root)
        assert_refused(ran, "error[resolve.unreadable]", "b.jsonl", "a link that leads to no file")
        (root / "b.jsonl").unlink()


def test_scores_behind_a_link_out_of_the_root_are_refused(root: Path, outside: Path) -> None:
    (root / "a.jsonl").write_bytes(GOOD)
    (root / "s.csv").symlink_to(outside / "scores.csv")
    recipe = (
        "recipe: 1\nname: x\npools: {a: {source: a.jsonl}}\nannotations: [{source: s.csv, match: key, column: id}]\n"
    )
    write_recipe(root, recipe)
    assert_refused(measured("plan", "recipe.yaml", cwd=root), "error[resolve.unreadable]", "leads out of the root")


REFERENCES = {
    "climbing": "../../outside/secret.png",
    "absolute": "/etc/hostname",
    "remote": "http://example.com/a.png",
    "linked": "link.png",
    "in a linked folder": "folder/secret.png",
    "through two links": "twice.png",
}


def linked(root: Path, outside: Path) -> None:
    (root / "images/link.png").symlink_to(outside / "secret.png")
    (root / "images/folder").symlink_to(outside)
    (root / "images/twice.png").symlink_to("link.png")
    (root / "images/fine.png").symlink_to("../store/inside.png")
    (root / "images/near").symlink_to("../store")


def picture(root: Path, reference: str, missing: str) -> None:
    write_jsonl(root / "a.jsonl", [{"question": "q", "answer": "a", "image": reference}])
    write_recipe(
        root, f"recipe: 1\nname: x\npools: {{a: {{source: a.jsonl, media: images, missing_media: {missing}}}}}\n"
    )


@pytest.mark.parametrize("case", REFERENCES)
def test_media_out_of_the_root_are_refused_by_the_compiler(root: Path, outside: Path, case: str) -> None:
    linked(root, outside)
    picture(root, REFERENCES[case], "error")
    ran = measured("compile", "recipe.yaml", cwd=root)
    assert_refused(ran, "error[resolve.missing-media]", REFERENCES[case], "leads out of")


@pytest.mark.parametrize("case", REFERENCES)
def test_media_out_of_the_root_are_refused_by_the_runtime(root: Path, outside: Path, case: str) -> None:
    linked(root, outside)
    picture(root, REFERENCES[case], "keep")
    assert measured("compile", "recipe.yaml", "--out", "out", cwd=root).code == 0
    ran = measured("show", "out", "--position", "0", cwd=root)
    assert_refused(ran, REFERENCES[case], "leads out of")


@pytest.mark.parametrize("reference", ["fine.png", "near/inside.png"])
def test_a_link_that_stays_in_the_root_is_a_file(root: Path, outside: Path, reference: str) -> None:
    linked(root, outside)
    picture(root, reference, "error")
    assert measured("compile", "recipe.yaml", "--out", "out", cwd=root).code == 0
    assert reference in measured("show", "out", "--position", "0", cwd=root).out
