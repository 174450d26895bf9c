"""Which files a source names, and the digest of each. A file is read again only when its stat has changed."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from recipe_compiler import kernels
from recipe_compiler.errors import DataError
from recipe_compiler.manifest.files import is_file, leads_out, write_bytes_atomically
from recipe_compiler.resolve.workspace import Workspace

#: A file written this shortly before it was hashed may change again within one tick of its clock (git's racy files).
_RACY_NS = 2_000_000_000
_DIGEST = re.compile("[0-9a-f]{64}")


def list_files(root: Path, pattern: str) -> set[str]:
    """The files below the root that a pattern names.

    A name that exists is taken as it stands, brackets and all. A link that leads out of the root, or nowhere, raises.
    """
    found: set[str] = set()
    paths = [root / pattern] if is_file(root / pattern) else list(root.glob(pattern))
    for path in paths:
        if not is_file(path):
            if path.is_symlink() and not path.is_dir():
                raise DataError(str(path), "a link that leads to no file")
            continue
        if leads_out(path, root):
            raise DataError(str(path), "a link that leads out of the root")
        found.add(path.relative_to(root).as_posix())
    return found


class Digests:
    """Digests of files by content, remembered by path and what the system says of it: size, inode, times of change."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.room("inventory") / "digests.json"
        self._known: dict[str, Any] = {}
        self._changed = False
        with suppress(OSError, ValueError, RecursionError):
            known = json.loads(self._path.read_bytes())
            self._known = known if isinstance(known, dict) else {}

    def of(self, path: Path) -> tuple[str, int]:
        """(digest, size) of a file."""
        name = os.fspath(path.resolve())
        stat = path.stat()
        # Anyone may set the time of the content (`touch -r`, archives); that of the inode is the system's own.
        mark = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(name)
        if isinstance(known, list) and known[1:] == mark and _DIGEST.fullmatch(str(known[0])):
            return known[0], stat.st_size
        digest = kernels.digest_file(path)
        if self._settled(stat.st_mtime_ns):
            self._known[name] = [digest, *mark]
            self._changed = True
        return digest, stat.st_size

    def _settled(self, changed_ns: int) -> bool:
        probe = self._path.with_name(".now")
        probe.touch()
        return changed_ns < probe.stat().st_mtime_ns - _RACY_NS

    def save(self) -> None:
        """Keeps what was learnt."""
        if self._changed:
            text = json.dumps(self._known, sort_keys=True)
            write_bytes_atomically(self._path, text.encode())
