"""A manifest whose draws were copied into files of its own: which files, where each draw lies in them, and the proof.

Beside `manifest.json` and its shards, the folder then holds

    materialized.json        what was written: format, files and their digests; canonical JSON
    data/                    what other software reads: WebDataset, MDS, Parquet or JSON Lines
    locators/<file>.npy      a row for each draw of a file: offset, length and checksum of its record, unsigned 64 bits

The draws are those of the manifest, in its order: file follows file, and record follows record.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.errors import DataError, ManifestCorrupt
from recipe_compiler.manifest.codec import check_digests
from recipe_compiler.manifest.files import leads_out
from recipe_compiler.manifest.schema import Manifest, SourceRef

FORMAT: Final = 1
DOCUMENT: Final = "materialized.json"
DATA, LOCATORS, MEDIA = "data", "locators", "data/media"
#: How the records of each kind of file are read; Parquet is read by others.
LAYOUTS: Final[Mapping[str, Mapping[str, Any] | None]] = {
    "webdataset": {"shape": "web-dataset"},
    "mds": {"shape": "mds"},
    "jsonl": {"shape": "json-lines"},
    "parquet": None,
}
#: The mapping of a record that states its sample as it is.
FIELDS: Final = {"canonical": True}
_MAX_DOCUMENT_BYTES = 64 << 20
_LOCATORS_KEPT = 4
_NAME = re.compile(r"[a-z]+[-.][0-9]{5,12}\.[a-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file of draws `start` to `start + draws`: its name in `data`, size in bytes, BLAKE3, and that of its locators.

    What has no locators (Parquet, an index) has an empty text for their digest.
    """

    name: str
    start: int
    draws: int
    size: int
    digest: str
    locators: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What was written of a manifest. `shard_bytes` is the size that a file does not exceed if it has several draws."""

    kind: str
    manifest: str
    shard_bytes: int
    files: tuple[WrittenFile, ...]
    others: tuple[WrittenFile, ...] = ()

    @property
    def num_bytes(self) -> int:
        """The size of all files of draws, without media in files of their own."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a draw lies: bytes of a file, and the checksum of these bytes."""

    file: int
    offset: int
    length: int
    check: int


def encode(copy: Copy) -> bytes:
    """The bytes of `materialized.json`."""
    document = {"format": FORMAT, **dataclasses.asdict(copy)}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def read(folder: Path, manifest: Manifest) -> Copy | None:
    """What was written of a manifest into its folder; None where its draws lie in pools. A damaged one raises."""
    path = folder / DOCUMENT
    try:
        if path.stat().st_size > _MAX_DOCUMENT_BYTES or leads_out(path, folder):
            raise ManifestCorrupt(str(path), "too large, or a link that leads out of the folder")
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestCorrupt(str(path), error.strerror or "cannot be read") from None
    try:
        document = json.loads(data)
        found = document.pop("format")
        if found != FORMAT:
            raise ManifestCorrupt(str(path), f"format {found}, and this version reads {FORMAT}")
        lists = {name: tuple(WrittenFile(**file) for file in document[name]) for name in ("files", "others")}
        copy = Copy(**{**document, **lists})
        _check(copy, manifest)
        intact = encode(copy) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestCorrupt(str(path), f"not what `recipe materialize` writes ({error})") from None
    if not intact:
        raise ManifestCorrupt(str(path), "was changed after it was written")
    return copy


def _check(copy: Copy, manifest: Manifest) -> None:
    if copy.kind not in LAYOUTS:
        raise ValueError(f"{copy.kind!r} is no kind of file that is known")
    if copy.manifest != manifest.ids.manifest:
        raise ValueError(f"it was written of manifest {copy.manifest[:12]}, and this is {manifest.ids.manifest[:12]}")
    start = 0
    for file in copy.files:
        numbers = (file.start, file.draws, file.size)
        if file.start != start or any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"{file.name!r} does not start where the one before it ends")
        start += file.draws
    if start != manifest.draws:
        raise ValueError(f"{start:,} draws of {manifest.draws:,}")
    for file in (*copy.files, *copy.others):
        if not _NAME.fullmatch(file.name) and file.name != "index.json":
            raise ValueError(f"{file.name!r} is no name of a file")
    check_digests([file.digest for file in (*copy.files, *copy.others)])
    if LAYOUTS[copy.kind] is not None:
        check_digests([file.locators for file in copy.files])


def locators_path(name: str) -> str:
    """Where the locators of a file of draws are, below the folder."""
    return f"{LOCATORS}/{name}.npy"


def encode_locators(rows: NDArray[np.uint64]) -> bytes:
    """Locators (draws, 3) as the bytes of a `.npy` file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(rows, dtype="<u8"), allow_pickle=False)
    return out.getvalue()


def read_locators(folder: Path, file: WrittenFile) -> NDArray[np.uint64]:
    """The locators (draws, 3) of a file: offset, length, checksum. Damaged ones raise `ManifestCorrupt`."""
    path = folder / locators_path(file.name)
    try:
        if leads_out(path, folder) or path.stat().st_size > 4096 + 24 * file.draws:
            raise ManifestCorrupt(str(path), "longer than locators are, or a link that leads out of the folder")
        data = path.read_bytes()
    except OSError as error:
        raise ManifestCorrupt(str(path), error.strerror or "cannot be read") from None
    if kernels.digest_parts("locators", [data]) != file.locators:
        raise ManifestCorrupt(str(path), "these are not the locators that were written")
    rows: NDArray[np.uint64] = np.load(io.BytesIO(data), allow_pickle=False)
    if rows.shape != (file.draws, 3):
        raise ManifestCorrupt(str(path), f"locators of another number of draws than {file.draws:,}")
    return rows


class Places:
    """Where each draw of a copy lies. Locators are read when they are first needed."""

    def __init__(self, folder: Path, copy: Copy) -> None:
        if LAYOUTS[copy.kind] is None:
            reason = "holds Parquet, which is for other software and not read draw by draw; stream the manifest it was"
            raise DataError(str(folder), f"{reason} written of, or materialize it as webdataset, mds or jsonl")
        self.folder, self.copy = folder, copy
        self._starts = [file.start for file in copy.files]
        self._locators: OrderedDict[int, NDArray[np.uint64]] = OrderedDict()

    def place(self, position: int) -> Place:
        """Where the draw at a position lies."""
        number = bisect_right(self._starts, position) - 1
        rows = self._locators.get(number)
        if rows is None:
            rows = self._locators[number] = read_locators(self.folder, self.copy.files[number])
            if len(self._locators) > _LOCATORS_KEPT:
                self._locators.popitem(last=False)
        offset, length, check = rows[position - self._starts[number]].tolist()
        return Place(number, offset, length, check)

    def source(self, number: int) -> SourceRef:
        """A file of draws, as a reader opens any file of records."""
        file, layout = self.copy.files[number], LAYOUTS[self.copy.kind]
        assert layout is not None
        return SourceRef(
            pool="",
            path=f"{DATA}/{file.name}",
            size=file.size,
            digest=file.digest,
            wrapping="plain",
            layout=layout,
            samples=file.draws,
        )


def media_name(sha256: str, extension: str) -> str:
    """The name below `data/media` of a file whose content has this digest."""
    return f"{sha256[:2]}/{sha256}.{extension}"
