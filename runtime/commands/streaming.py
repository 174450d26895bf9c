"""The speed of an epoch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from recipe_compiler.errors import PackageMissing
from runtime.partition import World
from runtime.stream import ManifestDataset, ManifestStream


def bench(
    folder: Path | str, batch: int, workers: int, *, decode: bool, root: Path | None, cache: Path | None
) -> tuple[str, dict[str, Any]]:
    """Streams one epoch and measures it with a monotonic clock. With workers, through a torch loader."""
    begun = time.perf_counter()
    dataset = ManifestDataset(folder, root=root, cache=cache)
    batches: Any
    if workers:
        try:
            from runtime.loader import ManifestLoader
        except ModuleNotFoundError:
            raise PackageMissing("torch", "torch") from None
        batches = ManifestLoader(dataset, global_batch=batch, world=World(), num_workers=workers)
    else:
        batches = ManifestStream(dataset, global_batch=batch)
    num_samples = num_media = num_bytes = 0
    first = None
    for samples in batches:
        for sample in samples:
            for media in sample.media:
                if decode and media.kind == "image":
                    media.image()
                num_bytes += len(media.read())
                num_media += 1
        num_samples += len(samples)
        first = first if first is not None else time.perf_counter() - begun
    seconds = time.perf_counter() - begun
    how = f"{workers} workers" if workers else "one process"
    document = {
        "samples": num_samples,
        "media": num_media,
        "media_bytes": num_bytes,
        "seconds": round(seconds, 3),
        "first_batch_seconds": round(first or 0.0, 3),
        "samples_per_second": round(num_samples / seconds, 1),
        "decoded": decode,
        "workers": workers,
    }
    text = (
        f"{num_samples:,} samples with {num_media:,} media ({num_bytes / 1e6:,.1f} MB"
        f"{', decoded' if decode else ''}) in {seconds:.2f} s by {how}: {num_samples / seconds:,.0f} samples/s; "
        f"first batch after {(first or 0) * 1000:.0f} ms"
    )
    return text, document
