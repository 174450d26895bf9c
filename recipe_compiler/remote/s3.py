"""S3 and what speaks like it: each read names the object that it is of, so that none is mistaken for another."""

from __future__ import annotations

from fsspec.config import conf

from recipe_compiler.remote.access import ShortAnswer, range_ignored, replaced
from recipe_compiler.remote.listing import Other
from recipe_compiler.remote.stat import Stat, stat_of


class S3(Other):
    """Objects by bucket and key. Retries are ours, so that they are counted, unless the configuration says otherwise."""

    def __init__(self, scheme: str) -> None:
        configured = conf.get("s3", {}).get("config_kwargs", {})
        super().__init__(scheme, config_kwargs={"retries": {"max_attempts": 0}, **configured})
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
            # All is looked at before the body, which may be far longer than what was asked for. Not every store that
            # speaks like S3 takes notice of conditions and ranges.
            if mark and answer.get("ETag", "").strip('"') != mark:
                raise replaced(url)
            found, place = answer["ContentLength"], answer.get("ContentRange")
            if place is None and (start, stop) != (0, found):
                raise range_ignored(url)
            if found != stop - start or (place is not None and not place.startswith(f"bytes {start}-{stop - 1}/")):
                raise ShortAnswer(found, stop - start)
            data: bytes = await body.read()
        if len(data) != stop - start:
            raise ShortAnswer(len(data), stop - start)
        return data


def _place(url: str) -> tuple[str, str]:
    bucket, _, key = url.partition("://")[2].partition("/")
    return bucket, key
