"""`build`: a selection -> a manifest and the tables of its shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recipe_compiler import kernels
from recipe_compiler.emit.ordered import Ordered
from recipe_compiler.execute.run import Selection
from recipe_compiler.manifest import codec, rows
from recipe_compiler.manifest.prefix import Prefix, joined
from recipe_compiler.manifest.schema import (
    After,
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


def build(
    selection: Selection, ordered: Ordered, texts: tuple[tuple[str, str], ...], prefix: Prefix | None = None
) -> Built:
    """Cuts an order into shards and writes down what was asked for and what came of it.

    With a prefix, its rows come first and its tables begin those of the manifest, so that no number in a row changes.
    """
    bound = selection.bound
    old = None if prefix is None else prefix.manifest
    pools, pool_numbers = joined(old.pools if old else (), _pools(selection))
    own_sources = tuple(source for pool in bound.pools for source in pool.sources)
    sources, source_numbers = joined(old.sources if old else (), own_sources)
    table = rows.checked(rows_of(ordered, selection, pool_numbers, source_numbers))
    if prefix is not None:
        table = pa.concat_tables([prefix.table, table]).combine_chunks()
    plan = bound.plan
    ids = rows.cells(table, "sample_id")
    manifest = Manifest(
        name=plan.name,
        version=plan.version,
        seed=plan.seed,
        recipe=plan.recipe,
        texts=tuple(TextRef(name=name, text=text) for name, text in texts),
        pools=pools,
        sources=sources,
        annotations=tuple(annotation.ref for annotation in bound.annotations),
        rules=ordered.rules,
        stages=ordered.stages,
        funnel=selection.funnel,
        requests=(*selection.requests, *ordered.requests),
        strata=selection.strata,
        optima=selection.optima,
        shards=_shards(table, selection),
        after=None if prefix is None else _after(prefix, pool_numbers, source_numbers),
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


def _after(prefix: Prefix, pool_numbers: list[int], source_numbers: list[int]) -> After:
    old = prefix.manifest
    return After(
        manifest=old.ids.manifest,
        position=prefix.position,
        past_pools=tuple(sorted(set(range(len(old.pools))) - set(pool_numbers))),
        past_sources=tuple(sorted(set(range(len(old.sources))) - set(source_numbers))),
    )


def rows_of(ordered: Ordered, selection: Selection, pools: list[int], sources: list[int]) -> pa.Table:
    """The rows of an order from its position on, without their checksums; `pools` and `sources` are the numbers that
    those of the selection have in the manifest."""
    place = ("occurrence", "source", "offset", "length", "tokens", "images", "videos")
    keys = selection.keys
    own = ordered.rows[ordered.position :]
    frame = selection.frame.select(place).rechunk()
    chosen = dict(zip(place, kernels.gather([frame[name].to_numpy() for name in place], own), strict=True))
    numbers = chosen | {
        "position": np.arange(ordered.position, len(ordered.rows), dtype=np.uint64),
        "source": np.array(sources, dtype=np.uint32)[chosen["source"]],
        "pool": np.array(pools, dtype=np.uint32)[keys.pool[own]],
        **{name: getattr(ordered, name)[ordered.position :] for name in ("stage", "rule", "repeat")},
    }
    columns = {name: rows.column(values) for name, values in numbers.items()}
    ids = pa.py_buffer(kernels.sample_ids(keys, own))
    columns["sample_id"] = pa.Array.from_buffers(pa.binary(16), len(own), [None, ids])
    return pa.table(columns)


def _shards(table: pa.Table, selection: Selection) -> tuple[ShardRef, ...]:
    (size,) = (operation.rows for _, operation in selection.bound.plan.select(nodes.Cut))
    shards = []
    for start in range(0, table.num_rows, size):
        part = table.slice(start, size)
        digest = rows.digest(part)
        shards.append(ShardRef(file=shard_file(digest), start=start, rows=part.num_rows, digest=digest))
    return tuple(shards)
