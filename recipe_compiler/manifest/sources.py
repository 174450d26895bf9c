"""Whether the files that were compiled are still as they were: those below a root, and those in stores."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recipe_compiler import kernels
from recipe_compiler.errors import DataError
from recipe_compiler.manifest.files import leads_out
from recipe_compiler.manifest.schema import SourceRef
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.address import is_remote

if TYPE_CHECKING:
    from recipe_compiler.remote.copies import Copies

_PATIENCE: Final = Access(tries=4)


class Sources:
    """Looks at sources. Of a remote file the size is asked, and the bytes are known where this cache fetched it under the
    same mark; with `deep` they are fetched where they are not known."""

    def __init__(self, root: Path, cache: Path, *, deep: bool = False) -> None:
        self.root = root
        self.cache = cache
        self.deep = deep
        self.unproved: list[str] = []
        """Remote files of the right size whose bytes nobody looked at."""

    @cached_property
    def _copies(self) -> Copies:
        from recipe_compiler.remote.copies import Copies

        return Copies(self.cache, _PATIENCE)

    def difference(self, source: SourceRef, progress: Callable[[int], None] = lambda _done: None) -> str | None:
        """How a file differs from the one that was compiled, or None. Raises `StorageError` where a store is silent."""
        try:
            return self._remote(source, progress) if is_remote(source.path) else self._local(source)
        except DataError as error:
            return error.reason

    def _remote(self, source: SourceRef, progress: Callable[[int], None]) -> str | None:
        stat = self._copies.stores.stat([source.path])[0]
        if stat.size != source.size:
            return f"{stat.size:,} bytes where {source.size:,} were compiled"
        digest = self._copies.known(source.path, stat)
        if digest is None and self.deep:
            digest = self._copies.get(source.path, stat, progress).digest
        if digest is None:
            self.unproved.append(source.path)
            return None
        return None if digest == source.digest else "other bytes than were compiled"

    def _local(self, source: SourceRef) -> str | None:
        path = self.root / source.path
        try:
            found = path.stat().st_size
            if not path.is_file() or leads_out(path, self.root):
                return "no file below the root"
            if found != source.size:
                return f"{found:,} bytes where {source.size:,} were compiled"
            return None if kernels.digest_file(path) == source.digest else "other bytes than were compiled"
        except OSError as error:
            return error.strerror or "cannot be read"
