"""Positions -> samples: rows from shards, records from pools by byte range, media by reference.

Every record is proved to be the one that was compiled: its sample id is computed again from its bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler.errors import DataError, ManifestCorrupt, PackageMissing
from recipe_compiler.kernels import KernelError, Mapper
from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.files import leads_out, record_stream
from recipe_compiler.manifest.schema import ROWS, Manifest, PoolRef, SourceRef
from runtime import copies
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

    `sha256` is what a file must hold, where that is known: in the copy of a manifest.
    """

    kind: str
    path: Path | None
    data: bytes | None
    sha256: str | None = None

    def read(self) -> bytes:
        """The encoded bytes. A file that is not there raises `DataError`."""
        data = self.data
        if data is None:
            assert self.path is not None
            try:
                data = self.path.read_bytes()
            except OSError as error:
                raise DataError(str(self.path), error.strerror or "cannot be read") from None
        if self.sha256 is not None and hashlib.sha256(data).hexdigest() != self.sha256:
            raise DataError(str(self.path), "other bytes than were written; materialize again")
        return data

    def image(self) -> Image:
        """The decoded picture, by PIL. Bytes that are no picture raise `DataError`."""
        try:
            from PIL import Image, UnidentifiedImageError
        except ModuleNotFoundError:
            raise PackageMissing("pillow", "images") from None
        try:
            picture = Image.open(io.BytesIO(self.read()))
            picture.load()
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            raise DataError(str(self.path or "embedded image"), f"is no picture that can be decoded: {error}") from None
        return picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One draw. `messages` hold parts `{"type": "text", "text"}` and `{"type": "image", "media": index}`.

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
    tombstone: str | None = None


class Reader:
    """Random access to the draws of a manifest. Opens files when they are first needed; safe to pickle and to fork."""

    def __init__(
        self, folder: Path, *, root: Path | None = None, cache: Path | None = None, check_sizes: bool = True
    ) -> None:
        self.folder = Path(folder)
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
        if not 0 <= position < len(self):
            raise StreamError(f"position {position:,} is beyond the {len(self):,} draws of the manifest")
        number = bisect_right(self._starts, position) - 1
        shard = self._shards.get(number)
        if shard is None:
            table = store.read_shard(self.folder, self.manifest.shards[number])
            shard = {name: rows.cells(table, name) for name in ROWS.names}
            if self.copy is not None:
                start = self._starts[number]
                shard |= copies.columns(self.folder, self.copy, start, start + len(table))
            self._shards[number] = shard
            if len(self._shards) > _SHARDS_KEPT:
                self._shards.popitem(last=False)
        at = position - self._starts[number]
        return {name: column[at] for name, column in shard.items()}

    def sample(self, position: int) -> Sample:
        """The sample at a position. A pool that is not as it was compiled raises `DataError` with the file."""
        if os.getpid() != self._process:
            # A forked worker must not share file offsets and locks with its parent.
            self._reset()
        row = self.row(position)
        numbers = {
            "source": self.sources,
            "pool": self.pools,
            "stage": self.manifest.stages,
            "rule": self.manifest.rules,
        }
        for name, named in numbers.items():
            if row[name] >= len(named):
                raise ManifestCorrupt(str(self.folder), f"position {position:,} names a {name} that there is not")
        # Two pools may be one file that is read in two ways: before and after the recipe was changed.
        place = int(row["source"]), int(row["pool"])
        ref, pool = self.sources[place[0]], self.pools[place[1]]
        source = self._files.get(place)
        if source is None:
            if self.copy is None and ref.pool != pool.name:
                raise ManifestCorrupt(str(self.folder), f"position {position:,} is of a pool that its source is not of")
            source = self._files[place] = _Source(ref, pool, self)
        record = source.record(int(row["offset"]), int(row["length"]))
        try:
            parts = source.mapper.sample(record)
        except DataError as error:
            raise DataError(source.ref.path, f"position {position:,}: {error.reason}") from None
        if parts.sample_id != bytes(row["sample_id"]):
            where = f"position {position:,}, byte {int(row['offset']):,}"
            raise DataError(source.ref.path, f"{where}: the record is not the one that was compiled")
        return Sample(
            position=position,
            sample_id=parts.sample_id.hex(),
            key=parts.content["key"],
            pool=pool.name,
            group=pool.group,
            stage=self.manifest.stages[int(row["stage"])].name,
            rule=self.manifest.rules[int(row["rule"])],
            repeat=int(row["repeat"]),
            tokens=int(row["tokens"]),
            messages=parts.content["messages"],
            media=[self._media(media, parts.blobs, pool.media) for media in parts.content["media"]],
            tools=parts.content["tools"],
        )

    def _media(self, media: dict[str, Any], blobs: list[bytes], folder: str | None) -> Media:
        if "blob" in media:
            return Media(kind=media["kind"], path=None, data=blobs[media["blob"]])
        reference = PurePosixPath(media["path"])
        if reference.is_absolute() or ".." in reference.parts or "://" in media["path"] or "\0" in media["path"]:
            raise DataError(media["path"], "a media reference that leads out of the pool's media folder")
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


class _Source:
    """An open file of a pool."""

    def __init__(self, ref: SourceRef, pool: PoolRef, reader: Reader) -> None:
        self.ref = ref
        try:
            self.mapper = Mapper(layout=ref.layout, fields=pool.fields)
        except KernelError as error:
            raise ManifestCorrupt(str(reader.folder), f"how `{ref.path}` is read makes no sense ({error})") from None
        path = reader.root / ref.path
        try:
            size = path.stat().st_size
            if not path.is_file():
                raise DataError(ref.path, "is no file")
            if leads_out(path, reader.root):
                raise DataError(ref.path, "a link that leads out of the root")
            if reader.check_sizes and size != ref.size:
                raise DataError(ref.path, f"{size:,} bytes where {ref.size:,} were compiled")
            stream = record_stream(path, digest=ref.digest, wrapping=ref.wrapping, cache=reader.cache)
            self._handle = os.open(stream, os.O_RDONLY)
            self._size = os.fstat(self._handle).st_size
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


def positions_of_source(reader: Reader, number: int) -> NDArray[np.int64]:
    """The positions that read a source, in order."""
    found = []
    for shard in reader.manifest.shards:
        table = store.read_shard(reader.folder, shard)
        found.append(shard.start + np.flatnonzero(rows.cells(table, "source") == number))
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
