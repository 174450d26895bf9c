"""`search`: samples of the pools by id, upstream key, media path or a piece of their text."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recipe_compiler import scanning
from recipe_compiler.errors import DataError, RecipeError
from recipe_compiler.manifest.files import read_at, record_stream
from recipe_compiler.manifest.rows import between, cells
from recipe_compiler.remote.address import is_remote
from recipe_compiler.resolve.bind import BoundFile, BoundPlan, BoundPool
from recipe_compiler.resolve.inventory import Digests
from recipe_compiler.resolve.remote import Remote
from recipe_compiler.resolve.workspace import Workspace

By: TypeAlias = Literal["id", "key", "media", "text"]

_HEX = re.compile("[0-9a-f]{8,32}")
#: How many records are looked into for a piece of text.
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A sample of a pool: `source` is the number of its file among all files."""

    pool: BoundPool
    file: BoundFile
    source: int
    row: int
    by: By

    def number(self, name: str) -> int:
        """A cell of its row of the index."""
        return int(self.file.index.table[name][self.row].as_py())

    @property
    def sample_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.number('id_high'):016x}{self.number('id_low'):016x}"

    @property
    def key(self) -> str | None:
        """The upstream key."""
        key: str | None = self.file.index.table["key"][self.row].as_py()
        return key


def search(bound: BoundPlan, workspace: Workspace, wanted: str, by: By | None) -> tuple[list[Found], list[str]]:
    """(the samples that `wanted` names, files whose texts could not be looked into).

    The samples are in canonical order, by the first way of naming that finds any, or by the given one.
    """
    texts = _Texts(workspace, wanted)
    ways: dict[By, Callable[[BoundPool, BoundFile], NDArray[np.int64]]] = {
        "id": lambda pool, file: _by_id(file, wanted),
        "key": lambda pool, file: _where(pc.equal(file.index.table["key"].cast(pa.large_string()), wanted)),
        "media": lambda pool, file: _by_media(pool, file, wanted),
        "text": texts.rows,
    }
    for way, look in ways.items():
        if by not in (None, way):
            continue
        found = [
            Found(pool=pool, file=file, source=source, row=int(row), by=way)
            for source, (pool, file) in enumerate((pool, file) for pool in bound.pools for file in pool.files)
            for row in look(pool, file)
        ]
        if found:
            return found, texts.unread
    return [], texts.unread


def _where(mask: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.flatnonzero(np.asarray(pc.fill_null(mask, False).combine_chunks().to_numpy(zero_copy_only=False)))


def _by_id(file: BoundFile, wanted: str) -> NDArray[np.int64]:
    """Rows whose id begins with these (at least eight) hexadecimal digits."""
    digits = wanted.lower()
    if not _HEX.fullmatch(digits):
        return np.empty(0, dtype=np.int64)
    low, high = int(digits.ljust(32, "0"), 16), int(digits.ljust(32, "f"), 16)
    first, second = cells(file.index.table, "id_high"), cells(file.index.table, "id_low")
    rows = between(first, low >> 64, high >> 64)
    return np.array([row for row in rows if low <= int(first[row]) << 64 | int(second[row]) <= high], dtype=np.int64)


def _by_media(pool: BoundPool, file: BoundFile, wanted: str) -> NDArray[np.int64]:
    """Rows that refer to this path, or to one that ends in it; the pool's media folder may stand before it."""
    parts = wanted.removeprefix("./").split("/")
    folder = f"/{(pool.scan.media or '').rstrip('/')}"
    # What stands before the reference may be the end of the media folder, or all of it.
    names = {"/".join(parts[at:]) for at in range(len(parts)) if folder.endswith("/".join(["", *parts[:at]]))}
    media = file.index.table["media"].combine_chunks()
    if pa.types.is_null(media.type):
        return np.empty(0, dtype=np.int64)
    paths = pc.list_flatten(media)
    hit = pc.or_(pc.is_in(paths, pa.array(sorted(names), paths.type)), pc.ends_with(paths, f"/{'/'.join(parts)}"))
    hits = np.flatnonzero(hit.to_numpy(zero_copy_only=False))
    return np.unique(np.asarray(pc.list_parent_indices(media).to_numpy(zero_copy_only=False))[hits])


class _Texts:
    """Looks for a piece of text, and notes the files that are not there as they were compiled."""

    def __init__(self, workspace: Workspace, wanted: str) -> None:
        self.workspace = workspace
        self.wanted = wanted
        self.digests = Digests(workspace)
        self.unread: list[str] = []

    def rows(self, pool: BoundPool, file: BoundFile) -> NDArray[np.int64]:
        """Rows in whose messages this text stands."""
        stream = self.stream(file)
        if stream is None:
            self.unread.append(file.path)
            return np.empty(0, dtype=np.int64)
        table = file.index.table
        offsets, lengths = cells(table, "offset").astype(np.int64), cells(table, "length").astype(np.int64)
        mapper = scanning.Mapper(layout=file.layout, fields=pool.fields)
        rows = []
        for row in self.candidates(stream, offsets, lengths):
            content = mapper.sample(read_at(stream, int(offsets[row]), int(lengths[row]))).content
            parts = [part for message in content["messages"] for part in message["content"]]
            if any(self.wanted in part.get("text", "") for part in parts):
                rows.append(row)
        return np.array(rows, dtype=np.int64)

    def stream(self, file: BoundFile) -> Path | None:
        """The record stream, if the file is there as it was compiled."""
        path: Path | None = self.workspace.root / file.path
        try:
            if is_remote(file.path):
                # Only what was fetched is looked into: a search is no reason to fetch a pool.
                path = Remote(self.workspace, self.digests).copies.kept(file.digest, file.size)
            if path is None or path.stat().st_size != file.size or self.digests.of(path)[0] != file.digest:
                return None
            return record_stream(path, digest=file.digest, wrapping=file.wrapping, cache=self.workspace.cache)
        except (OSError, DataError):
            return None

    def candidates(self, stream: Path, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[int]:
        """Rows in whose bytes the text stands in one of its forms."""
        if not stream.stat().st_size:
            return []
        rows: set[int] = set()
        with stream.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for form in _forms(self.wanted):
                for at in _hits(data, form):
                    row = int(np.searchsorted(offsets, at, side="right")) - 1
                    if row >= 0 and at < offsets[row] + lengths[row]:
                        rows.add(row)
                    if len(rows) > _MOST:
                        raise RecipeError(
                            f"`{self.wanted}` stands in more than {_MOST:,} records; say more of the text"
                        )
        return sorted(rows)


def _forms(wanted: str) -> list[bytes]:
    """How a text may stand in a file: as it is, or escaped as JSON does, with and without ASCII alone."""
    escaped = (json.dumps(wanted, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    return list(dict.fromkeys([wanted.encode(), *(form.encode() for form in escaped)]))


def _hits(data: mmap.mmap, form: bytes) -> Iterator[int]:
    at = data.find(form)
    while form and at >= 0:
        yield at
        at = data.find(form, at + 1)
