"""`build`: a selection -> a manifest and the tables of its shards."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.emit.ordered import Ordered
from recipe_compiler.execute import frames
from recipe_compiler.execute.run import Selection
from recipe_compiler.manifest import codec, rows
from recipe_compiler.manifest.prefix import Prefix, joined
from recipe_compiler.manifest.schema import (
    ROWS,
    After,
    Identities,
    Manifest,
    PoolRef,
    ShardRef,
    TextRef,
    Units,
)
from recipe_compiler.manifest.store import shard_file
from recipe_compiler.plan import nodes

#: What the table of samples says of a row, as it stands there.
_PLACE = ("occurrence", "source", "offset", "length", "tokens", "images", "videos")
#: Digests that are computed at once.
_THREADS = 4


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
    plan, stages = bound.plan, [(stage.name, stage.draws) for stage in ordered.stages]
    own = kernels.sample_ids(selection.keys, ordered.rows[ordered.position :])
    ids = own if prefix is None else np.concatenate([rows.cells(prefix.table, "sample_id"), own])
    with ThreadPoolExecutor(_THREADS) as threads:
        chosen = threads.submit(rows.selection_digest, ids)
        drawn = threads.submit(rows.order_digest, ids, stages)
        table = rows.checked(rows_of(ordered, selection, own, pool_numbers, source_numbers))
        if prefix is not None:
            table = pa.concat_tables([prefix.table, table]).combine_chunks()
        shards = tuple(threads.map(_shard, *_cut(table, selection)))
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
        units=_units(ordered, selection),
        global_batch=_global_batch(selection),
        counted=selection.counted,
        shards=shards,
        after=None if prefix is None else _after(prefix, pool_numbers, source_numbers),
        ids=Identities(
            pools=kernels.digest_parts(
                "pools",
                [part.encode() for pool in bound.pools for part in (pool.scan.pool, pool.digest)],
            ),
            selection=chosen.result(),
            order=drawn.result(),
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


def rows_of(
    ordered: Ordered, selection: Selection, ids: NDArray[np.void], pools: list[int], sources: list[int]
) -> pa.Table:
    """The rows of an order from its position on, of these ids, without their checksums; `pools` and `sources` are the
    numbers that those of the selection have in the manifest."""
    own, frame = slice(ordered.position, None), selection.frame
    # An index keeps counts in as few bytes as they need.
    place = {name: np.dtype(str(ROWS.field(name).type)) for name in _PLACE}
    cells = [frames.pieces(frame[name]) for name in place]
    chosen = dict(zip(place, table.gather(cells, ordered.rows[own], list(place.values())), strict=True))
    # A source is of one pool: it is not looked for in all of them.
    pool_of = [number for pool, number in zip(selection.bound.pools, pools, strict=True) for _ in pool.files]
    numbers = chosen | {
        "position": np.arange(ordered.position, len(ordered.rows), dtype=np.uint64),
        "source": table.renumbered([chosen["source"]], np.array(sources, dtype=np.uint32)),
        "pool": table.renumbered([chosen["source"]], np.array(pool_of, dtype=np.uint32)),
        **{name: getattr(ordered, name)[own] for name in ("stage", "rule", "repeat", "unit")},
    }
    columns = {name: rows.column(values) for name, values in numbers.items()}
    return pa.table(columns | {"sample_id": pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)])})


def _units(ordered: Ordered, selection: Selection) -> Units | None:
    """What came of packs or of batches that count tokens; of the recipe's own draws."""
    stage = _first_stage(selection)
    pack, batch = stage.pack, stage.batch
    counts_tokens = batch is not None and batch.counts_tokens
    if pack is None and not counts_tokens:
        return None
    tokens = selection.frame["tokens"].gather(ordered.rows[ordered.position :]).to_numpy().astype(np.uint64)
    unit = ordered.unit[ordered.position :]
    starts = np.flatnonzero(np.diff(unit, prepend=unit[:1] + np.uint64(1)))
    longest = np.maximum.reduceat(tokens, starts) if len(starts) else tokens
    rows_of_unit = np.diff(np.append(starts, len(unit))).astype(np.uint64)
    most = pack.most if pack is not None else batch.size if batch is not None else 0
    return Units(
        kind="batch" if pack is None else "pack",
        measure="padded" if batch is not None and batch.measure == "padded" else "tokens",
        most=most,
        units=len(starts),
        tokens=int(tokens.sum()),
        room=len(starts) * most if pack is not None else int((rows_of_unit * longest).sum()),
        longest=int(tokens.max(initial=0)),
    )


def _global_batch(selection: Selection) -> int | None:
    """How many draws, or units of them, the recipe's batches have."""
    batch = _first_stage(selection).batch
    return None if batch is None else 1 if batch.counts_tokens else batch.size


def _first_stage(selection: Selection) -> nodes.Stage:
    """Packs and batches are the same for all stages."""
    stage = selection.stages[0].operation
    assert isinstance(stage, nodes.Stage)
    return stage


def _cut(table: pa.Table, selection: Selection) -> tuple[range, list[pa.Table]]:
    """Where each shard starts, and its rows."""
    (size,) = (operation.rows for _, operation in selection.bound.plan.select(nodes.Cut))
    starts = range(0, table.num_rows, size)
    return starts, [table.slice(start, size) for start in starts]


def _shard(start: int, part: pa.Table) -> ShardRef:
    digest = rows.digest(part)
    unit = int(rows.cells(part, "unit")[0])
    return ShardRef(file=shard_file(digest), start=start, rows=part.num_rows, unit=unit, digest=digest)
