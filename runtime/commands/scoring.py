"""Scores of training samples by a model, as a table that a recipe names under `annotations`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recipe_compiler.errors import PackageMissing
from recipe_compiler.manifest import store
from recipe_compiler.manifest.rows import cells
from runtime.evaluate.metrics import Choice
from runtime.evaluate.questions import Questions
from runtime.reader import Reader

Progress = Callable[[str, int, int], None]

_COLUMNS = [
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("answer_tokens", pa.int64(), nullable=False),
    pa.field("loss", pa.float64()),
    pa.field("perplexity", pa.float64()),
]
_IFD = [pa.field("loss_alone", pa.float64()), pa.field("ifd", pa.float64())]
_PISM = [pa.field("pism_level", pa.float64()), pa.field("solved", pa.bool_())]
#: Batches in a group of rows: samples that a level of PISM has left are brought to batches again inside a group.
_BATCHES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pism:
    """How PISM answers and judges."""

    metrics: tuple[str, ...]
    trials: int
    max_new_tokens: int
    seed: int


def score(
    model_folder: Path,
    folder: Path,
    out: Path,
    *,
    with_ifd: bool,
    pism: Pism | None,
    batch: int,
    root: Path | None,
    cache: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Scores each sample of a manifest once, and writes the table as a whole or not at all."""
    try:
        from runtime.evaluate.losses import Losses, ifd
        from runtime.evaluate.model import Model
        from runtime.evaluate.pism import levels
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name or "torch", "train") from None
    reader = Reader(folder, root=root, cache=cache)
    questions = Questions(reader, Choice.parse(() if pism is None else pism.metrics, reader.manifest.pools))
    model = Model.load(model_folder)
    losses = Losses(model)
    positions = list(_first_draws(reader))
    columns = [*_COLUMNS, *(_IFD if with_ifd else []), *([] if pism is None else _PISM)]
    made_by = {"recipe.model": model.digest, "recipe.manifest": reader.manifest.ids.manifest}
    if pism is not None:
        made_by["recipe.pism"] = json.dumps(asdict(pism), sort_keys=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.unfinished")
    num_without = num_unknown = 0
    schema = pa.schema(columns, metadata=made_by)
    with pq.ParquetWriter(unfinished, schema) as writer:
        for first in range(0, len(positions), batch * _BATCHES):
            group = positions[first : first + batch * _BATCHES]
            rows: list[dict[str, Any]] = []
            for start in range(0, len(group), batch):
                samples = [reader.sample(position) for position in group[start : start + batch]]
                found = losses.of(samples)
                alone = losses.alone(samples) if with_ifd else found
                for sample, loss, bare in zip(samples, found, alone, strict=True):
                    num_without += loss.mean is None
                    row = {"sample_id": sample.sample_id, "answer_tokens": loss.tokens, "loss": loss.mean}
                    row["perplexity"] = None if loss.mean is None else _perplexity(loss.mean)
                    if with_ifd:
                        row |= {"loss_alone": bare.mean, "ifd": ifd(loss, bare, sample)}
                    rows.append(row)
            if pism is not None:
                asked = [questions[position] for position in group]
                options = {"max_new_tokens": pism.max_new_tokens, "trials": pism.trials, "seed": pism.seed}
                for row, level in zip(rows, levels(model, asked, batch=batch, **options), strict=True):
                    num_unknown += level.solved is None
                    row["pism_level"] = None if level.tenths is None else level.tenths / 10
                    row["solved"] = level.solved
            writer.write_table(pa.Table.from_pylist(rows, schema))
            progress("scoring", first + len(group), len(positions))
    unfinished.replace(out)
    document: dict[str, Any] = {
        "samples": len(positions),
        "without_answer": num_without,
        "columns": [field.name for field in columns],
        "model": model.digest,
        "manifest": reader.manifest.ids.manifest,
    }
    return document if pism is None else {**document, "without_level": num_unknown}


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
