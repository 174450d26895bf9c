"""The index of one file: a table with a row for each sample, built once for a content and a mapping."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from recipe_compiler import kernels
from recipe_compiler.kernels import Malformed, Texts
from recipe_compiler.manifest.files import write_atomically
from recipe_compiler.resolve.workspace import Workspace

#: Part of every cache key: raise it when the scanners or the mapping change what they find.
READER_VERSION = "1"

#: The prefix under which carried upstream values stand in an index.
CARRIED = "column:"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIndex:
    """An index, the kinds of values each carried column held, and the records that could not be used."""

    table: pa.Table
    seen: Mapping[str, int]
    malformed: tuple[Malformed, ...]


def remembered(workspace: Workspace, room: str, facts: Mapping[str, Any]) -> Path:
    """Where the cache keeps what follows from these facts."""
    text = json.dumps({"reader": READER_VERSION, **facts}, sort_keys=True, ensure_ascii=False)
    return workspace.room(room) / kernels.digest_parts(room, [text.encode()])


def index_file(
    workspace: Workspace, stream: Path, *, digest: str, layout: Mapping[str, Any], fields: Mapping[str, Any]
) -> FileIndex:
    """The index of a record stream, from the cache if it was built before."""
    path = remembered(workspace, "index", {"digest": digest, "layout": layout, "fields": fields})
    path = path.with_suffix(".arrow")
    if not path.exists():
        table = _build(kernels.index(stream, layout=layout, fields=fields))
        write_atomically(path, lambda temporary: _write(table, temporary))
    with pa.memory_map(str(path)) as source:
        table = ipc.open_file(source).read_all()
    facts = json.loads(table.schema.metadata[b"recipe"])
    return FileIndex(
        table=table, seen=facts["seen"], malformed=tuple(Malformed(**record) for record in facts["malformed"])
    )


def _write(table: pa.Table, path: Path) -> None:
    with ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def _build(index: kernels.Index) -> pa.Table:
    numbers = dict(index.numbers)
    counts = numbers.pop("num_media")
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    columns = {name: pa.array(values) for name, values in numbers.items()}
    columns["key"] = _texts(index.keys)
    columns["media"] = pa.LargeListArray.from_arrays(pa.array(offsets), _texts(index.media))
    for name, (texts, _) in index.columns.items():
        columns[f"{CARRIED}{name}"] = _texts(texts)
    facts = {
        "seen": {name: seen for name, (_, seen) in index.columns.items()},
        "malformed": [{"record": bad.record, "offset": bad.offset, "reason": bad.reason} for bad in index.malformed],
    }
    return pa.table(columns).replace_schema_metadata({"recipe": json.dumps(facts)})


def _texts(texts: Texts) -> pa.Array:
    valid = np.packbits(texts.valid, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(texts.offsets), pa.py_buffer(texts.data)]
    return pa.Array.from_buffers(pa.large_string(), len(texts.valid), buffers)
