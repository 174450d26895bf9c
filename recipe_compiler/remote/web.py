"""Web servers: every answer is looked at, since many take no notice of what they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec

from recipe_compiler.remote.access import ShortAnswer, WrongStatus, range_ignored, replaced
from recipe_compiler.remote.stat import Stat

_OK, _PARTIAL, _NOT_ALLOWED, _NOT_IMPLEMENTED = 200, 206, 405, 501
_CHUNK = 1 << 16


class Web:
    """Files of web servers, over the session of fsspec with its options (headers, proxies, certificates)."""

    def __init__(self) -> None:
        self.fs: Any = fsspec.filesystem("http")

    async def _ask(self, method: str, url: str, **headers: str) -> Any:
        session = await self.fs.set_session()
        options = dict(self.fs.kwargs)
        # A body that is compressed on the way would have another length.
        given = {**options.pop("headers", {}), "Accept-Encoding": "identity", **headers}
        return session.request(method, self.fs.encode_url(url), headers=given, allow_redirects=True, **options)

    async def stat(self, url: str) -> Stat:
        """The length of a file, and its ETag or the time of its last change."""
        async with await self._ask("HEAD", url) as answer:
            if answer.status == _OK and answer.headers.get("Content-Length", "").isdecimal():
                return Stat(size=int(answer.headers["Content-Length"]), mark=_mark(answer.headers))
            if answer.status not in (_OK, _NOT_ALLOWED, _NOT_IMPLEMENTED):
                raise WrongStatus(answer.status)
        async with await self._ask("GET", url, Range="bytes=0-0") as answer:
            _, _, size = answer.headers.get("Content-Range", "").partition("/")
            if answer.status == _PARTIAL and size.isdecimal():
                return Stat(size=int(size), mark=_mark(answer.headers))
            raise range_ignored(url) if answer.status == _OK else WrongStatus(answer.status)

    async def read(self, url: str, start: int, stop: int, mark: str) -> bytes:
        """Bytes of the file with this mark, and not one beyond them."""
        if start == stop:
            return b""
        async with await self._ask("GET", url, Range=f"bytes={start}-{stop - 1}") as answer:
            if answer.status not in (_OK, _PARTIAL):
                raise WrongStatus(answer.status)
            if mark and _mark(answer.headers) != mark:
                raise replaced(url)
            if answer.status == _OK and (start, answer.headers.get("Content-Length")) != (0, str(stop)):
                raise range_ignored(url)
            place = answer.headers.get("Content-Range", "").partition("/")[0]
            if answer.status == _PARTIAL and place != f"bytes {start}-{stop - 1}":
                raise ShortAnswer(answer.content_length or 0, stop - start)
            data = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK):
                data += chunk
                if len(data) > stop - start:
                    break
        if len(data) != stop - start:
            raise ShortAnswer(len(data), stop - start)
        return bytes(data)

    async def listed(self, pattern: str) -> dict[str, Stat]:
        """Web servers list nothing."""
        raise NotImplementedError(pattern)

    async def below(self, folder: str) -> set[str]:
        """Web servers list nothing."""
        raise NotImplementedError(folder)


def _mark(headers: Mapping[str, str]) -> str:
    return headers.get("ETag") or headers.get("Last-Modified") or ""
