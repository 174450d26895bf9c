"""Stores by the scheme of a URL: how long a file is, some of its bytes, and what stands below a name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from fsspec.asyn import get_loop, sync

from recipe_compiler.errors import DataError, PackageMissing
from recipe_compiler.remote import address
from recipe_compiler.remote.access import Access, persist
from recipe_compiler.remote.stat import Stat

_Result = TypeVar("_Result")
#: Seconds that a listing may take; a million names are a thousand answers.
_LISTING = 600.0
#: Those of our own extra `remote`; the others are installed by their names.
_OURS = ("aiohttp", "s3fs")


class Driver(Protocol):
    """How one kind of store is asked; what goes wrong is for `persist` to understand."""

    async def stat(self, url: str) -> Stat:
        """The length of a file and its mark."""

    async def read(self, url: str, start: int, stop: int, mark: str) -> bytes:
        """Exactly these bytes, of the file with this mark, or an exception."""

    async def listed(self, pattern: str) -> dict[str, Stat]:
        """The files that a pattern names, by URL."""

    async def below(self, folder: str) -> set[str]:
        """The names of all files below a folder, relative to it."""


class Stores:
    """All stores of a process, asked under one limit of connections. Not to be shared with a forked process."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._drivers: dict[str, Driver] = {}
        self._free = asyncio.Semaphore(access.connections)

    def run(self, work: Callable[..., Coroutine[Any, Any, _Result]], *arguments: Any) -> _Result:
        """Does asynchronous work to its end, from any thread but that of the work."""
        result: _Result = sync(get_loop(), work, *arguments)
        return result

    def stat(self, urls: Sequence[str]) -> list[Stat]:
        """The length and mark of each file. Raises `FileMissing`, `StorageError`, `PackageMissing`."""
        return self.run(self._all, [self.look(url) for url in urls])

    def read(self, url: str, spans: Iterable[tuple[int, int]], mark: str) -> list[bytes]:
        """The bytes `start` to `stop` of each span of a file, which must be the one with this mark."""
        return self.run(self._all, [self.fetch(url, start, stop, mark) for start, stop in spans])

    def listed(self, pattern: str) -> dict[str, Stat]:
        """The files that a URL names, in the order of their bytes: itself, or those that fit it as a pattern."""
        if not address.is_pattern(pattern):
            return {pattern: self.stat([pattern])[0]}
        driver = self._driver(pattern)
        found = self.run(persist, pattern, self.access, lambda: driver.listed(pattern), _LISTING)
        for url in found:
            if address.refusal(url) is not None:
                raise DataError(address.shown(url), "a name that no recipe could say; rename it, or narrow the pattern")
        return dict(sorted(found.items(), key=lambda item: item[0].encode()))

    def below(self, folder: str) -> set[str]:
        """The names of all files below a folder, relative to it. Not for web servers."""
        driver = self._driver(folder)
        return self.run(persist, folder, self.access, lambda: driver.below(folder), _LISTING)

    async def look(self, url: str) -> Stat:
        """`stat`, for one file, inside of asynchronous work."""
        driver = self._driver(url)
        async with self._free:
            return await persist(url, self.access, lambda: driver.stat(url))

    async def fetch(self, url: str, start: int, stop: int, mark: str) -> bytes:
        """`read`, for one span, inside of asynchronous work."""
        driver = self._driver(url)
        async with self._free:
            return await persist(url, self.access, lambda: driver.read(url, start, stop, mark))

    async def _all(self, works: Sequence[Coroutine[Any, Any, _Result]]) -> list[_Result]:
        return list(await asyncio.gather(*works))

    def _driver(self, url: str) -> Driver:
        """The driver of a URL's scheme. Raises `DataError` for a URL that is not read, and `PackageMissing`."""
        scheme = address.scheme_of(url)
        found = self._drivers.get(scheme)
        if found is None:
            refusal = address.refusal(url)
            if refusal is not None and not address.is_pattern(url):
                raise DataError(address.shown(url), f"{refusal.reason}; {refusal.help}")
            found = self._drivers[scheme] = _opened(scheme)
        return found


def _opened(scheme: str) -> Driver:
    package = address.SCHEMES[scheme]
    if find_spec(package) is None:
        raise PackageMissing(package, "remote" if package in _OURS else None)
    if package == "aiohttp":
        from recipe_compiler.remote.web import Web

        return Web()
    if package == "s3fs":
        from recipe_compiler.remote.s3 import S3

        return S3(scheme)
    from recipe_compiler.remote.listing import Other

    return Other(scheme)
