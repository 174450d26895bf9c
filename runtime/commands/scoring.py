"""Scores of training samples by a model, as a table that a recipe names under `annotations`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recipe_compiler.errors import PackageMissing
from recipe_compiler.manifest import store
from recipe_compiler.manifest.rows import cells
from runtime.reader import Reader

Progress = Callable[[str, int, int], None]

_COLUMNS = [
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("answer_tokens", pa.int64(), nullable=False),
    pa.field("loss", pa.float64()),
    pa.field("perplexity", pa.float64()),
]
_IFD = [pa.field("loss_alone", pa.float64()), pa.field("ifd", pa.float64())]


def score(
    model_folder: Path,
    folder: Path,
    out: Path,
    *,
    with_ifd: bool,
    batch: int,
    root: Path | None,
    cache: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Scores each sample of a manifest once, and writes the table as a whole or not at all."""
    try:
        from runtime.evaluate.losses import Losses, ifd
        from runtime.evaluate.model import Model
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name or "torch", "train") from None
    reader = Reader(folder, root=root, cache=cache)
    model = Model.load(model_folder)
    losses = Losses(model)
    positions = list(_first_draws(reader))
    columns = [*_COLUMNS, *(_IFD if with_ifd else [])]
    written_by = {"recipe.model": model.digest, "recipe.manifest": reader.manifest.ids.manifest}
    schema = pa.schema(columns, metadata=written_by)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.unfinished")
    num_without = 0
    with pq.ParquetWriter(unfinished, schema) as writer:
        for start in range(0, len(positions), batch):
            samples = [reader.sample(position) for position in positions[start : start + batch]]
            found = losses.of(samples)
            alone = losses.alone(samples) if with_ifd else found
            rows = []
            for sample, loss, bare in zip(samples, found, alone, strict=True):
                num_without += loss.mean is None
                row: dict[str, Any] = {"sample_id": sample.sample_id, "answer_tokens": loss.tokens, "loss": loss.mean}
                row["perplexity"] = None if loss.mean is None else _perplexity(loss.mean)
                if with_ifd:
                    row |= {"loss_alone": bare.mean, "ifd": ifd(loss, bare, sample)}
                rows.append(row)
            writer.write_table(pa.Table.from_pylist(rows, schema))
            progress("scoring", min(start + batch, len(positions)), len(positions))
    unfinished.replace(out)
    return {
        "samples": len(positions),
        "without_answer": num_without,
        "columns": [field.name for field in columns],
        "model": model.digest,
        "manifest": reader.manifest.ids.manifest,
    }


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf


def _first_draws(reader: Reader) -> Iterator[int]:
    """The first position of each sample, in order. Equal samples of several pools are one."""
    seen: set[bytes] = set()
    for shard in reader.manifest.shards:
        table = store.read_shard(reader.folder, shard)
        ids, repeats = cells(table, "sample_id"), cells(table, "repeat")
        for place in np.flatnonzero(repeats == 0):
            sample_id = bytes(ids[place])
            if sample_id not in seen:
                seen.add(sample_id)
                yield shard.start + int(place)
