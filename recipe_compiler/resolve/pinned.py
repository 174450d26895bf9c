"""`bind_pinned`: a plan and the files it was compiled from -> a bound plan, from the cache where the files have changed.

An index is kept by the content it was made of, so that a release can be looked into after its pools went on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipe_compiler import kernels, scanning
from recipe_compiler.errors import DataError
from recipe_compiler.manifest.files import record_stream
from recipe_compiler.manifest.schema import AnnotationRef, Manifest, SourceRef
from recipe_compiler.plan import nodes
from recipe_compiler.plan.lower import Plan
from recipe_compiler.remote.address import is_remote
from recipe_compiler.resolve import media
from recipe_compiler.resolve.bind import (
    BoundAnnotation,
    BoundFile,
    BoundPlan,
    BoundPool,
    check_annotation,
    count_repeats,
    make_pool,
)
from recipe_compiler.resolve.inventory import Digests
from recipe_compiler.resolve.remote import Remote
from recipe_compiler.resolve.wording import cached_worded, wanted, worded_file
from recipe_compiler.resolve.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedPool:
    """The files of a pool and how they are read. `declared` is a digest of what the recipe said of that; empty where
    the pins stand with the recipe itself."""

    declared: str
    preset: str
    fields: Mapping[str, Any]
    files: tuple[SourceRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Every file of every pool, by name of the pool, and the annotations."""

    pools: Mapping[str, PinnedPool]
    annotations: tuple[AnnotationRef, ...]

    @staticmethod
    def of(manifest: Manifest) -> Pins:
        """What a manifest was compiled from."""
        pools = {
            pool.name: PinnedPool(
                declared="",
                preset=pool.preset,
                fields=pool.fields,
                files=tuple(source for source in manifest.own_sources if source.pool == pool.name),
            )
            for pool in manifest.own_pools
        }
        return Pins(pools=pools, annotations=manifest.annotations)


def declared(scan: nodes.Scan) -> str:
    """A digest of what a recipe says of a pool's files and of how they are read."""
    said = {"source": scan.source, "format": scan.format, "fields": scan.fields, "hint": scan.hint}
    return kernels.digest_parts("declared", [json.dumps(said, sort_keys=True).encode()])


def bind_pinned(plan: Plan, workspace: Workspace, pins: Pins) -> BoundPlan:
    """Binds a plan to pinned content. Raises `DataError` for what is neither on this disk nor in the cache."""
    digests = Digests(workspace)
    remote = Remote(workspace, digests)
    worded = wanted(plan)
    pools = tuple(_pool(node, scan, workspace, remote, pins, worded) for node, scan in plan.select(nodes.Scan))
    annotations = []
    known = {annotation.path: annotation for annotation in pins.annotations}
    for node, source, _ in plan.tables():
        pinned = known.get(source)
        if pinned is None:
            raise DataError(source, "is not among what was compiled")
        file = remote.pinned(pinned)
        if file is None:
            raise DataError(source, "is not the table that was compiled")
        check_annotation(file, workspace.cache if is_remote(source) else workspace.root)
        annotations.append(
            BoundAnnotation(node=node, path=pinned.path, file=file, digest=pinned.digest, size=pinned.size)
        )
    digests.save()
    return BoundPlan(plan=plan, pools=pools, annotations=tuple(annotations), repeats=count_repeats(workspace, pools))


def _pool(
    node: nodes.Node, scan: nodes.Scan, workspace: Workspace, remote: Remote, pins: Pins, worded: bool
) -> BoundPool:
    pinned = pins.pools.get(scan.pool)
    if pinned is None:
        raise DataError(scan.pool, "is a pool that was not compiled")
    if pinned.declared not in ("", declared(scan)):
        raise DataError(scan.pool, "is declared otherwise than when it was locked")
    files = [_file(ref, pinned, workspace, remote, worded) for ref in pinned.files]
    absent: tuple[str, ...] = ()
    if scan.missing_media == "drop":
        wanted, folder = media.references([file.index.table for file in files]), scan.media or "."
        if is_remote(folder):
            absent = tuple(media.missing_among(remote.copies.stores.below(folder), wanted))
        else:
            absent = tuple(media.missing(workspace.root, folder, wanted))
    return make_pool(
        workspace,
        node,
        scan,
        files,
        preset=pinned.preset,
        fields=pinned.fields,
        why="as compiled",
        missing_media=absent,
    )


def _file(ref: SourceRef, pool: PinnedPool, workspace: Workspace, remote: Remote, worded: bool) -> BoundFile:
    how: dict[str, Any] = {"digest": ref.digest, "layout": ref.layout, "fields": pool.fields, "worded": worded}
    index = cached_worded(workspace, **how)
    stream = workspace.root / ref.path
    if index is None:
        path = remote.pinned(ref)
        if path is None:
            raise DataError(ref.path, "is not the file that was compiled, and its index is not in the cache")
        kind = scanning.wrapping(path)
        stream = record_stream(path, digest=ref.digest, wrapping=kind, cache=workspace.cache)
        index = worded_file(workspace, stream, **how)
    return BoundFile(
        path=ref.path,
        size=ref.size,
        digest=ref.digest,
        wrapping=ref.wrapping,
        layout=ref.layout,
        stream=stream,
        index=index,
    )
