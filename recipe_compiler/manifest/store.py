"""A manifest on disk: `manifest.json` and `shards/<digest>.parquet`. Written so that a reader sees the old or the new.

Shards are named by content and written first; then `manifest.json` is moved into place; then shards that no manifest
names are removed. Whatever moment a writer dies at, `manifest.json` names only shards that are whole.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recipe_compiler import kernels, scanning
from recipe_compiler.errors import DataError, ManifestCorrupt, ManifestError
from recipe_compiler.manifest import codec, rows, seal
from recipe_compiler.manifest.files import hold, is_file, leads_out, sync, write_bytes_atomically, write_unsynced
from recipe_compiler.manifest.schema import ROWS, Manifest, ShardRef
from recipe_compiler.manifest.sources import Sources
from recipe_compiler.remote.address import is_remote

DOCUMENT = "manifest.json"
#: The folder of what can be computed or fetched again, below the root.
CACHE = ".recipe"
#: Shards that are read or written at once; compression and digests run outside the interpreter's lock. Who writes one waits
#: for the disk about as long.
_THREADS, _WRITERS = 4, 8
SHARDS = "shards"

#: What a document may weigh; one of ten thousand files weighs 6 MB.
MAX_DOCUMENT_BYTES = 16 << 20
#: What the rows of a shard may take in memory: this, or so many times its file. Ids and checksums hardly compress.
_FREE_BYTES = 64 << 20
_MAX_EXPANSION = 32
_ROW_BYTES = sum(field.type.bit_width // 8 for field in ROWS)
#: Rows that are packed together.
_GROUP = 1 << 16
#: All columns but hashes, which nothing makes smaller. Differences are packed: that takes less time than a dictionary.
#: Compressing what is packed would take a quarter longer, for a hundredth of the file. A seal stands for checksums of pages.
_DIFFERENCES = frozenset(name for name in ROWS.names if name not in ("sample_id", "check"))


def shard_file(digest: str) -> str:
    """The name of a shard, from the digest of its rows."""
    return f"{SHARDS}/{digest[:32]}.parquet"


def write(manifest: Manifest, tables: Iterator[pa.Table], folder: Path) -> str | None:
    """Writes a manifest and its shards, in the order of `manifest.shards`. One writer at a time; a second one raises.

    Returns the id of the manifest that it takes the place of, if that is another one.
    """
    document = codec.encode(manifest)
    if len(document) > MAX_DOCUMENT_BYTES:
        reason = f"its document would have {len(document):,} bytes of at most {MAX_DOCUMENT_BYTES:,}; name fewer files"
        raise ManifestError(f"{folder}: {reason}")
    if folder.is_dir():
        others = [name for name in os.listdir(folder) if name not in (SHARDS, DOCUMENT) and not name.startswith(".")]
        if others:
            raise ManifestError(f"{folder}: holds `{min(others)}`, which no compile writes; name a new folder")
    (folder / SHARDS).mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        hold(lock, ManifestError(f"{folder}: another compile is writing here; nothing was changed by this one"))
        replaced = None
        with suppress(ManifestError):
            replaced = read(folder).ids.manifest
        with ThreadPoolExecutor(_WRITERS) as threads:
            deque(threads.map(partial(_write_shard, folder), manifest.shards, tables), maxlen=0)
        sync(folder / SHARDS)
        write_bytes_atomically(folder / DOCUMENT, document)
        # What other manifests named, and what writers that died left behind. Nobody else writes here now.
        named = {(folder / shard.file).name for shard in manifest.shards}
        left = [path for path in (folder / SHARDS).iterdir() if path.name not in named]
        for path in (*left, *folder.glob(f".{DOCUMENT}.*")):
            path.unlink(missing_ok=True)
    return replaced if replaced != manifest.ids.manifest else None


def _write_shard(folder: Path, shard: ShardRef, table: pa.Table) -> None:
    target = folder / shard.file
    if target.exists():
        # It is named by its rows; a damaged one is written anew.
        with suppress(ManifestError):
            read_shard(folder, shard)
            return
    write_unsynced(target, partial(_write_rows, table))


def _write_rows(table: pa.Table, path: Path) -> None:
    path.write_bytes(encoded(table))


def encoded(table: pa.Table) -> memoryview:
    """The file of a shard, sealed."""
    columns = {name: rows.cells(table, name) for name in table.column_names}
    file = kernels.shard_file(columns, _DIFFERENCES, group=_GROUP, note=(seal.KEY, seal.EMPTY))
    data = file.data
    seal.seal(data)
    return data


def read(folder: Path) -> Manifest:
    """The manifest of a folder. Raises `ManifestError` where there is none, or not an intact one."""
    path = folder / DOCUMENT
    try:
        if not path.stat().st_size <= MAX_DOCUMENT_BYTES or not path.is_file():
            raise ManifestCorrupt(str(path), f"no file of at most {MAX_DOCUMENT_BYTES:,} bytes, as every manifest is")
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}; a manifest is a folder that `recipe compile` wrote") from None
    _keep_inside(path, folder)
    return codec.decode(data, str(path))


def _keep_inside(path: Path, folder: Path) -> None:
    if leads_out(path, folder):
        raise ManifestCorrupt(str(path), "a link that leads out of the manifest; copy the file itself")


def read_shard(folder: Path, shard: ShardRef) -> pa.Table:
    """The rows of a shard, proved to be those that were written."""
    path = folder / shard.file
    if shard.file != shard_file(shard.digest):
        raise ManifestCorrupt(str(path), "a shard is named by its digest")
    _keep_inside(path, folder)
    try:
        with pq.ParquetFile(path) as file:
            _check_size(path, file, shard)
        data = path.read_bytes()
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            # By one thread: shards are read side by side where there are many, and each thread would keep memory of its own.
            table = file.read(use_threads=False)
    except DataError as error:
        raise ManifestCorrupt(error.path, f"the shard cannot be read ({error.reason})") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ManifestCorrupt(str(path), f"the shard cannot be read ({str(error).splitlines()[0]})") from None
    if rows.digest(table) != shard.digest:
        damaged = rows.first_damaged(table)
        which = "" if damaged is None else f"; the first differing row is position {shard.start + damaged:,}"
        raise ManifestCorrupt(str(path), f"the rows are not those that were compiled{which}")
    if not seal.holds(memoryview(data)):
        reason = (
            "the rows are those that were compiled, but other bytes of the file were changed; compiling writes it anew"
        )
        raise ManifestCorrupt(str(path), reason)
    return table


def _check_size(path: Path, file: pq.ParquetFile, shard: ShardRef) -> None:
    """Raises before anything is read where the rows are not as many as were written, or would not fit in memory."""
    found = file.metadata.num_rows
    if found != shard.rows:
        raise ManifestCorrupt(str(path), f"{found:,} rows where the manifest says {shard.rows:,}")
    if not file.schema_arrow.equals(ROWS):
        raise ManifestCorrupt(str(path), "its columns are not those of a shard")
    size = path.stat().st_size
    if size > _FREE_BYTES + 2 * shard.rows * _ROW_BYTES:
        raise ManifestCorrupt(str(path), f"{size:,} bytes are more than {shard.rows:,} rows take")
    if shard.rows * _ROW_BYTES > max(_FREE_BYTES, _MAX_EXPANSION * size):
        raise ManifestCorrupt(str(path), f"{shard.rows:,} rows in a file far too small for them")
    scanning.check_table(path)


def read_rows(folder: Path, manifest: Manifest, stop: int | None = None) -> pa.Table:
    """All rows, in order; or those of the positions below `stop`."""
    needed = [shard for shard in manifest.shards if stop is None or shard.start < stop]
    with ThreadPoolExecutor(_THREADS) as threads:
        shards = threads.map(partial(read_shard, folder), needed)
        return pa.concat_tables([*shards] or [ROWS.empty_table()]).slice(0, stop)


def _sample_ids(folder: Path, manifest: Manifest) -> NDArray[Any]:
    """The id of every draw. Only a few shards are in memory at once, and of their other columns none is kept."""

    def ids(number: int) -> NDArray[Any]:
        shard = manifest.shards[number]
        table = read_shard(folder, shard)
        if not np.array_equal(rows.cells(table, "position"), np.arange(shard.start, shard.start + shard.rows)):
            reason = "its rows are not at the positions that the manifest states"
            raise ManifestCorrupt(str(folder / shard.file), reason)
        check_units(folder, manifest, number, rows.cells(table, "unit"))
        return rows.cells(table, "sample_id").copy()

    with ThreadPoolExecutor(_THREADS) as threads:
        return np.concatenate([np.empty(0, dtype="V16"), *threads.map(ids, range(len(manifest.shards)))])


def check_units(folder: Path, manifest: Manifest, number: int, units: NDArray[np.uint64]) -> None:
    """Raises `ManifestCorrupt` where the units of a shard do not count on from the shard before it to the one behind it."""
    shard = manifest.shards[number]
    behind = manifest.shards[number + 1].unit if number + 1 < len(manifest.shards) else units[-1]
    steps = np.diff(np.append(units, np.uint64(behind)))
    if int(units[0]) != shard.unit or (number == 0 and shard.unit) or bool((steps > 1).any()):
        reason = "the units of its draws do not follow one another"
        raise ManifestCorrupt(str(folder / shard.file), reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What `verify` looked at, and which sources differ from what was compiled (path, what differs).

    `past` are those of them that only the draws read that the manifest took over from another one. `unproved` are remote
    ones of the size that was compiled, whose bytes nobody on this machine has looked at.
    """

    shards: int
    rows: int
    sources: int
    changed: tuple[tuple[str, str], ...]
    past: tuple[tuple[str, str], ...]
    unproved: tuple[str, ...]


