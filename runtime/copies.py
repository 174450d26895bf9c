"""A manifest whose draws were copied into files of its own: which files, where each draw lies in them, and the proof.

Beside `manifest.json` and its shards, the folder then holds

    materialized.json        what was written: format, files and their digests; canonical JSON
    data/                    what other software reads: WebDataset, MDS, Parquet or JSON Lines
    locators/<file>.npy      a row for each draw of a file: offset and length of its record, unsigned 64 bits

The draws are those of the manifest, in its order: file follows file, and record follows record. To a reader a copy is the
same manifest with other sources: files of records that state their samples as they are (`rust_core/src/canonical.rs`).
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.errors import DataError, ManifestCorrupt
from recipe_compiler.manifest.codec import check_digests
from recipe_compiler.manifest.files import leads_out
from recipe_compiler.manifest.schema import Manifest, PoolRef, SourceRef

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
    """Locators (draws, 2) as the bytes of a `.npy` file."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(rows, dtype="<u8"), allow_pickle=False)
    return out.getvalue()


def read_locators(folder: Path, file: WrittenFile) -> NDArray[np.uint64]:
    """The locators (draws, 2) of a file: offset and length. Damaged ones raise `ManifestCorrupt`."""
    path = folder / locators_path(file.name)
    try:
        if leads_out(path, folder) or path.stat().st_size > 4096 + 16 * file.draws:
            raise ManifestCorrupt(str(path), "longer than locators are, or a link that leads out of the folder")
        data = path.read_bytes()
    except OSError as error:
        raise ManifestCorrupt(str(path), error.strerror or "cannot be read") from None
    if kernels.digest_parts("locators", [data]) != file.locators:
        raise ManifestCorrupt(str(path), "these are not the locators that were written")
    rows: NDArray[np.uint64] = np.load(io.BytesIO(data), allow_pickle=False)
    if rows.shape != (file.draws, 2):
        raise ManifestCorrupt(str(path), f"locators of another number of draws than {file.draws:,}")
    return rows


def sources(folder: Path, copy: Copy) -> tuple[SourceRef, ...]:
    """The files of a copy, as a reader opens any file of records. Parquet raises `DataError`."""
    layout = LAYOUTS[copy.kind]
    if layout is None:
        reason = "holds Parquet, which is for other software and not read draw by draw; stream the manifest it was"
        raise DataError(str(folder), f"{reason} written of, or materialize it as webdataset, mds or jsonl")
    return tuple(
        SourceRef(
            pool="",
            path=f"{DATA}/{file.name}",
            size=file.size,
            digest=file.digest,
            wrapping="plain",
            layout=layout,
            samples=file.draws,
        )
        for file in copy.files
    )


def pools(manifest: Manifest) -> tuple[PoolRef, ...]:
    """The pools of a manifest, as the records of a copy are read."""
    return tuple(replace(pool, fields=FIELDS, media=DATA) for pool in manifest.pools)


def columns(folder: Path, copy: Copy, start: int, stop: int) -> dict[str, NDArray[Any]]:
    """Where the draws from `start` to `stop` lie in a copy: the columns `source`, `offset` and `length` of their rows."""
    first = max(bisect_right(copy.files, start, key=lambda file: file.start) - 1, 0)
    found, numbers = [], []
    for number, file in enumerate(copy.files[first:], first):
        if file.start >= stop:
            break
        rows = read_locators(folder, file)[max(start - file.start, 0) : stop - file.start]
        found.append(rows)
        numbers.append(np.full(len(rows), number, dtype=np.uint32))
    places = np.concatenate(found) if found else np.empty((0, 2), dtype=np.uint64)
    source = np.concatenate(numbers) if numbers else np.empty(0, dtype=np.uint32)
    return {
        "source": source,
        "offset": np.ascontiguousarray(places[:, 0]),
        "length": np.ascontiguousarray(places[:, 1]),
    }


def media_name(sha256: str, extension: str) -> str:
    """The name below `data/media` of a file whose content has this digest."""
    return f"{sha256[:2]}/{sha256}.{extension}"
