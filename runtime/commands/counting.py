"""The tokens of every sample of a manifest, as a table of counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recipe_compiler.errors import PackageMissing
from recipe_compiler.manifest import rows
from recipe_compiler.manifest.files import write_atomically
from runtime.reader import Reader


def write_counts(
    manifest: Path,
    processor: Path,
    out: Path,
    *,
    root: Path,
    cache: Path,
    workers: int | None,
    video_frames: int | None,
    told: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Counts every draw of a manifest and writes `sample_id`, `tokens` and `image_tokens`, each sample once.

    The table's metadata says under `recipe` by whom: the digest of the processor's files, and the versions of the
    libraries that read them, and how many frames of a video are shown. Gives a row for each pool.
    """
    try:
        from runtime.counts import count, processor_digest
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name or "transformers", "train") from None
    out.parent.mkdir(parents=True, exist_ok=True)
    reader = Reader(manifest, root=root, cache=cache)
    names = [pool.name for pool in reader.manifest.pools]
    digest = processor_digest(processor)
    counts = count(reader, processor, workers=workers, told=told, video_frames=video_frames)
    own = counts.of_samples(names)
    who: dict[str, Any] = {"processor": digest, **{name: version(name) for name in ("tokenizers", "transformers")}}
    if video_frames is not None:
        who["video_frames"] = video_frames
    table = pa.table(
        {
            "sample_id": pa.array([row.tobytes().hex() for row in own.ids], pa.string()),
            "tokens": rows.column(own.tokens),
            "image_tokens": rows.column(own.image_tokens),
        }
    ).replace_schema_metadata({"recipe": json.dumps(who, sort_keys=True)})
    write_atomically(out, lambda path: pq.write_table(table, path, compression="zstd"))
    found = []
    for number, name in enumerate(names):
        tokens, image_tokens = (column[counts.pools == number] for column in (counts.tokens, counts.image_tokens))
        if len(tokens):
            found.append(
                {
                    "pool": name,
                    "samples": len(tokens),
                    "tokens": int(tokens.sum(dtype=np.uint64)),
                    "image_tokens": int(image_tokens.sum(dtype=np.uint64)),
                    "longest": int(tokens.max()),
                }
            )
    return found
