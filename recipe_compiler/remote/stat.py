"""What a store says of a file without giving its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: What stores call the thing that changes with the bytes, the surest first.
_MARKS: Final = (
    "ETag",
    "etag",
    "VersionId",
    "version_id",
    "generation",
    "md5Hash",
    "content_md5",
    "blob_id",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """Bytes, and a mark that changes when they do; empty where the store gives none."""

    size: int
    mark: str


def stat_of(info: Mapping[str, Any]) -> Stat:
    """What an entry of fsspec says. An entry without a size raises `ValueError`."""
    size = info.get("size")
    if type(size) is not int or size < 0:
        raise ValueError("the store does not say how long the file is")
    mark = next((str(info[name]) for name in _MARKS if info.get(name)), "")
    return Stat(size=size, mark=mark.strip('"'))
