"""Positions -> samples: rows from shards, records from pools by byte range, media by reference.

Every record is proved to be the one that was compiled: its sample id is computed again from its bytes.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler.errors import DataError, ManifestCorrupt
from recipe_compiler.kernels import KernelError, Mapper
from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.files import leads_out, record_stream
from recipe_compiler.manifest.schema import ROWS, Manifest, PoolRef, SourceRef
from runtime import decode
from runtime.decode import Pixels
from runtime.errors import StreamError

if TYPE_CHECKING:
    from PIL.Image import Image

_SHARDS_KEPT = 4
#: No record that was compiled is longer, see `rust_core/src/bounds.rs`.
_MAX_RECORD_BYTES = 512 << 20
_OF_THE_PROCESS = ("_shards", "_files", "_folders", "_process")


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """An image or video of a sample: bytes in the record, or a file below the pool's media folder.

    What was read ahead has its bytes in memory, whichever it is.
    """

    kind: str
    path: Path | None
    data: bytes | memoryview | None
    decoded: Pixels | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> list[Any]:
        data = bytes(self.data) if isinstance(self.data, memoryview) else self.data
        return [self.kind, self.path, data, self.decoded]

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path or f"embedded {self.kind}")

    def view(self) -> bytes | memoryview:
        """The encoded bytes, without a copy where they were read ahead. A file that is not there raises `DataError`."""
        if self.data is not None:
            return self.data
        assert self.path is not None
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(str(self.path), error.strerror or "cannot be read") from None

    def read(self) -> bytes:
        """The encoded bytes. A file that is not there raises `DataError`."""
        return bytes(self.view())

    def image(self) -> Image:
        """The decoded picture, by PIL. Bytes that are no picture raise `DataError`."""
        return decode.open_picture(self.view(), self.name)

    def pixels(self) -> Pixels:
        """The picture as height x width x 3 bytes, the same as PIL's in RGB; decoded ahead where that was asked for.

        `torch.from_numpy` takes them without a copy. An orientation in EXIF is not applied.
        """
        return self.decoded if self.decoded is not None else decode.rgb(self.view(), self.name)[0]

    def frames(self, count: int) -> Pixels:
        """Frames spread evenly over a video, as count x height x width x 3 bytes, by PyAV; see `decode.frames`."""
        return decode.frames(self.path if self.data is None and self.path else self.view(), count, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One draw; draws of one `unit` are taken together. `messages` hold parts `{"type": "text", "text"}` and `{"type": "image", "media": index}`.

    `tombstone` says why there is nothing to learn from here: the sample could not be read or decoded, and the loader was
    asked to go on. It has no messages and no media then, and counts for no loss.
    """

    position: int
    sample_id: str
    key: str | None
    pool: str
    group: str | None
    stage: str
    rule: str
    repeat: int
    tokens: int
    messages: list[dict[str, Any]]
    media: list[Media]
    tools: str | None
    unit: int
    tombstone: str | None = None


