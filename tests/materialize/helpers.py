"""What the tests of copies share: manifests over every container, and samples as plain values."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from runtime.materialize.encoding import Task
from runtime.materialize.write import Written, materialize
from runtime.sample import Sample
from runtime.stream import ManifestDataset
from tests.support import compile_text, questions, write_jsonl

STREAMED = ("webdataset", "mds", "jsonl")
KINDS = (*STREAMED, "parquet")
_BEGINNINGS = {"jpg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n\x1a\n", "mp4": b"\0\0\0\x18ftypisom", "raw": b"?"}


def media(kind: str, number: int) -> bytes:
    """Bytes that begin as media of a kind do; no two numbers have the same."""
    return _BEGINNINGS[kind] + hashlib.sha512(f"{kind} {number}".encode()).digest() * (1 + number % 7)


def _turns(number: int, marks: str) -> list[dict[str, str]]:
    question = f"{marks}\nWhat is {number}?  ü\n"
    return [{"from": "human", "value": question}, {"from": "gpt", "value": f'It is "{number}"\\\u2028.'}]


def write_pools(folder: Path, size: int = 12) -> None:
    """A pool of each container: by path with several images and a video, embedded, in archives, and text alone."""
    (folder / "media/sub").mkdir(parents=True)
    records = []
    for number in range(size):
        names = [f"{number}.jpg", f"sub/{number}.dat", f"{number}.mp4"]
        for name, kind in zip(names, ("jpg", "raw", "mp4"), strict=True):
            (folder / "media" / name).write_bytes(media(kind, number))
        images = names[: number % 3]
        record = {"id": number, "image": images, "conversations": _turns(number, "<image>" * len(images))}
        if number % 4 == 3:
            record |= {"videos": [names[2]], "conversations": _turns(number, "<video>" + "<image>" * len(images))}
        records.append(record)
    (folder / "paths.json").write_text(json.dumps(records))
    uri = "data:image/png;base64,"
    embedded = [
        {
            "id": f"e{n}",
            "image": uri + base64.b64encode(media("png", n)).decode(),
            "conversations": _turns(n, "<image>"),
        }
        for n in range(size)
    ]
    (folder / "embedded.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, embedded)).encode(), mtime=0))
    with tarfile.open(folder / "archive.tar", "w") as tar:
        for n in range(size):
            contents = {
                "jpg": media("jpg", 100 + n),
                "json": json.dumps({"conversations": _turns(n, "<image>")}).encode(),
            }
            for ending, content in contents.items():
                member = tarfile.TarInfo(f"{n:04}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    rows = [
        {"images": [{"bytes": media("png", 200 + n), "path": "x.png"}], "conversations": _turns(n, "<image>")}
        for n in range(size)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    (folder / "table.csv").write_text("question,answer\n" + "".join(f'"What, {n}?",{n}\n' for n in range(size)))
    write_jsonl(folder / "text.jsonl", questions("t", size))


RECIPE = """recipe: 1
name: copies
pools:
  paths: {source: paths.json, media: media, format: llava, group: general}
  embedded: {source: embedded.jsonl.gz, format: llava}
  archive: {source: archive.tar, format: llava}
  rows: {source: rows.parquet, format: llava}
  table: {source: table.csv, group: text}
  text: {source: text.jsonl, format: qa, group: text}
stages:
  - {name: first, where: group == "general"}
  - {name: second, mix: {by: pool, weights: equal}, draws: {share: 150%}, repeat: {max: 2}}
shard: {rows: 50}
"""


def compiled(folder: Path, size: int = 12) -> Path:
    """The manifest of all pools."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pools(folder, size)
    compile_text(folder, RECIPE)
    return folder / "out"


def copy(manifest: Path, out: Path, kind: str, *, shard_bytes: int = 8_000, num_processes: int = 0) -> Written:
    """A copy of a manifest, in files so small that there are several."""
    task = Task(folder=manifest, root=None, cache=None, kind=kind, out=out)
    return materialize(task, shard_bytes=shard_bytes, num_processes=num_processes, progress=lambda *_: None)


def told(sample: Sample) -> tuple[Any, ...]:
    """All that a sample says, with the bytes of its media wherever they lie."""
    names = ("position", "sample_id", "key", "pool", "group", "stage", "rule", "repeat", "tokens", "messages", "tools")
    return *(getattr(sample, name) for name in names), [(item.kind, item.read()) for item in sample.media]


def told_all(manifest: Path) -> list[tuple[Any, ...]]:
    """Every draw of a manifest, or of a copy."""
    dataset = ManifestDataset(manifest)
    return [told(dataset[position]) for position in range(len(dataset))]


def files(folder: Path) -> dict[str, bytes]:
    """What a folder holds, without locks."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
