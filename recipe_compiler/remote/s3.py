"""S3 and what speaks like it: each read names the object that it is of, so that none is mistaken for another."""

from __future__ import annotations

from recipe_compiler.remote.access import ShortAnswer, range_ignored
from recipe_compiler.remote.listing import Other
from recipe_compiler.remote.stat import Stat, stat_of


class S3(Other):
    """Objects by bucket and key. Retries are ours, so that they are counted."""

    def __init__(self, scheme: str) -> None:
        super().__init__(scheme)
        self.fs.retries = 1

    async def stat(self, url: str) -> Stat:
        """The length of an object and its ETag."""
        bucket, key = _place(url)
        found = await self.fs._call_s3("head_object", Bucket=bucket, Key=key)
        return stat_of({"size": found["ContentLength"], "ETag": found.get("ETag")})

    async def read(self, url: str, start: int, stop: int, mark: str) -> bytes:
        """Bytes of the object with this ETag."""
        if start == stop:
            return b""
        bucket, key = _place(url)
        wanted = {"Range": f"bytes={start}-{stop - 1}"} | ({"IfMatch": f'"{mark}"'} if mark else {})
        answer = await self.fs._call_s3("get_object", Bucket=bucket, Key=key, **wanted)
        async with answer["Body"] as body:
            # Asked before the body is read, which may be far longer than what was asked for.
            found = answer["ContentLength"]
            if "ContentRange" not in answer and found > stop - start:
                raise range_ignored(url)
            if found != stop - start:
                raise ShortAnswer(found, stop - start)
            data: bytes = await body.read()
        if len(data) != stop - start:
            raise ShortAnswer(len(data), stop - start)
        return data


def _place(url: str) -> tuple[str, str]:
    bucket, _, key = url.partition("://")[2].partition("/")
    return bucket, key
