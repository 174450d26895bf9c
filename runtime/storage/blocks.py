"""Blocks of remote files on the disk of a node, shared by all its processes, in a fixed number of places.

A block belongs to one set of places by its key, and replaces the one of that set that was not used for longest. So the
bytes on disk are bounded at every moment, there is no list to keep, and nothing to lock. A place is filled by a rename,
and holds its key and a digest: what was torn, damaged or is another block is as good as nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from recipe_compiler import kernels
from recipe_compiler.errors import StorageError

BLOCK: Final = 256 << 10
#: Places of a set.
_WAYS: Final = 8
#: After so many seconds, what a process that died was writing is cleared away, and places that nobody used.
_STALE: Final = 600
_PLACE: Final = re.compile(r"([0-9a-f]+)\.[0-9]")
_DIGEST_BYTES = 32
_KEY_BYTES = 32


class Blocks:
    """At most `limit` bytes of blocks below a folder, or one set of places (2 MiB) where that is less. Safe for any number
    of threads and processes. Where these have different limits, the largest holds for all; places that only another limit
    has are removed when nobody used them for ten minutes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._sets = max(1, limit // (_WAYS * (BLOCK + _DIGEST_BYTES + _KEY_BYTES)))
        self._folder = folder / f"{BLOCK >> 10}k"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for other in folder.iterdir():
                if other != self._folder:
                    shutil.rmtree(other, ignore_errors=True)
            self._clear()
        except OSError as error:
            raise _unwritable(folder, error) from None

    def get(self, key: str) -> bytes | None:
        """The block of a key (64 hexadecimal digits), as it was put, or None."""
        wanted = bytes.fromhex(key)
        for place in self._places(wanted):
            with suppress(OSError), place.open("rb", buffering=0) as file:
                if file.read(_KEY_BYTES) != wanted:
                    continue
                digest, data = file.read(_DIGEST_BYTES), file.readall()
                if digest == _digest(wanted, data):
                    os.utime(place)
                    return data
        return None

    def put(self, key: str, data: bytes) -> None:
        """Keeps a block. Raises `StorageError` where the disk does not take it."""
        wanted = bytes.fromhex(key)
        try:
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=".block-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(wanted + _digest(wanted, data) + data)
                Path(name).replace(min(self._places(wanted), key=lambda place: _last_used(place, wanted)))
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _unwritable(self._folder, error) from None

    def _places(self, key: bytes) -> list[Path]:
        number = int.from_bytes(key[:8]) % self._sets
        return [self._folder / f"{number:06x}.{way}" for way in range(_WAYS)]

    def _clear(self) -> None:
        """Removes what processes that died left half-written, and what lies beyond the limit and is not used."""
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".block-")
        now = os.fstat(handle).st_mtime
        os.close(handle)
        Path(name).unlink()
        for place in os.scandir(self._folder):
            written = place.name.startswith(".block-")
            with suppress(FileNotFoundError):
                if (written or self._is_beyond(place.name)) and now - place.stat().st_mtime > _STALE:
                    Path(place).unlink()

    def _is_beyond(self, name: str) -> bool:
        """Whether a place is of no set that this limit has."""
        place = _PLACE.fullmatch(name)
        return place is not None and int(place[1], 16) >= self._sets


def _last_used(place: Path, key: bytes) -> tuple[bool, int]:
    """Sorts first the place that already has the key's block, damaged, then empty ones, then the one longest unused."""
    try:
        with place.open("rb", buffering=0) as file:
            return file.read(_KEY_BYTES) != key, os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return True, 0


def _digest(key: bytes, data: bytes) -> bytes:
    return bytes.fromhex(kernels.digest_parts("block", [key, data]))


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(str(folder), f"the cache cannot be written ({error.strerror})", "name another with `cache`")
