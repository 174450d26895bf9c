"""Manifest <-> canonical JSON: keys sorted, two spaces, UTF-8, one line break at the end. One value, one text."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar

from recipe_compiler import kernels
from recipe_compiler.errors import ManifestCorrupt, ManifestVersionError
from recipe_compiler.manifest.schema import (
    FORMAT,
    AnnotationRef,
    Identities,
    Manifest,
    PoolRef,
    Request,
    ShardRef,
    Share,
    SourceRef,
    StageRef,
    Step,
    TextRef,
)

_Value = TypeVar("_Value")
_DIGEST = re.compile("[0-9a-f]{64}")

_LISTS: Mapping[str, type[Any]] = {
    "pools": PoolRef,
    "sources": SourceRef,
    "annotations": AnnotationRef,
    "stages": StageRef,
    "funnel": Step,
    "requests": Request,
    "strata": Share,
    "shards": ShardRef,
    "shares": Share,
    "texts": TextRef,
}


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`."""
    return _text({"format": FORMAT, **dataclasses.asdict(manifest)})


def identified(manifest: Manifest) -> Manifest:
    """The manifest with the ids that follow from what it says: of its recipe's texts, and of everything else."""
    blank = dataclasses.replace(manifest.ids, manifest="", texts="")
    own = kernels.digest_parts("manifest", [encode(dataclasses.replace(manifest, texts=(), ids=blank))])
    parts = [part.encode() for text in manifest.texts for part in (text.name, text.text)]
    ids = dataclasses.replace(blank, manifest=own, texts=kernels.digest_parts("texts", parts))
    return dataclasses.replace(manifest, ids=ids)


def decode(data: bytes, path: str) -> Manifest:
    """The manifest of these bytes, which must be the canonical ones and carry the right id."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("not an object")
        found = document.pop("format")
        if found != FORMAT:
            raise ManifestVersionError(path, found, FORMAT)
        manifest = _value(Manifest, document)
        _check_names(manifest)
        intact = encode(manifest) == data and identified(manifest) == manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestCorrupt(path, f"not a manifest ({type(error).__name__}: {error})") from None
    if not intact:
        raise ManifestCorrupt(path, "its content does not match its ids; it was changed after it was compiled")
    return manifest


def _check_names(manifest: Manifest) -> None:
    """A manifest is data from anywhere."""
    inputs: list[SourceRef | AnnotationRef] = [*manifest.sources, *manifest.annotations]
    media = [pool.media for pool in manifest.pools if pool.media is not None]
    check_paths([*(ref.path for ref in inputs), *media])
    check_digests([*(ref.digest for ref in inputs), *(shard.digest for shard in manifest.shards)])


def check_paths(paths: Iterable[str]) -> None:
    """What is named lies below the root, or this raises `ValueError`."""
    for path in paths:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path:
            raise ValueError(f"{path!r} is no path below the root")


def check_digests(digests: Iterable[str]) -> None:
    """Digests are digests, or this raises `ValueError`."""
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no digest")


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _value(kind: type[_Value], document: Mapping[str, Any]) -> _Value:
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if known != document.keys():
        raise ValueError(f"{kind.__name__} has other keys than expected")
    values: dict[str, Any] = dict(document)
    for name, value in document.items():
        if name == "ids":
            values[name] = _value(Identities, value)
        elif name in _LISTS and isinstance(value, list):
            values[name] = tuple(_value(_LISTS[name], item) for item in value)
        elif isinstance(value, list):
            values[name] = tuple(value)
    return kind(**values)
