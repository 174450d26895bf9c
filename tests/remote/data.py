"""Pools that lie below a folder and in stores alike, and what is read of them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from recipe_compiler.emit.build import Built
from recipe_compiler.remote.access import Access
from runtime.sample import Sample
from tests.support import compile_text, questions

#: Patient enough for what tests break, and quick about it.
QUICK = Access(tries=6, seconds=20.0, wait=0.01)

RECIPE = """recipe: 1
name: far
pools:
  a: {source: "HOME/a.jsonl", format: qa, group: text}
  b: {source: "HOME/b.jsonl.gz", format: qa, group: text}
  c: {source: "HOME/c.parquet", format: qa, group: text}
  d: {source: "HOME/d.jsonl", format: llava, media: "HOME/images", missing_media: keep}
stages:
  - {name: first, where: group == "text"}
  - {name: second, mix: {by: pool, weights: equal}, draws: {count: 40}, repeat: {max: any}}
shard: {rows: 40}
"""


def jsonl(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8 + number % 5, 8), (number * 7 % 256, 40, 90)).save(out, "PNG")
    return out.getvalue()


def files() -> dict[str, bytes]:
    """Plain, compressed and columnar pools, and one with images, by name."""
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(questions("c", 15)), table)
    pictured = [
        {
            "id": f"d-{number}",
            "image": f"{number % 4}/{number}.png",
            "conversations": [
                {"from": "human", "value": f"<image>\nWhat is {number}?"},
                {"from": "gpt", "value": f"It is {number}."},
            ],
        }
        for number in range(12)
    ]
    return {
        "a.jsonl": jsonl(questions("a", 60)),
        "b.jsonl.gz": gzip.compress(jsonl(questions("b", 20)), mtime=0),
        "c.parquet": table.getvalue(),
        "d.jsonl": jsonl(pictured),
        **{f"images/{number % 4}/{number}.png": picture(number) for number in range(12)},
    }


def write_files(folder: Path) -> None:
    for name, data in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def compiled_from(folder: Path, home: str, recipe: str = RECIPE) -> Built:
    """The recipe compiled in a folder, its pools below `home`: a folder's name or a URL."""
    folder.mkdir(parents=True, exist_ok=True)
    return compile_text(folder, recipe.replace("HOME", home))


def content(samples: list[Sample]) -> list[tuple[Any, ...]]:
    """Everything that training sees of samples."""
    return [
        (sample.position, sample.sample_id, sample.key, sample.messages, [media.read() for media in sample.media])
        for sample in samples
    ]


def every(number: int, fault: str) -> Callable[[int, str, str], str | None]:
    """The fault with every `number`-th request."""
    return lambda at, _method, _path: fault if at % number == number - 1 else None
