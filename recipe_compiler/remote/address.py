"""What a URL of a recipe or a manifest may be. No store is asked here.

A URL names a thing in a store and nothing else. Where the store is, and who asks, comes from fsspec's configuration and
from the store's own environment, never from a recipe or a manifest: those are passed on, and are data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

#: Scheme -> the package that reads it. Schemes that reach the local disk, other memory or other URLs are not among them.
SCHEMES: Final[Mapping[str, str]] = {
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "gcs": "gcsfs",
    "gs": "gcsfs",
    "hf": "huggingface_hub",
    "http": "aiohttp",
    "https": "aiohttp",
    "oss": "ossfs",
    "s3": "s3fs",
    "s3a": "s3fs",
}
#: Web servers have no listing that can be relied on, and their names are percent-encoded.
_WEB = ("http", "https")
_URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<host>[^/]*)(?P<path>/.*|)", re.DOTALL)
_UNNAMEABLE = re.compile("[\0-\x1f\x7f\ud800-\udfff\\\\]")
_MASK = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a URL is not read, and the way out. One that may hold a secret is told by `shown` alone."""

    reason: str
    help: str
    holds_secret: bool = False


def is_remote(path: str) -> bool:
    """Whether a path of a recipe or a manifest is a URL."""
    return "://" in path


def scheme_of(url: str) -> str:
    """`s3` for `s3://bucket/key`."""
    return url.partition("://")[0].lower()


def is_web(url: str) -> bool:
    """Whether a web server answers for it."""
    return scheme_of(url) in _WEB


def is_pattern(url: str) -> bool:
    """Whether a URL names files by a pattern: `*` and `[...]`, as in local paths."""
    return any(letter in url for letter in "*[")


def refusal(url: str) -> Refusal | None:
    """Why a URL is not read, or None."""
    if _secret(url) is not None:
        return Refusal(
            reason=f"`{shown(url)}` carries a secret, or what may be one",
            help="name the object alone; credentials belong into the store's own configuration or fsspec's",
            holds_secret=True,
        )
    parts = _URL.fullmatch(url)
    if parts is None or "::" in url or _UNNAMEABLE.search(url):
        return Refusal(reason=f"`{url}` is no URL of a file", help="write it as `s3://bucket/folder/file.jsonl`")
    scheme = parts["scheme"]
    if scheme not in SCHEMES:
        way_out = "write local files as paths below the root" if scheme in ("file", "local") else _schemes()
        return Refusal(reason=f"`{scheme}://` is not read", help=way_out)
    if not parts["host"] or not parts["path"].strip("/") or {".", ".."} & set(parts["path"].split("/")):
        return Refusal(reason=f"`{url}` names no file", help="write it as `s3://bucket/folder/file.jsonl`")
    if scheme in _WEB and is_pattern(parts["path"]):
        return Refusal(
            reason=f"`{url}` is a pattern, and a web server lists no files", help="name its files one by one"
        )
    return None


def _schemes() -> str:
    return f"what is read is {', '.join(f'`{scheme}://`' for scheme in SCHEMES)}, and paths below the root"


def _secret(url: str) -> tuple[int, int] | None:
    """The part of a URL that may hold credentials: what stands before the host's `@`, a query, or a fragment of a page.

    Which parameter of a query is a signature cannot be known for every store, so none is taken.
    """
    start = url.find("://") + 3
    slash = url.find("/", start)
    host = url[start : len(url) if slash < 0 else slash]
    query = url.find("?", start)
    # `container@account` is how Azure names its containers.
    if "@" in host and (":" in host or not url.startswith(("abfs", "az"))):
        return start, start + host.rindex("@")
    if query >= 0:
        return query + 1, len(url)
    fragment = url.find("#", start) if is_web(url) else -1
    return (fragment + 1, len(url)) if fragment >= 0 else None


def shown(url: str) -> str:
    """The URL as it may be told: what may be a secret is masked, letter by letter."""
    secret = _secret(url) if is_remote(url) else None
    return url if secret is None else f"{url[: secret[0]]}{_MASK * (secret[1] - secret[0])}{url[secret[1] :]}"


def below(folder: str, reference: str) -> str:
    """The URL of a file below a remote folder."""
    name = quote(reference) if is_web(folder) else reference
    return f"{folder.rstrip('/')}/{name}"
