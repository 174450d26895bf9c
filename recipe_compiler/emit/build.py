"""`build`: a selection -> a manifest and the tables of its shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recipe_compiler import kernels
from recipe_compiler.emit.order import Ordered
from recipe_compiler.execute import frames
from recipe_compiler.execute.run import Selection
from recipe_compiler.manifest import codec, rows
from recipe_compiler.manifest.schema import (
    Identities,
    Manifest,
    PoolRef,
    ShardRef,
    TextRef,
)
from recipe_compiler.manifest.store import shard_file
from recipe_compiler.plan import nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A manifest and all its rows, and the selection and order they were made of."""

    manifest: Manifest
    table: pa.Table
    selection: Selection
    ordered: Ordered

    def tables(self) -> Iterator[pa.Table]:
        """The rows of each shard."""
        return (self.table.slice(shard.start, shard.rows) for shard in self.manifest.shards)


def build(selection: Selection, ordered: Ordered, texts: tuple[tuple[str, str], ...]) -> Built:
    """Cuts an order into shards and writes down what was asked for and what came of it."""
    table = rows.checked(rows_of(ordered, selection))
    bound = selection.bound
    plan = bound.plan
    ids = rows.cells(table, "sample_id")
    manifest = Manifest(
        name=plan.name,
        version=plan.version,
        seed=plan.seed,
        recipe=plan.recipe,
        texts=tuple(TextRef(name=name, text=text) for name, text in texts),
        pools=_pools(selection),
        sources=tuple(source for pool in bound.pools for source in pool.sources),
        annotations=tuple(annotation.ref for annotation in bound.annotations),
        rules=ordered.rules,
        stages=ordered.stages,
        funnel=selection.funnel,
        requests=(*selection.requests, *ordered.requests),
        strata=selection.strata,
        optima=selection.optima,
        shards=_shards(table, selection),
        ids=Identities(
            pools=kernels.digest_parts(
                "pools",
                [part.encode() for pool in bound.pools for part in (pool.scan.pool, pool.digest)],
            ),
            selection=rows.selection_digest(ids),
            order=rows.order_digest(ids, [(stage.name, stage.draws) for stage in ordered.stages]),
            manifest="",
            texts="",
        ),
    )
    return Built(manifest=codec.identified(manifest), table=table, selection=selection, ordered=ordered)


def _pools(selection: Selection) -> tuple[PoolRef, ...]:
    return tuple(
        PoolRef(
            name=pool.scan.pool,
            role=pool.scan.role,
            group=pool.scan.group,
            category=pool.scan.category,
            license=pool.scan.license,
            tags=pool.scan.tags,
            media=pool.scan.media,
            preset=pool.preset,
            fields=pool.fields,
            samples=pool.samples,
            digest=pool.digest,
        )
        for pool in selection.bound.pools
    )


def rows_of(ordered: Ordered, selection: Selection) -> pa.Table:
    """The rows of a manifest, without their checksums."""
    place = ("occurrence", "source", "offset", "length", "tokens", "images", "videos")
    keys = selection.keys
    chosen = selection.frame.select(place)[ordered.rows]
    numbers = {name: chosen[name].to_numpy() for name in place} | {
        "position": np.arange(chosen.height, dtype=np.uint64),
        "pool": keys.pool[ordered.rows],
        "stage": ordered.stage,
        "rule": ordered.rule,
        "repeat": ordered.repeat,
    }
    columns = {name: rows.column(values) for name, values in numbers.items()}
    ids = pa.py_buffer(frames.sample_ids(keys, ordered.rows))
    columns["sample_id"] = pa.Array.from_buffers(pa.binary(16), chosen.height, [None, ids])
    return pa.table(columns)


def _shards(table: pa.Table, selection: Selection) -> tuple[ShardRef, ...]:
    (size,) = (operation.rows for _, operation in selection.bound.plan.select(nodes.Cut))
    shards = []
    for start in range(0, table.num_rows, size):
        part = table.slice(start, size)
        digest = rows.digest(part)
        shards.append(ShardRef(file=shard_file(digest), start=start, rows=part.num_rows, digest=digest))
    return tuple(shards)
