"""A manifest into a folder: file after file, and in the end the manifest itself, so that a folder with one is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recipe_compiler import kernels
from recipe_compiler.manifest import store
from recipe_compiler.manifest.files import hold, sync, write_bytes_atomically
from recipe_compiler.manifest.schema import Manifest
from runtime import copies
from runtime.copies import DATA, FORMAT, LOCATORS, MEDIA, Copy, WrittenFile
from runtime.errors import CopyError
from runtime.materialize.encoding import Task, encoded
from runtime.materialize.shards import WORK, Shard, difference, finished

#: Told (what, bytes done, bytes in all as far as can be said).
Progress = Callable[[str, int, int], None]
#: Offsets in an MDS file have 32 bits; other files need not be larger either.
MAX_SHARD_BYTES = 2 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of it: the copy, and how many of its files an earlier run had completed."""

    copy: Copy
    kept: int


def materialize(task: Task, *, shard_bytes: int, num_processes: int, progress: Progress) -> Written:
    """Copies the draws of a manifest into a folder, or goes on where an earlier run was stopped.

    A file of several draws has at most `shard_bytes`, which are at most `MAX_SHARD_BYTES`. Raises `CopyError` where the
    folder holds something else or cannot be written, `DataError` where a draw cannot be read. What was completed stays; the
    same command goes on.
    """
    if not 1 <= shard_bytes <= MAX_SHARD_BYTES:
        raise CopyError(f"files of {shard_bytes:,} bytes are asked for; they may have 1 to {MAX_SHARD_BYTES:,}")
    manifest, out = store.read(task.folder), task.out
    request = Copy(kind=task.kind, manifest=manifest.ids.manifest, shard_bytes=shard_bytes, files=())
    try:
        with _claimed(out, manifest, request):
            known = copies.read(out, manifest) if (out / copies.DOCUMENT).exists() else None
            if known is not None and all(difference(out, file) is None for file in known.files):
                done = list(known.files)
            else:
                done = finished(out)
            kept = len(done)
            _tidy(out)
            _write_files(task, manifest, done, shard_bytes, num_processes, progress)
            copy = Copy(
                kind=task.kind,
                manifest=manifest.ids.manifest,
                shard_bytes=shard_bytes,
                files=tuple(done),
                others=_write_index(task, done),
            )
            _finish(task.folder, out, manifest, copy)
            return Written(copy=copy, kept=kept)
    except NotADirectoryError as error:
        raise CopyError(f"{error.filename or out}: is no folder; name a new one") from None
    except OSError as error:
        place = error.filename or out
        reason = f"{place}: {error.strerror or error}; the files that were completed stay, and the same command goes on"
        raise CopyError(reason) from None


@contextmanager
def _claimed(out: Path, manifest: Manifest, request: Copy) -> Iterator[None]:
    """Holds a folder for this copy; one that holds anything else raises."""
    names = set(os.listdir(out)) - {".lock", WORK} if out.exists() else set()
    asked = json.dumps([FORMAT, request.kind, request.manifest, request.shard_bytes]).encode()
    note = out / WORK / "request.json"
    if (out / copies.DOCUMENT).exists():
        found = copies.read(out, manifest)
        assert found is not None
        earlier = [FORMAT, found.kind, found.manifest, found.shard_bytes]
    elif note.exists():
        earlier = json.loads(note.read_bytes())
    elif names:
        raise CopyError(f"{out}: holds `{min(names)}` and no copy of a manifest; name a new folder")
    else:
        earlier = json.loads(asked)
    if earlier != json.loads(asked):
        what = f"a copy of manifest {str(earlier[2])[:12]} as {earlier[1]} in files of {earlier[3]:,} bytes"
        raise CopyError(f"{out}: holds {what}, which is not what is asked for; name a new folder")
    (out / WORK).mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        hold(lock, CopyError(f"{out}: another run is writing here; nothing was changed by this one"))
        write_bytes_atomically(note, asked)
        for name in (DATA, LOCATORS, store.SHARDS):
            (out / name).mkdir(exist_ok=True)
        yield


def _tidy(out: Path) -> None:
    """Removes what a run that died was in the middle of. Nobody else writes here now."""
    folders = [out, out / DATA, out / LOCATORS, out / store.SHARDS, out / WORK, *(out / MEDIA).glob("*")]
    for folder in folders:
        for path in folder.glob(".*"):
            if path.is_file() and path.name != ".lock":
                path.unlink()


def _write_files(
    task: Task, manifest: Manifest, done: list[WrittenFile], shard_bytes: int, num_processes: int, progress: Progress
) -> None:
    """Adds the files that are not done. One is completed (synced, digested) while the next is being filled."""
    position = sum(file.draws for file in done)
    if position == manifest.draws:
        return
    container = task.container()
    num_bytes = sum(file.size for file in done)
    shard = Shard(task.out, len(done), position, container)
    closing: deque[Future[WrittenFile]] = deque()
    with ThreadPoolExecutor(1) as closer:
        try:
            for chunk in encoded(task, manifest, position, num_processes):
                first = 0
                for stop in _cuts(shard, chunk.sizes, shard_bytes):
                    shard.add(chunk, first, stop)
                    closing.append(closer.submit(shard.close))
                    shard, first = Shard(task.out, shard.number + 1, chunk.start + stop, container), stop
                    if len(closing) > 1:
                        done.append(closing.popleft().result())
                shard.add(chunk, first, len(chunk.sizes))
                position = chunk.start + len(chunk.sizes)
                num_bytes += sum(chunk.sizes)
                progress(f"write {task.kind}", num_bytes, num_bytes * manifest.draws // position)
            closing.append(closer.submit(shard.close))
            done += [future.result() for future in closing]
        except BaseException:
            shard.abandon()
            raise


def _cuts(shard: Shard, sizes: list[int], shard_bytes: int) -> list[int]:
    """The numbers of the draws of a chunk before which a new file begins: where one would grow beyond its size."""
    container = shard.container

    def whole(draws: int, num_bytes: int) -> int:
        return num_bytes + (0 if container is None else container.overhead(draws))

    cuts, num_bytes, draws = [], sum(shard.sizes), len(shard.sizes)
    for number, more in enumerate(sizes):
        if draws and whole(draws + 1, num_bytes + more) > shard_bytes:
            cuts.append(number)
            num_bytes = draws = 0
        num_bytes += more
        draws += 1
    return cuts


def _write_index(task: Task, files: list[WrittenFile]) -> tuple[WrittenFile, ...]:
    container = task.container()
    index = None if container is None else container.index(files)
    if index is None:
        return ()
    path = task.out / DATA / "index.json"
    write_bytes_atomically(path, index)
    digest = kernels.digest_file(path)
    return (WrittenFile(name=path.name, start=0, draws=0, size=len(index), digest=digest, locators=""),)


def _finish(folder: Path, out: Path, manifest: Manifest, copy: Copy) -> None:
    """Writes the manifest beside its draws, its document last: a folder that has one is whole."""
    for path in (out / MEDIA).rglob("*"):
        sync(path)
    sync(out / DATA)
    for shard in manifest.shards:
        store.read_shard(folder, shard)
        write_bytes_atomically(out / shard.file, (folder / shard.file).read_bytes())
    write_bytes_atomically(out / copies.DOCUMENT, copies.encode(copy))
    write_bytes_atomically(out / store.DOCUMENT, (folder / store.DOCUMENT).read_bytes())
    shutil.rmtree(out / WORK)
