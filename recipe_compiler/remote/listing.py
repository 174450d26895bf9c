"""Any store through fsspec: listings, and reads whose file is looked at again after them."""

from __future__ import annotations

import asyncio
from typing import Any

import fsspec

from recipe_compiler.remote.access import ShortAnswer, range_ignored, replaced
from recipe_compiler.remote.stat import Stat, stat_of


class Other:
    """A store that fsspec knows. Its options are those of fsspec's configuration."""

    def __init__(self, scheme: str, **options: Any) -> None:
        self.scheme = scheme
        self.fs: Any = fsspec.filesystem(scheme, use_listings_cache=False, **options)

    async def _ask(self, what: str, *arguments: Any, **options: Any) -> Any:
        if self.fs.async_impl:
            return await getattr(self.fs, f"_{what}")(*arguments, **options)
        return await asyncio.to_thread(getattr(self.fs, what), *arguments, **options)

    async def stat(self, url: str) -> Stat:
        """The length of a file and its mark."""
        return stat_of(await self._ask("info", url))

    async def read(self, url: str, start: int, stop: int, mark: str) -> bytes:
        """Bytes of a file; the store is asked afterwards whether it is still the same one."""
        data: bytes = await self._ask("cat_file", url, start=start, end=stop)
        now = await self.stat(url)
        if mark and now.mark != mark:
            raise replaced(url)
        if len(data) == now.size and now.size > stop - start:
            raise range_ignored(url)
        if len(data) != stop - start:
            raise ShortAnswer(len(data), stop - start)
        return data

    async def listed(self, pattern: str) -> dict[str, Stat]:
        """The files that a pattern names, by URL."""
        found = await self._ask("glob", pattern, detail=True)
        return {self._url(name): stat_of(info) for name, info in found.items() if info["type"] == "file"}

    async def below(self, folder: str) -> set[str]:
        """The names of all files below a folder, relative to it."""
        found = await self._ask("find", folder.rstrip("/") + "/", withdirs=False, detail=False)
        prefix = folder.rstrip("/") + "/"
        return {url.removeprefix(prefix) for name in found if (url := self._url(name)).startswith(prefix)}

    def _url(self, name: str) -> str:
        return f"{self.scheme}://{self.fs._strip_protocol(name).lstrip('/')}"
