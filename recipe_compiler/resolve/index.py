"""The index of one file: a table with a row for each sample, built once for a content and a mapping."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from recipe_compiler import kernels, scanning
from recipe_compiler.errors import DataError
from recipe_compiler.manifest.files import write_atomically, write_bytes_atomically
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.scanning import Malformed

#: Part of every cache key: raise it when the scanners or the mapping change what they find.
READER_VERSION = "6"
#: The prefixes under which carried upstream values stand in an index: as they were written, and as numbers. The texts are
#: left out where the numbers give them back, and are numbered (an Arrow dictionary) where few are different.
CARRIED = "column:"
NUMBER = "number:"

#: Bits of the masks of kinds that `scanning.Index` gives.
BOOLEAN, INTEGER, FLOAT, TEXT = 1, 2, 4, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIndex:
    """An index, what it was made of, the kinds of values each carried column held, and the records it leaves out."""

    key: str
    table: pa.Table
    seen: Mapping[str, int]
    malformed: tuple[Malformed, ...]


def _key(room: str, facts: Mapping[str, Any]) -> str:
    text = json.dumps({"reader": READER_VERSION, **facts}, sort_keys=True, ensure_ascii=False)
    return kernels.digest_parts(room, [text.encode()])


def remember(workspace: Workspace, room: str, facts: Mapping[str, Any], find: Callable[[], Any]) -> Any:
    """What follows from these facts, as plain JSON: from the cache, or found now and kept.

    An entry carries a digest of itself; a damaged one is as good as none.
    """
    path = workspace.room(room) / f"{_key(room, facts)}.json"
    try:
        entry = json.loads(path.read_bytes())
        text = json.dumps(entry["value"], sort_keys=True)
        if entry["digest"] == kernels.digest_parts("remembered", [text.encode()]):
            return entry["value"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    value = find()
    text = json.dumps(value, sort_keys=True)
    entry = {"value": value, "digest": kernels.digest_parts("remembered", [text.encode()])}
    write_bytes_atomically(path, json.dumps(entry, sort_keys=True).encode())
    return json.loads(text)


def index_file(
    workspace: Workspace, stream: Path, *, digest: str, layout: Mapping[str, Any], fields: Mapping[str, Any]
) -> FileIndex:
    """The index of a record stream, from the cache if it was built before and is intact."""
    known = cached_index(workspace, digest=digest, layout=layout, fields=fields)
    if known is not None:
        return known
    path = place(workspace, "index", digest, layout, fields)
    # Arrow's functions take time to import, and most compiles build no index.
    from recipe_compiler.resolve.columns import build

    keep(build(scanning.index(stream, layout=layout, fields=fields)), path)
    return _read(path)


def cached_index(
    workspace: Workspace, *, digest: str, layout: Mapping[str, Any], fields: Mapping[str, Any]
) -> FileIndex | None:
    """The index of a file's content if it was built before and is intact; the file need not be there any more."""
    path = place(workspace, "index", digest, layout, fields)
    return _read(path) if intact(path) else None


def place(workspace: Workspace, room: str, digest: str, layout: Mapping[str, Any], fields: Mapping[str, Any]) -> Path:
    """Where a room keeps the table of a file's content as it is read so."""
    key = _key(room, {"digest": digest, "layout": layout, "fields": fields})
    return workspace.room(room) / f"{key}.arrow"


def intact(path: Path) -> bool:
    """Whether a table that was kept is there as it was written."""
    try:
        return path.with_suffix(".digest").read_bytes() == kernels.digest_file(path).encode()
    except (OSError, DataError):
        return False


def keep(table: pa.Table, path: Path) -> None:
    """Writes a table, and a digest of it beside it."""
    write_atomically(path, lambda temporary: _write(table, temporary))
    write_bytes_atomically(path.with_suffix(".digest"), kernels.digest_file(path).encode())


def read_table(path: Path) -> pa.Table:
    """A table that was kept, mapped into memory."""
    # Arrow's own mapping asks for all of a file in advance, page by page, whatever is read of it then.
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return ipc.open_file(pa.py_buffer(mapped)).read_all()


def _read(path: Path) -> FileIndex:
    table = read_table(path)
    facts = json.loads(table.schema.metadata[b"recipe"])
    malformed = tuple(Malformed(**record) for record in facts["malformed"])
    return FileIndex(key=path.stem, table=table, seen=facts["seen"], malformed=malformed)


def _write(table: pa.Table, path: Path) -> None:
    with ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
