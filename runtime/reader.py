"""Positions -> samples: rows from shards, records from pools by byte range, media by reference.

Every record is proved to be the one that was compiled: its sample id is computed again from its bytes.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recipe_compiler.errors import DataError, ManifestCorrupt
from recipe_compiler.kernels import KernelError
from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.fetched import RemoteManifest
from recipe_compiler.manifest.files import leads_out, record_stream
from recipe_compiler.manifest.schema import ROWS, Manifest, PoolRef, SourceRef
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.address import below, is_remote
from recipe_compiler.scanning import Mapper
from runtime import copies
from runtime.errors import StreamError
from runtime.sample import Media, Sample, of_media, of_record
from runtime.source import Source

if TYPE_CHECKING:
    from runtime.storage.files import RemoteFiles

_SHARDS_KEPT = 4
_OF_THE_PROCESS = ("_shards", "_files", "_folders", "_process", "_lock", "_remote")


#: Rows as a column for each name.
Rows: TypeAlias = Mapping[str, NDArray[Any]]


class _Part(Mapping[str, NDArray[Any]]):
    """Some rows of columns, each cut out when it is asked for: hardly anybody asks for all of them."""

    __slots__ = ("_at", "_columns")

    def __init__(self, columns: Rows, at: slice | NDArray[np.intp]) -> None:
        self._columns = columns
        self._at = at

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name][self._at]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class Reader:
    """Random access to the draws of a manifest. Opens files when they are first needed; safe to pickle and to fork.

    The manifest and its files may each be remote (a URL); `access` bounds how stores are asked.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        root: Path | None = None,
        cache: Path | None = None,
        check_sizes: bool = True,
        access: Access | None = None,
    ) -> None:
        self.access = access or Access()
        self._origin: RemoteManifest | None = None
        if is_remote(str(folder)):
            home = Path(cache) if cache is not None else Path(root or Path.cwd()) / store.CACHE
            self._origin = RemoteManifest.open(str(folder), home, self.access)
        self.folder = self._origin.folder if self._origin is not None else Path(folder)
        self.check_sizes = check_sizes
        self.manifest: Manifest = store.read(self.folder)
        self.copy = copies.read(self.folder, self.manifest)
        if self.copy is None:
            self.sources, self.pools = self.manifest.sources, self.manifest.pools
            self.root = Path(root) if root is not None else store.find_root(self.folder, self.manifest)
        else:
            # The same draws lie in other files, which are beside the manifest.
            self.sources, self.pools = copies.sources(self.folder, self.copy), copies.pools(self.manifest)
            self.root = self.folder
        self.cache = Path(cache) if cache is not None else self.root / store.CACHE
        self._starts = [shard.start for shard in self.manifest.shards]
        self._reset()

    def _reset(self) -> None:
        self._shards: OrderedDict[int, dict[str, NDArray[Any]]] = OrderedDict()
        self._files: dict[tuple[int, int], Source] = {}
        self._folders: dict[Path, bool] = {}
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._remote: RemoteFiles | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _OF_THE_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __len__(self) -> int:
        return self.manifest.draws

    @property
    def is_remote(self) -> bool:
        """Whether some of what it reads comes from a store."""
        names = [*(source.path for source in self.sources), *(pool.media for pool in self.pools)]
        return any(name is not None and is_remote(name) for name in names)

    @property
    def remote(self) -> RemoteFiles:
        """The remote files behind it, by way of its cache."""
        if os.getpid() != self._process:
            self._reset()
        with self._lock:
            if self._remote is None:
                from runtime.storage.files import RemoteFiles

                self._remote = RemoteFiles(self.cache, self.access)
            return self._remote

    def shard(self, number: int) -> pa.Table:
        """The rows of a shard by its number."""
        ref = self.manifest.shards[number]
        return store.read_shard(self.folder, ref) if self._origin is None else self._origin.shard(ref)

    def row(self, position: int) -> dict[str, Any]:
        """The row of a position: what the manifest says of the draw, without touching its pool."""
        number = self._shard_number(position)
        at = position - self._starts[number]
        return {name: column[at] for name, column in self._shard(number).items()}

    def rows(self, positions: Sequence[int]) -> Rows:
        """The rows of positions, as a column for each name; those of a range inside one shard without a copy."""
        if not len(positions):
            return _Part(self._shard(0), slice(0)) if self._starts else {}
        run = isinstance(positions, range) and positions.step == 1
        ends = (positions[0], positions[-1]) if run else (min(positions), max(positions))
        first, last = map(self._shard_number, ends)
        if first == last:
            start = self._starts[first]
            at: Any = slice(positions[0] - start, positions[-1] + 1 - start) if run else np.array(positions) - start
            return _Part(self._shard(first), at)
        numbers = np.searchsorted(self._starts, positions, side="right") - 1
        parts = {number: self.rows(np.array(positions)[numbers == number].tolist()) for number in np.unique(numbers)}
        back = np.argsort(np.argsort(numbers, kind="stable"), kind="stable")
        return {name: np.concatenate([part[name] for part in parts.values()])[back] for name in ROWS.names}

    def _shard_number(self, position: int) -> int:
        if os.getpid() != self._process:
            # A forked worker must not share file offsets and locks with its parent.
            self._reset()
        if not 0 <= position < len(self):
            raise StreamError(f"position {position:,} is beyond the {len(self):,} draws of the manifest")
        return bisect_right(self._starts, position) - 1

    def units(self, number: int) -> NDArray[np.uint64]:
        """The unit of each row of a shard, in which they follow one another."""
        units: NDArray[np.uint64] = self._shard(number)["unit"]
        return units

    def _shard(self, number: int) -> dict[str, NDArray[Any]]:
        """The columns of a shard."""
        shard = self._shards.get(number)
        if shard is None:
            shard = self._columns(number)
            if self.copy is not None:
                start = self._starts[number]
                shard |= copies.columns(self.folder, self.copy, start, start + len(shard["unit"]))
            self._check_numbers(number, shard)
            store.check_units(self.folder, self.manifest, number, shard["unit"])
            with self._lock:
                self._shards[number] = shard
                if len(self._shards) > _SHARDS_KEPT:
                    self._shards.popitem(last=False)
        return shard

    def _columns(self, number: int) -> dict[str, NDArray[Any]]:
        """The columns of a shard, in memory of their own.

        Reading a file takes Arrow several times what its columns are, and it keeps all of that unless it is told.
        """
        table = self.shard(number)
        columns = {name: rows.cells(table, name).copy() for name in ROWS.names}
        del table
        pa.default_memory_pool().release_unused()
        return columns

    def _check_numbers(self, number: int, shard: Mapping[str, NDArray[Any]]) -> None:
        """Raises where rows name what the manifest does not have."""
        numbers = {
            "source": self.sources,
            "pool": self.pools,
            "stage": self.manifest.stages,
            "rule": self.manifest.rules,
        }
        for name, named in numbers.items():
            wrong = np.flatnonzero(shard[name] >= len(named))
            if len(wrong):
                position = self._starts[number] + int(wrong[0])
                raise ManifestCorrupt(str(self.folder), f"position {position:,} names a {name} that there is not")

    def place(self, source: int, pool: int) -> tuple[SourceRef, PoolRef]:
        """A source and the pool it is of. Two pools may be one file that is read in two ways, see `recipe --after`."""
        ref, of = self.sources[source], self.pools[pool]
        if self.copy is None and ref.pool != of.name:
            raise ManifestCorrupt(str(self.folder), f"a draw of pool `{of.name}` is of a source of pool `{ref.pool}`")
        return ref, of

    def stream_of(self, ref: SourceRef, copy: Path | None = None) -> tuple[Path, int]:
        """(the file that locators of a source count in, its size), after it was seen to be the file that was compiled.

        `copy` is that of a remote file.
        """
        path = copy or self.root / ref.path
        try:
            size = path.stat().st_size
            if not path.is_file():
                raise DataError(ref.path, "is no file")
            if copy is None and leads_out(path, self.root):
                raise DataError(ref.path, "a link that leads out of the root")
            if self.check_sizes and size != ref.size:
                raise DataError(ref.path, f"{size:,} bytes where {ref.size:,} were compiled")
            stream = record_stream(path, digest=ref.digest, wrapping=ref.wrapping, cache=self.cache)
            return stream, stream.stat().st_size
        except OSError as error:
            raise DataError(ref.path, error.strerror or "cannot be opened") from None

    def records(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The records that are in stores, by position, asked for together."""
        spans = {}
        for position in positions:
            row = self.row(position)
            span = self._source(position, row)[0].span(int(row["offset"]), int(row["length"]))
            if span is not None:
                spans[position] = span
        return dict(zip(spans, self.remote.read(list(spans.values())), strict=True)) if spans else {}

    def _source(self, position: int, row: dict[str, Any]) -> tuple[Source, PoolRef]:
        """The file of a row, opened, and its pool."""
        place = int(row["source"]), int(row["pool"])
        ref, pool = self.place(*place)
        source = self._files.get(place)
        if source is None:
            source = self._files[place] = self._opened(ref, pool)
        return source, pool

    def _opened(self, ref: SourceRef, pool: PoolRef) -> Source:
        try:
            mapper = Mapper(layout=ref.layout, fields=pool.fields)
        except KernelError as error:
            raise ManifestCorrupt(str(self.folder), f"how `{ref.path}` is read makes no sense ({error})") from None
        if not is_remote(ref.path):
            return Source(ref, mapper, stream=self.stream_of(ref))
        # Sizes are not checked to see what a changed file holds now, and then a copy of the old one is no help.
        copy = self.remote.local(ref) if self.check_sizes else None
        stream = None if copy is None else self.stream_of(ref, copy)
        return Source(ref, mapper, stream=stream, files=self.remote, copy=copy, as_compiled=self.check_sizes)

    def sample(self, position: int, record: bytes | None = None) -> Sample:
        """The sample at a position, from the bytes of its record if they are given.

        A pool that is not as it was compiled raises `DataError` with the file.
        """
        row = self.row(position)
        source, pool = self._source(position, row)
        offset = int(row["offset"])
        try:
            if record is None:
                record = source.record(offset, int(row["length"]))
            parts = source.mapper.sample(record)
            if parts.sample_id != bytes(row["sample_id"]):
                raise DataError(source.ref.path, "the record is not the one that was compiled")
        except DataError as error:
            if source.drop_damaged_copy():
                del self._files[int(row["source"]), int(row["pool"])]
                return self.sample(position)
            raise DataError(source.ref.path, of_record(position, offset, error.reason)) from None
        try:
            media = [self._media(media, parts.blobs, pool.media) for media in parts.content["media"]]
        except DataError as error:
            raise DataError(error.path, of_media(position, error.reason)) from None
        return Sample(
            **self.of_row(row, position),
            key=parts.content["key"],
            messages=parts.content["messages"],
            media=media,
            tools=parts.content["tools"],
        )

    def facts(self, position: int) -> Mapping[str, Any]:
        """What an answer to the sample at a position is judged by, see `scanning.Mapper.facts`."""
        row = self.row(position)
        source, _ = self._source(position, row)
        offset = int(row["offset"])
        try:
            return source.mapper.facts(source.record(offset, int(row["length"])))
        except DataError as error:
            raise DataError(source.ref.path, of_record(position, offset, error.reason)) from None

    def of_row(self, row: Mapping[str, Any], position: int) -> dict[str, Any]:
        """What a row says of its sample."""
        pool = self.manifest.pools[int(row["pool"])]
        return {
            "position": position,
            "sample_id": bytes(row["sample_id"]).hex(),
            "pool": pool.name,
            "group": pool.group,
            "stage": self.manifest.stages[int(row["stage"])].name,
            "rule": self.manifest.rules[int(row["rule"])],
            "repeat": int(row["repeat"]),
            "tokens": int(row["tokens"]),
            "unit": int(row["unit"]),
        }

    def tombstone(self, position: int, reason: str) -> Sample:
        """What stands for a sample that cannot be read: all that its row says, and why there is no more."""
        facts = self.of_row(self.row(position), position)
        return Sample(**facts, key=None, messages=[], media=[], tools=None, tombstone=reason)

    def _media(self, media: dict[str, Any], blobs: list[bytes], folder: str | None) -> Media:
        if "blob" in media:
            return Media(kind=media["kind"], path=None, data=blobs[media["blob"]])
        reference = PurePosixPath(media["path"])
        if reference.is_absolute() or ".." in reference.parts or "://" in media["path"] or "\0" in media["path"]:
            raise DataError(media["path"], "a media reference that leads out of the pool's media folder")
        if folder is not None and is_remote(folder):
            url = below(folder, media["path"])
            return Media(kind=media["kind"], path=None, data=None, url=url, files=self.remote)
        path = self.root / (folder or "") / reference
        if self._leads_out(path):
            raise DataError(media["path"], "a link that leads out of the root")
        return Media(kind=media["kind"], path=path, data=None, sha256=self.digest_of(path))

    def digest_of(self, path: Path) -> str | None:
        """The SHA-256 of what a file of media must hold, where that is known: a copy names them by it."""
        return None if self.copy is None else path.name.partition(".")[0]

    def _leads_out(self, path: Path) -> bool:
        """Whether a media file lies outside the root. Folders are looked at once, so that a file costs one question."""
        outside = self._folders.get(path.parent)
        if outside is None:
            outside = self._folders[path.parent] = leads_out(path.parent, self.root)
        try:
            return outside or (path.is_symlink() and leads_out(path, self.root))
        except OSError:
            return False  # A name that no file can have; reading it will say so.


def positions_of_source(reader: Reader, number: int) -> NDArray[np.int64]:
    """The positions that read a source, in order."""
    found = []
    for number_of_shard, shard in enumerate(reader.manifest.shards):
        table = reader.shard(number_of_shard)
        found.append(shard.start + np.flatnonzero(rows.cells(table, "source") == number))
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
