"""The lock of a recipe: every pool and annotation pinned by content, in a file beside the recipe.

A lock says what the recipe was meant to read, so that a pool that moved is noticed, file by file, before anything is
compiled from it, and so that an older commit can be compiled from what it read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from recipe_compiler.errors import RecipeError
from recipe_compiler.manifest import codec
from recipe_compiler.manifest.files import write_bytes_atomically
from recipe_compiler.manifest.schema import AnnotationRef, SourceRef
from recipe_compiler.resolve.bind import BoundPlan
from recipe_compiler.resolve.pinned import PinnedPool, Pins, declared

FORMAT: Final = 1
#: What a lock may weigh, as a manifest's document.
MAX_BYTES: Final = 16 << 20


def lock_name(recipe: str) -> str:
    """`recipe.lock` for `recipe.yaml`."""
    return f"{recipe.removesuffix('.yaml').removesuffix('.yml')}.lock"


def pins_of(bound: BoundPlan) -> Pins:
    """What a bound plan reads."""
    pools = {
        pool.scan.pool: PinnedPool(
            declared=declared(pool.scan),
            preset=pool.preset,
            fields=pool.fields,
            files=pool.sources,
        )
        for pool in bound.pools
    }
    return Pins(pools=pools, annotations=tuple(annotation.ref for annotation in bound.annotations))


def encode(pins: Pins) -> bytes:
    """The bytes of a lock: canonical JSON, so that equal pins are equal files and diffs of git are short."""
    return (
        json.dumps({"lock": FORMAT, **_document(pins)}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    ).encode()


def _document(pins: Pins) -> dict[str, Any]:
    pools = {
        name: {
            "declared": pool.declared,
            "preset": pool.preset,
            "fields": pool.fields,
            "samples": sum(file.samples for file in pool.files),
            "files": [
                {key: value for key, value in dataclasses.asdict(file).items() if key != "pool"} for file in pool.files
            ],
        }
        for name, pool in pins.pools.items()
    }
    return {"pools": pools, "annotations": [dataclasses.asdict(annotation) for annotation in pins.annotations]}


def decode(data: bytes, name: str) -> Pins:
    """The pins of a lock. Raises `RecipeError` for anything that this version did not write."""
    try:
        document = json.loads(data)
        if document["lock"] != FORMAT:
            raise RecipeError(f"{name}: lock format {document['lock']} is not supported; this version reads {FORMAT}")
        pools = {
            pool: PinnedPool(
                declared=pinned["declared"],
                preset=pinned["preset"],
                fields=pinned["fields"],
                files=tuple(SourceRef(pool=pool, **file) for file in pinned["files"]),
            )
            for pool, pinned in document["pools"].items()
        }
        pins = Pins(pools=pools, annotations=tuple(AnnotationRef(**pinned) for pinned in document["annotations"]))
        inputs: list[SourceRef | AnnotationRef] = [
            *pins.annotations,
            *(file for pool in pools.values() for file in pool.files),
        ]
        codec.check_paths(ref.path for ref in inputs)
        codec.check_digests(ref.digest for ref in inputs)
        intact = encode(pins) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(
            f"{name}: not a lock ({type(error).__name__}: {error}); write it anew with `recipe lock`"
        ) from None
    if not intact:
        raise RecipeError(f"{name}: was changed by hand; write it anew with `recipe lock`")
    return pins


def read(path: Path) -> Pins | None:
    """The pins of a lock file, or None where there is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{path}: a lock is at most {MAX_BYTES:,} bytes")
        return decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def write(pins: Pins, path: Path) -> None:
    """Writes a lock file, whole or not at all."""
    write_bytes_atomically(path, encode(pins))


def differences(locked: Pins, found: Pins) -> Iterator[str]:
    """What is not as it was locked, a line each: pools, then their files, then how they are read, then annotations."""
    for name in sorted({*locked.pools, *found.pools}):
        before, after = locked.pools.get(name), found.pools.get(name)
        if before is None or after is None:
            yield f"pool `{name}` is {'not in the lock' if before is None else 'in the lock alone'}"
            continue
        yield from _files(before, after)
        if before.preset != after.preset:
            yield f"pool `{name}` is read as {after.preset}, and was locked as {before.preset}"
        elif before.fields != after.fields:
            yield f"pool `{name}` is read by other fields: {', '.join(_changed(before.fields, after.fields))}"
    old, new = ({pinned.path: pinned.digest for pinned in pins.annotations} for pins in (locked, found))
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            yield _moved(path, path in old, path in new, "")


def _files(before: PinnedPool, after: PinnedPool) -> Iterator[str]:
    old, new = ({file.path: file for file in pool.files} for pool in (before, after))
    for path in sorted({*old, *new}):
        first, second = old.get(path), new.get(path)
        if first is None or second is None:
            yield _moved(path, first is not None, second is not None, "")
        elif first.digest != second.digest:
            sizes = f": {first.samples:,} -> {second.samples:,} samples, {first.size:,} -> {second.size:,} bytes"
            yield _moved(path, True, True, sizes)
        elif first.layout != second.layout:
            yield f"`{path}` is read with another layout: {', '.join(_changed(first.layout, second.layout))}"


def _moved(path: str, was: bool, is_now: bool, sizes: str) -> str:
    if was and is_now:
        return f"`{path}` has other bytes{sizes}"
    return f"`{path}` is gone" if was else f"`{path}` is new"


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