class Reader:
    """Random access to the draws of a manifest. Opens files when they are first needed; safe to pickle and to fork."""

    def __init__(
        self, folder: Path, *, root: Path | None = None, cache: Path | None = None, check_sizes: bool = True
    ) -> None:
        self.folder = Path(folder)
        self.check_sizes = check_sizes
        self.manifest: Manifest = store.read(self.folder)
        self.root = Path(root) if root is not None else store.find_root(self.folder, self.manifest)
        self.cache = Path(cache) if cache is not None else self.root / ".recipe"
        self._starts = [shard.start for shard in self.manifest.shards]
        self._reset()

    def _reset(self) -> None:
        self._shards: OrderedDict[int, dict[str, NDArray[Any]]] = OrderedDict()
        self._files: dict[tuple[int, int], _Source] = {}
        self._folders: dict[Path, bool] = {}
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _OF_THE_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __len__(self) -> int:
        return self.manifest.draws

    def row(self, position: int) -> dict[str, Any]:
        """The row of a position: what the manifest says of the draw, without touching its pool."""
        number = self._shard_number(position)
        at = position - self._starts[number]
        return {name: column[at] for name, column in self._shard(number).items()}

    def rows(self, positions: Sequence[int]) -> dict[str, NDArray[Any]]:
        """The rows of positions, as a column for each name; those of a range inside one shard without a copy."""
        if not len(positions):
            return {name: column[:0] for name, column in self._shard(0).items()} if self._starts else {}
        run = isinstance(positions, range) and positions.step == 1
        ends = (positions[0], positions[-1]) if run else (min(positions), max(positions))
        first, last = map(self._shard_number, ends)
        if first == last:
            start = self._starts[first]
            at: Any = slice(positions[0] - start, positions[-1] + 1 - start) if run else np.array(positions) - start
            return {name: column[at] for name, column in self._shard(first).items()}
        numbers = np.searchsorted(self._starts, positions, side="right") - 1
        parts = {number: self.rows(np.array(positions)[numbers == number].tolist()) for number in np.unique(numbers)}
        back = np.argsort(np.argsort(numbers, kind="stable"), kind="stable")
        return {name: np.concatenate([part[name] for part in parts.values()])[back] for name in ROWS.names}

    def _shard_number(self, position: int) -> int:
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
            table = store.read_shard(self.folder, self.manifest.shards[number])
            shard = {name: rows.cells(table, name) for name in ROWS.names}
            self._check_numbers(number, shard)
            store.check_units(self.folder, self.manifest, number, shard["unit"])
            self._shards[number] = shard
            if len(self._shards) > _SHARDS_KEPT:
                self._shards.popitem(last=False)
        return shard

    def _check_numbers(self, number: int, shard: Mapping[str, NDArray[Any]]) -> None:
        """Raises where rows name what the manifest does not have."""
        for name in ("source", "pool", "stage", "rule"):
            wrong = np.flatnonzero(shard[name] >= len(getattr(self.manifest, f"{name}s")))
            if len(wrong):
                position = self._starts[number] + int(wrong[0])
                raise ManifestCorrupt(str(self.folder), f"position {position:,} names a {name} that there is not")

    def place(self, source: int, pool: int) -> tuple[SourceRef, PoolRef]:
        """A source and the pool it is of. Two pools may be one file that is read in two ways, see `recipe --after`."""
        ref, of = self.manifest.sources[source], self.manifest.pools[pool]
        if ref.pool != of.name:
            raise ManifestCorrupt(str(self.folder), f"a draw of pool `{of.name}` is of a source of pool `{ref.pool}`")
        return ref, of

    def stream_of(self, ref: SourceRef) -> tuple[Path, int]:
        """(the file that locators of a source count in, its size), after it was seen to be the file that was compiled."""
        path = self.root / ref.path
        try:
            size = path.stat().st_size
            if not path.is_file():
                raise DataError(ref.path, "is no file")
            if leads_out(path, self.root):
                raise DataError(ref.path, "a link that leads out of the root")
            if self.check_sizes and size != ref.size:
                raise DataError(ref.path, f"{size:,} bytes where {ref.size:,} were compiled")
            stream = record_stream(path, digest=ref.digest, wrapping=ref.wrapping, cache=self.cache)
            return stream, stream.stat().st_size
        except OSError as error:
            raise DataError(ref.path, error.strerror or "cannot be opened") from None

    def sample(self, position: int) -> Sample:
        """The sample at a position. A pool that is not as it was compiled raises `DataError` with the file."""
        if os.getpid() != self._process:
            # A forked worker must not share file offsets and locks with its parent.
            self._reset()
        row = self.row(position)
        place = int(row["source"]), int(row["pool"])
        ref, pool = self.place(*place)
        source = self._files.get(place)
        if source is None:
            source = self._files[place] = _Source(ref, pool, self)
        offset = int(row["offset"])
        try:
            record = source.record(offset, int(row["length"]))
            parts = source.mapper.sample(record)
            if parts.sample_id != bytes(row["sample_id"]):
                raise DataError(ref.path, "the record is not the one that was compiled")
        except DataError as error:
            raise DataError(ref.path, of_record(position, offset, error.reason)) from None
        try:
            media = [self._media(media, parts.blobs, pool.media) for media in parts.content["media"]]
        except DataError as error:
            raise DataError(error.path, of_media(position, error.reason)) from None
        return Sample(
            **self.facts(row, position),
            key=parts.content["key"],
            messages=parts.content["messages"],
            media=media,
            tools=parts.content["tools"],
        )

    def facts(self, row: Mapping[str, Any], position: int) -> dict[str, Any]:
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
        facts = self.facts(self.row(position), position)
        return Sample(**facts, key=None, messages=[], media=[], tools=None, tombstone=reason)

    def _media(self, media: dict[str, Any], blobs: list[bytes], folder: str | None) -> Media:
        if "blob" in media:
            return Media(kind=media["kind"], path=None, data=blobs[media["blob"]])
        reference = PurePosixPath(media["path"])
        if reference.is_absolute() or ".." in reference.parts or "://" in media["path"] or "\0" in media["path"]:
            raise DataError(media["path"], "a media reference that leads out of the pool's media folder")
        path = self.root / (folder or "") / reference
        if self._leads_out(path):
            raise DataError(media["path"], "a link that leads out of the root")
        return Media(kind=media["kind"], path=path, data=None)

    def _leads_out(self, path: Path) -> bool:
        """Whether a media file lies outside the root. Folders are looked at once, so that a file costs one question."""
        outside = self._folders.get(path.parent)
        if outside is None:
            outside = self._folders[path.parent] = leads_out(path.parent, self.root)
        try:
            return outside or (path.is_symlink() and leads_out(path, self.root))
        except OSError:
            return False  # A name that no file can have; reading it will say so.


