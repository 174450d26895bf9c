"""Files that are whole or not there, and the record stream of a file that cannot be sought."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from recipe_compiler.core import digest_file, unwrap
from recipe_compiler.errors import DataError


def write_atomically(target: Path, write: Callable[[Path], None]) -> None:
    """Writes a file under another name, syncs it and moves it into place: readers see the old file or the new one."""
    # `recipe check` writes nothing.
    import tempfile

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        sync(temporary)
        temporary.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync(target.parent)


def write_bytes_atomically(target: Path, data: bytes) -> None:
    """Writes a small file as a whole."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    write_atomically(target, write)


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path ends outside the root, through whatever links."""
    # `realpath` takes what `resolve` raises for: links in a circle, names that no file can have.
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that no file can have names none."""
    try:
        return path.is_file()
    except OSError:
        return False


def sync(path: Path) -> None:
    """What was written of a file, or which names a folder has, is on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_at(path: Path, offset: int, length: int) -> bytes:
    """At most `length` bytes of a file from `offset` on."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def record_stream(path: Path, *, digest: str, wrapping: str, cache: Path) -> Path:
    """The file whose bytes locators count: a plain file itself, else its seekable form, made once in the cache.

    A file that is not the one with this digest raises `DataError`.
    """
    if wrapping == "plain":
        return path
    folder = cache / "streams"
    for known in folder.glob(f"{digest}.*.records"):
        # The name says how long it is: one that was cut is made again. Another process may clear it up first.
        with suppress(FileNotFoundError):
            if known.name == f"{digest}.{known.stat().st_size}.records":
                return known
            known.unlink()
    if digest_file(path) != digest:
        raise DataError(str(path), "is not the file that was compiled")
    # Most files are plain.
    import shutil
    from tempfile import TemporaryDirectory

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".unwrap-") as place:
            made = Path(place) / "stream"
            unwrap(path, wrapping, made, limit=shutil.disk_usage(place).free * 9 // 10)
            target = folder / f"{digest}.{made.stat().st_size}.records"
            made.replace(target)
    except OSError as error:
        raise DataError(str(folder), f"{error.strerror}; name another cache with `--cache`") from None
    return target
