"""Samples that a manifest draws and that are in its pools no more: it took their draws over from another manifest."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from recipe_compiler import kernels, table
from recipe_compiler.manifest import rows
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.manifest.schema import Manifest
from recipe_compiler.report.side import Side

#: The step at which a sample left that is not in the pools.
_GONE = np.iinfo(np.uint16).max


def with_gone(side: Side, prefix: Prefix) -> Side:
    """A side with the samples of a prefix that are not in its pools; their draws stand at the number of its samples."""
    height, fates = len(side.keys.pool), side.fates
    positions = np.flatnonzero(side.draws == height)
    if not len(positions) or fates is None:
        return side
    keys = table.keys_of(prefix.keys(side.pools), positions.astype(np.uint32))
    numbers, _, _ = kernels.shared_numbers(keys, keys)
    _, first, sample = np.unique(numbers, return_index=True, return_inverse=True)
    draws = side.draws.copy()
    draws[positions] = (height + sample).astype(np.uint32)
    kept = pl.DataFrame(pl.from_arrow(prefix.table.select(["tokens", "images", "videos"])))[positions[first]]
    labelled = labels(prefix.manifest, rows.cells(prefix.table, "pool")[positions[first]])

    def column(name: str) -> pl.Series | None:
        values = side.column(name)
        if values is None:
            return None
        values = values.cast(pl.String) if isinstance(values.dtype, pl.Enum) else values
        more = kept[name] if name in kept.columns else labelled.get(name)
        unknown = pl.Series(name, [None] * len(first), dtype=values.dtype)
        return pl.concat([values, unknown if more is None else more.cast(values.dtype)])

    times, first_at = kernels.occurrences(draws, height + len(first))
    return dataclasses.replace(
        side,
        keys=_joined(side.keys, table.keys_of(keys, first.astype(np.uint32))),
        draws=draws,
        column=column,
        times=times,
        first=first_at,
        fates=dataclasses.replace(
            fates,
            left_at=np.append(fates.left_at, np.full(len(first), _GONE, dtype=np.uint16)),
            stage=np.append(fates.stage, np.full(len(first), -1, dtype=np.int16)),
        ),
    )


def _joined(first: kernels.Keys, second: kernels.Keys) -> kernels.Keys:
    return kernels.Keys(
        high=[*first.high, *second.high],
        low=[*first.low, *second.low],
        occurrence=np.append(first.occurrence, second.occurrence),
        pool=np.append(first.pool, second.pool),
    )


def labels(manifest: Manifest, pool: kernels.U32) -> dict[str, pl.Series]:
    """What pools give their samples, for samples by the numbers of their pools."""
    labels = {"pool": [ref.name for ref in manifest.pools]}
    labels |= {name: [getattr(ref, name) for ref in manifest.pools] for name in ("group", "category")}
    return {name: pl.Series(values, dtype=pl.String).gather(pool) for name, values in labels.items()}