class _Source:
    """An open file of a pool."""

    def __init__(self, ref: SourceRef, pool: PoolRef, reader: Reader) -> None:
        self.ref = ref
        try:
            self.mapper = Mapper(layout=ref.layout, fields=pool.fields)
        except KernelError as error:
            raise ManifestCorrupt(str(reader.folder), f"how `{ref.path}` is read makes no sense ({error})") from None
        stream, self._size = reader.stream_of(ref)
        try:
            self._handle = os.open(stream, os.O_RDONLY)
        except OSError as error:
            raise DataError(ref.path, error.strerror or "cannot be opened") from None

    def record(self, offset: int, length: int) -> bytes:
        if length > _MAX_RECORD_BYTES:
            raise DataError(self.ref.path, f"a record of {length:,} bytes, and one has at most {_MAX_RECORD_BYTES:,}")
        if offset + length > self._size:
            raise DataError(self.ref.path, f"ends before byte {offset + length:,}; it was cut short")
        parts: list[bytes] = []
        left = length
        while left:
            part = os.pread(self._handle, left, offset + length - left)
            if not part:
                raise DataError(self.ref.path, f"ends before byte {offset + length:,}; it was cut short")
            parts.append(part)
            left -= len(part)
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            os.close(handle)


def of_record(position: int, offset: int, reason: str) -> str:
    """Why the record of a draw cannot be used, with where it is."""
    return f"position {position:,}, byte {offset:,}: {reason}"


def of_media(position: int, reason: str) -> str:
    """Why media of a draw cannot be used, with which draw it is."""
    return f"position {position:,}: {reason}"


def positions_of_source(reader: Reader, number: int) -> NDArray[np.int64]:
    """The positions that read a source, in order."""
    found = []
    for shard in reader.manifest.shards:
        table = store.read_shard(reader.folder, shard)
        found.append(shard.start + np.flatnonzero(rows.cells(table, "source") == number))
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
