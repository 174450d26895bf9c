"""A file of a pool that records are read from, here or in a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recipe_compiler.errors import DataError
from recipe_compiler.kernels import digest_file
from recipe_compiler.manifest.schema import SourceRef
from recipe_compiler.scanning import Mapper

if TYPE_CHECKING:
    from runtime.storage.files import RemoteFiles, Span

#: No record that was compiled is longer, see `rust_core/src/bounds.rs`.
_MAX_RECORD_BYTES = 512 << 20


class Source:
    """An open file of a pool."""

    def __init__(
        self,
        ref: SourceRef,
        mapper: Mapper,
        *,
        stream: tuple[Path, int] | None,
        files: RemoteFiles | None = None,
        copy: Path | None = None,
        as_compiled: bool = True,
    ) -> None:
        """`stream` is the file on this disk that locators count in, with its size; without it, `files` are asked for parts.

        `copy` is the one of a remote file that `stream` was made of.
        """
        self.ref = ref
        self.mapper = mapper
        self._files = files
        self._copy = copy
        self._as_compiled = as_compiled
        self._here = stream is not None
        if stream is not None:
            path, self._size = stream
            try:
                self._handle = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise DataError(ref.path, error.strerror or "cannot be opened") from None

    def span(self, offset: int, length: int) -> Span | None:
        """The bytes of a record in a store; None where the file, or a copy of it, is on this disk."""
        if length > _MAX_RECORD_BYTES:
            raise DataError(self.ref.path, f"a record of {length:,} bytes, and one has at most {_MAX_RECORD_BYTES:,}")
        if self._files is None or self._here:
            return None
        return self._files.span(self.ref, offset, length, as_compiled=self._as_compiled)

    def drop_damaged_copy(self) -> bool:
        """Removes a copy of a remote file that is not what was fetched; whether it was so."""
        if self._copy is None or digest_file(self._copy) == self.ref.digest:
            return False
        self._copy.unlink(missing_ok=True)
        return True

    def record(self, offset: int, length: int) -> bytes:
        """The bytes of a record."""
        span = self.span(offset, length)
        if span is not None:
            assert self._files is not None
            return self._files.read([span])[0]
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
