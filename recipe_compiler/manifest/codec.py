"""Manifest <-> canonical JSON: keys sorted, two spaces, UTF-8, one line break at the end. One value, one text."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import json
import re
import types
from collections import abc
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from recipe_compiler import kernels
from recipe_compiler.errors import ManifestCorrupt, ManifestVersionError
from recipe_compiler.manifest.schema import FORMAT, After, AnnotationRef, Manifest, SourceRef
from recipe_compiler.remote.address import is_remote, refusal

_Value = TypeVar("_Value")
_DIGEST = re.compile("[0-9a-f]{64}")
_WRAPPINGS = ("plain", "gzip", "zstd", "parquet")
#: What the name of a file cannot hold: the end of a text in C, and half of a character.
_UNNAMEABLE = re.compile("[\0\ud800-\udfff]")


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`."""
    return _text({"format": FORMAT, **_fields(manifest)})


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
        _check(manifest)
        intact = encode(manifest) == data and identified(manifest) == manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestCorrupt(path, f"not a manifest ({type(error).__name__}: {error})") from None
    if not intact:
        raise ManifestCorrupt(path, "its content does not match its ids; it was changed after it was compiled")
    return manifest


def _check(manifest: Manifest) -> None:
    """A manifest is data from anywhere: it fits together, what it names lies below the root, digests are digests."""
    start = unit = 0
    for shard in manifest.shards:
        if shard.start != start:
            raise ValueError(f"the shard {shard.file!r} does not start where the one before it ends")
        if not shard.rows or not unit <= shard.unit <= start:
            raise ValueError(f"the shard {shard.file!r} has no rows, or starts in a unit that cannot be there")
        start, unit = start + shard.rows, shard.unit
    if start >= 1 << 63:
        raise ValueError(f"{start:,} rows are more than there can be")
    _check_stages(manifest)
    _check_units(manifest)
    pools = {pool.name for pool in manifest.pools}
    for source in manifest.sources:
        if source.pool not in pools or source.wrapping not in _WRAPPINGS:
            raise ValueError(f"the source {source.path!r} is of no pool, or wrapped in no known way")
    if not manifest.texts:
        raise ValueError("there is no recipe")
    inputs: list[SourceRef | AnnotationRef] = [*manifest.sources, *manifest.annotations]
    media = [pool.media for pool in manifest.pools if pool.media is not None]
    check_paths([*(ref.path for ref in inputs), *media])
    check_digests([*(ref.digest for ref in inputs), *(shard.digest for shard in manifest.shards)])
    if manifest.after is not None:
        _check_after(manifest.after, manifest)


def _check_stages(manifest: Manifest) -> None:
    """Stages follow one another, and their sources draw by rules that are there."""
    start = 0
    for stage in manifest.stages:
        if stage.start != start or any(share.rule >= len(manifest.rules) for share in stage.shares):
            raise ValueError(f"the stage {stage.name!r} does not start where the one before it ends, or has no rule")
        start += stage.draws


def _check_units(manifest: Manifest) -> None:
    """Units are of a kind that there is, and hold something."""
    units = manifest.units
    if units is not None and (units.kind not in ("pack", "batch") or units.measure not in ("tokens", "padded")):
        raise ValueError(f"there are no units of the kind {units.kind!r} by {units.measure!r}")
    if manifest.global_batch == 0 or (units is not None and units.most == 0):
        raise ValueError("a batch or a unit holds at least one")


def _check_after(after: After, manifest: Manifest) -> None:
    """A manifest goes on from a position of its own, and what is past is in its tables."""
    check_digests([after.manifest])
    if not 0 < after.position <= manifest.draws:
        raise ValueError(f"it goes on after {after.position:,} of {manifest.draws:,} draws")
    for past, table in ((after.past_pools, manifest.pools), (after.past_sources, manifest.sources)):
        if list(past) != sorted(set(past)) or any(number >= len(table) for number in past):
            raise ValueError("what is past is in no table, or not in order")


def check_paths(paths: Iterable[str]) -> None:
    """What is named lies below the root or in a store, or this raises `ValueError`."""
    for path in paths:
        if is_remote(path):
            refused = refusal(path)
            if refused is not None:
                raise ValueError(refused.reason)
        elif PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or _UNNAMEABLE.search(path):
            raise ValueError(f"{path!r} is no path below the root")


def check_digests(digests: Iterable[str]) -> None:
    """Digests are digests, or this raises `ValueError`."""
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no digest")


def _text(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, default=_fields, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()


def _fields(value: Any) -> dict[str, Any]:
    """A value of the schema as JSON has it. It is not copied, as `asdict` would do."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _value(kind: type[_Value], document: Any) -> _Value:
    hints = _hints(kind)  # type: ignore[arg-type]
    if not isinstance(document, dict) or hints.keys() != document.keys():
        raise ValueError(f"{kind.__name__} has other keys than expected")
    return kind(**{name: _typed(hints[name], value, name) for name, value in document.items()})


_hints = functools.cache(get_type_hints)


def _typed(hint: Any, value: Any, name: str) -> Any:
    """A value as the schema has it. Numbers count something; `Mapping[str, Any]` is for others to understand."""
    if dataclasses.is_dataclass(hint):
        return _value(hint, value)  # type: ignore[arg-type]
    arguments = get_args(hint)
    match get_origin(hint) or hint:
        case types.UnionType if value is None:
            return None
        case types.UnionType:
            return _typed(arguments[0], value, name)
        case builtins.tuple if isinstance(value, list):
            return tuple(_typed(arguments[0], item, name) for item in value)
        case abc.Mapping if isinstance(value, dict):
            return (
                value if arguments[1] is Any else {key: _typed(arguments[1], item, name) for key, item in value.items()}
            )
        case builtins.str if isinstance(value, str):
            return value
        case builtins.int if type(value) is int and 0 <= value < 1 << 64:
            return value
    raise ValueError(f"`{name}` is not what it should be")