def verify(
    folder: Path,
    root: Path | None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    *,
    cache: Path | None = None,
    deep: bool = False,
) -> Verified:
    """Proves that a manifest is the one that was compiled: its document, every row, the identities, the sources.

    Sources are looked at where a root is given. A damaged manifest raises; changed sources are returned. `progress` is
    told (what, bytes of sources done, bytes in all). Of remote sources the size is asked, and with `deep` the bytes are
    fetched into the cache where it does not know them. A store that does not answer raises `StorageError`.
    """
    manifest = read(folder)
    ids = _sample_ids(folder, manifest)
    stages = [(stage.name, stage.draws) for stage in manifest.stages]
    for name, found in (("selection", rows.selection_digest(ids)), ("order", rows.order_digest(ids, stages))):
        if found != getattr(manifest.ids, name):
            raise ManifestCorrupt(str(folder), f"the rows do not give the {name} id that the manifest states")
    changed: list[tuple[str, str]] = []
    past: list[tuple[str, str]] = []
    numbers_past = frozenset(() if manifest.after is None else manifest.after.past_sources)
    total, done = sum(source.size for source in manifest.sources), 0
    sources = None if root is None else Sources(root, cache or root / CACHE, deep=deep)
    if sources is not None:
        for number, source in enumerate(manifest.sources):
            progress("verify sources", done, total)
            reason = sources.difference(source)
            if reason is not None:
                (past if number in numbers_past else changed).append((source.path, reason))
            done += source.size
    return Verified(
        shards=len(manifest.shards),
        rows=len(ids),
        sources=0 if root is None else len(manifest.sources),
        changed=tuple(changed),
        past=tuple(past),
        unproved=() if sources is None else tuple(sources.unproved),
    )


def find_root(folder: Path, manifest: Manifest) -> Path:
    """The nearest folder above a manifest in which one of its sources lies. Raises `DataError` where there is none.

    Where all are remote, it is the nearest one with a cache, or else the one that the manifest lies in.
    """
    if not manifest.sources:
        return folder
    local = [source.path for source in manifest.sources if not is_remote(source.path)]
    parents = folder.resolve().parents
    for candidate in parents:
        if any(is_file(candidate / path) for path in local) or (not local and (candidate / CACHE).is_dir()):
            return candidate
    if not local:
        return parents[0]
    raise DataError(local[0], f"is in no folder above {folder}; say where the data are with `--root`")
