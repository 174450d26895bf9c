"""Whole remote files, fetched once into the cache and kept by the digest of their bytes.

`<cache>/remote/files/<digest>` are the copies, and `<cache>/remote/known` says what each URL was when it was fetched. A
fetch that was stopped goes on where it was; the lock that keeps two from doing the same work goes with its process.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from recipe_compiler import kernels
from recipe_compiler.errors import DataError
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.stat import Stat
from recipe_compiler.remote.stores import Stores

#: What is asked for at once, and in how many requests; only whole chunks are trusted after a fetch that was stopped.
_CHUNK: Final = 16 << 20
_REQUEST: Final = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A remote file on this disk."""

    path: Path
    size: int
    digest: str


class Copies:
    """The copies of a cache."""

    def __init__(self, cache: Path, access: Access) -> None:
        self.stores = Stores(access)
        self._room = cache / "remote"

    def kept(self, digest: str, size: int) -> Path | None:
        """The copy of a content, if it is here and as long as it should be."""
        path = self._room / "files" / digest
        try:
            return path if path.stat().st_size == size else None
        except OSError:
            return None

    def known(self, url: str, stat: Stat) -> str | None:
        """The digest of a file that was fetched when the store said the same of it, or None."""
        if not stat.mark:
            return None
        try:
            said = json.loads(self._note(url).read_bytes())
            same = said["size"] == stat.size and said["mark"] == stat.mark
            return str(said["digest"]) if same else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def get(self, url: str, stat: Stat, progress: Callable[[int], None] = lambda _done: None) -> Copy:
        """A copy of a file: the one that is here, or one that is fetched now. `progress` is told the bytes done."""
        return self._here(url, stat) or self._fetched(url, stat, progress)

    def _here(self, url: str, stat: Stat) -> Copy | None:
        digest = self.known(url, stat)
        path = None if digest is None else self.kept(digest, stat.size)
        return None if digest is None or path is None else Copy(path=path, size=stat.size, digest=digest)

    def _fetched(self, url: str, stat: Stat, progress: Callable[[int], None]) -> Copy:
        try:
            for name in ("files", "known", "parts"):
                (self._room / name).mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._room).free
            key = kernels.digest_parts("part", [part.encode() for part in (url, str(stat.size), stat.mark)])
            part = self._room / "parts" / key
            with _held(part) as file:
                copy = self._here(url, stat)
                if copy is not None:
                    part.unlink()
                    return copy
                if stat.size - os.fstat(file.fileno()).st_size > free * 9 // 10:
                    raise DataError(
                        url, f"{stat.size:,} bytes do not fit beside the cache; name another with `--cache`"
                    )
                self._fill(file, url, stat, progress)
                digest = kernels.digest_file(part)
                target = self._room / "files" / digest
                part.chmod(0o644)
                part.replace(target)
                said = json.dumps({"url": url, "size": stat.size, "mark": stat.mark, "digest": digest}, sort_keys=True)
                made = part.with_name(f"{key}.known")
                made.write_text(said, encoding="utf-8")
                made.replace(self._note(url))
        except OSError as error:
            raise DataError(str(self._room), f"{error.strerror}; name another cache with `--cache`") from None
        return Copy(path=target, size=stat.size, digest=digest)

    def _fill(self, file: FileIO, url: str, stat: Stat, progress: Callable[[int], None]) -> None:
        """Writes what is missing. The last chunk of a fetch that was stopped may not have reached the disk."""
        size = os.fstat(file.fileno()).st_size
        begin = max(size - 1, 0) // _CHUNK * _CHUNK if stat.mark and size <= stat.size else 0
        file.truncate(begin)
        file.seek(begin)
        for start in range(begin, stat.size, _CHUNK):
            progress(start)
            stop = min(start + _CHUNK, stat.size)
            spans = [(at, min(at + _REQUEST, stop)) for at in range(start, stop, _REQUEST)]
            for data in self.stores.read(url, spans if stat.size > _CHUNK else [(0, stat.size)], stat.mark):
                _write(file, data)
            os.fdatasync(file.fileno())
        progress(stat.size)

    def _note(self, url: str) -> Path:
        return self._room / "known" / kernels.digest_parts("known", [url.encode()])


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


@contextmanager
def _held(part: Path) -> Iterator[FileIO]:
    """A part file, opened for this process alone. One that was finished while it was waited for is opened anew."""
    while True:
        with FileIO(part, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                ours = part.stat().st_ino == os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                ours = False
            if ours:
                yield file
                return
