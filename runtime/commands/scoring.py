"""Scores of training samples by a model, as a table that a recipe names under `annotations`."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recipe_compiler.errors import PackageMissing
from recipe_compiler.manifest import store
from recipe_compiler.manifest.files import hold, write_atomically
from recipe_compiler.manifest.rows import cells
from runtime.errors import StreamError
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
    video_frames: int | None = None,
    root: Path | None,
    cache: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Scores each sample of a manifest once, and writes the table as a whole or not at all.

    Groups of samples are kept in a folder beside it until then, so that one that was cut short goes on.
    """
    try:
        from runtime.evaluate.losses import Losses, ifd
        from runtime.evaluate.model import Model
        from runtime.evaluate.pism import levels
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name or "torch", "train") from None
    reader = Reader(folder, root=root, cache=cache)
    questions = Questions(reader, Choice.parse(() if pism is None else pism.metrics, reader.manifest.pools))
    model = Model.load(model_folder, video_frames=video_frames)
    losses = Losses(model)
    positions = list(_first_draws(reader))
    columns = [*_COLUMNS, *(_IFD if with_ifd else []), *([] if pism is None else _PISM)]
    made_by = {
        "recipe.model": model.digest,
        "recipe.manifest": reader.manifest.ids.manifest,
        "recipe.batch": str(batch),
    }
    if video_frames is not None:
        made_by["recipe.video_frames"] = str(video_frames)
    if pism is not None:
        made_by["recipe.pism"] = json.dumps(asdict(pism), sort_keys=True)
    schema = pa.schema(columns, metadata=made_by)

    def scored(group: Sequence[int]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for start in range(0, len(group), batch):
            samples = [reader.sample(position) for position in group[start : start + batch]]
            found = losses.of(samples)
            alone = losses.alone(samples) if with_ifd else found
            for sample, loss, bare in zip(samples, found, alone, strict=True):
                row = {"sample_id": sample.sample_id, "answer_tokens": loss.tokens, "loss": loss.mean}
                row["perplexity"] = None if loss.mean is None else _perplexity(loss.mean)
                if with_ifd:
                    row |= {"loss_alone": bare.mean, "ifd": ifd(loss, bare, sample)}
                rows.append(row)
        if pism is not None:
            asked = [questions[position] for position in group]
            options = {"max_new_tokens": pism.max_new_tokens, "trials": pism.trials, "seed": pism.seed}
            for row, level in zip(rows, levels(model, asked, batch=batch, **options), strict=True):
                row["pism_level"] = None if level.tenths is None else level.tenths / 10
                row["solved"] = level.solved
        return rows

    parts = out.with_name(f".{out.name}.unfinished")
    parts.mkdir(parents=True, exist_ok=True)
    had = 0
    with (parts / ".lock").open("w") as lock:
        hold(lock, StreamError(f"{out}: another score is writing here; nothing was changed by this one"))
        for first in range(0, len(positions), batch * _BATCHES):
            group = positions[first : first + batch * _BATCHES]
            part = parts / f"{first:09d}.parquet"
            if part.exists():
                had += _rows_of(part, schema)
            else:
                table = pa.Table.from_pylist(scored(group), schema)
                write_atomically(part, partial(pq.write_table, table))
            progress("scoring", first + len(group), len(positions))
        num_without, num_unknown = _joined(parts, out, schema)
        shutil.rmtree(parts)
    document: dict[str, Any] = {
        "samples": len(positions),
        "scored_before": had,
        "without_answer": num_without,
        "columns": [field.name for field in columns],
        "model": model.digest,
        "manifest": reader.manifest.ids.manifest,
    }
    return document if pism is None else {**document, "without_level": num_unknown}


def _rows_of(part: Path, schema: pa.Schema) -> int:
    """How many samples of a group were scored before. Raises `StreamError` where that was by something else."""
    metadata = pq.read_metadata(part)
    if not metadata.schema.to_arrow_schema().equals(schema, check_metadata=True):
        reason = "samples were scored by another model, of another manifest or in another way, and not to the end"
        raise StreamError(f"{part.parent}: {reason}; name another file with `--out`, or remove this folder")
    return int(metadata.num_rows)


def _joined(parts: Path, out: Path, schema: pa.Schema) -> tuple[int, int]:
    """Writes the table of all groups. How many samples have no loss, and how many no level."""
    without = dict.fromkeys(("loss", "solved"), 0)

    def write(path: Path) -> None:
        with pq.ParquetWriter(path, schema) as writer:
            for part in sorted(parts.glob("*.parquet")):
                table = pq.read_table(part, schema=schema)
                writer.write_table(table)
                for name in without.keys() & set(table.column_names):
                    without[name] += table[name].null_count

    write_atomically(out, write)
    return without["loss"], without["solved"]


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
