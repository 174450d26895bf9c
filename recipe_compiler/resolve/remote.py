"""Remote files of recipes: listed, fetched once into the cache, and told of where that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recipe_compiler.diagnostics import Findings, Span
from recipe_compiler.errors import AccessDenied, DataError, FileMissing, PackageMissing, RecipeError, StorageError
from recipe_compiler.manifest.files import is_file, leads_out
from recipe_compiler.manifest.schema import AnnotationRef, SourceRef
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.address import is_remote
from recipe_compiler.remote.stat import Stat
from recipe_compiler.resolve.inventory import Digests
from recipe_compiler.resolve.workspace import Workspace

if TYPE_CHECKING:
    from recipe_compiler.remote.copies import Copies, Copy

#: Somebody waits at a terminal: a store that does not answer is told after seconds.
PATIENCE: Final = Access(tries=4)
#: Files that are fetched at once.
_FILES = 4


class Remote:
    """The remote files of a workspace. Stores are asked only once there is something to ask."""

    def __init__(self, workspace: Workspace, digests: Digests) -> None:
        self._workspace = workspace
        self._digests = digests

    @cached_property
    def copies(self) -> Copies:
        """The copies in the cache, behind which the stores are."""
        from recipe_compiler.remote.copies import Copies

        return Copies(self._workspace.cache, PATIENCE)

    def listed(self, pattern: str) -> Mapping[str, Stat]:
        """The files that a URL names, itself or as a pattern. Raises `RecipeError` where the store does not say."""
        return self.copies.stores.listed(pattern)

    def fetch(self, files: Mapping[str, Stat], what: str) -> Mapping[str, Copy | RecipeError]:
        """A copy of each file, or why there is none. Some are fetched at once."""
        if not files:
            return {}
        done = dict.fromkeys(files, 0)
        total = sum(stat.size for stat in files.values())

        def one(url: str) -> Copy | RecipeError:
            def report(bytes_done: int) -> None:
                done[url] = bytes_done
                self._workspace.progress(f"fetch {what}", sum(done.values()), total)

            try:
                return self._proved(url, files[url], report)
            except RecipeError as error:
                return error

        with ThreadPoolExecutor(_FILES) as threads:
            found = dict(zip(files, threads.map(one, files), strict=True))
        self._workspace.progress(f"fetch {what}", total, total)
        return found

    def _proved(self, url: str, stat: Stat, report: Callable[[int], None]) -> Copy:
        copy = self.copies.get(url, stat, report)
        if self._digests.of(copy.path)[0] != copy.digest:
            # What was damaged on this disk is fetched again, once.
            copy.path.unlink(missing_ok=True)
            copy = self.copies.get(url, stat, report)
        return copy

    def pinned(self, ref: SourceRef | AnnotationRef) -> Path | None:
        """The file with the pinned content on this disk, remote or not; None where other bytes stand in its place."""
        if not is_remote(ref.path):
            path = self._workspace.root / ref.path
            there = is_file(path) and not leads_out(path, self._workspace.root)
            return path if there and self._digests.of(path)[0] == ref.digest else None
        kept = self.copies.kept(ref.digest, ref.size)
        if kept is not None and self._digests.of(kept)[0] == ref.digest:
            return kept
        stat = self.copies.stores.stat([ref.path])[0]
        copy = self._proved(ref.path, stat, lambda _done: None) if stat.size == ref.size else None
        return copy.path if copy is not None and copy.digest == ref.digest else None


def tell(error: RecipeError, url: str, findings: Findings, span: Span) -> None:
    """Says why a remote file cannot be read, and the way out."""
    match error:
        case PackageMissing():
            headline = f"`{url}` is read by `{error.package}`, which is not installed"
            findings.error("resolve.package", headline, span, help=error.way_out)
        case AccessDenied():
            findings.error("resolve.denied", f"`{url}`: {error.reason}", span, help=error.way_out)
        case StorageError():
            way_out = error.way_out or "look whether the name is right and the store is up, and run this again"
            findings.error("resolve.unreachable", f"`{url}`: {error.reason}", span, help=way_out)
        case FileMissing():
            findings.error("resolve.no-files", f"`{url}` is not there", span)
        case DataError():
            findings.error("resolve.unreadable", f"`{url}`: {error.reason}", span)
        case _:
            raise error
