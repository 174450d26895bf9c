"""The speed of an epoch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from recipe_compiler.errors import PackageMissing
from runtime.decode import decoder
from runtime.partition import World
from runtime.readahead.reading import Reading
from runtime.stream import ManifestDataset, ManifestStream

#: The global batch of recipes that say nothing of it.
_BATCH = 256


def bench(
    folder: Path | str, batch: int | None, workers: int, *, decode: bool, root: Path | None, cache: Path | None
) -> tuple[str, dict[str, Any]]:
    """Streams one epoch and measures it with a monotonic clock. With workers, through a torch loader.

    Images are decoded ahead where that is asked for, and it is told who decoded how many of them; workers do not tell.
    """
    begun = time.perf_counter()
    dataset = ManifestDataset(folder, root=root, cache=cache)
    batch = batch or dataset.reader.manifest.global_batch or _BATCH
    reading = Reading(decode=decode)
    stream = ManifestStream(dataset, global_batch=batch, reading=reading)
    batches: Any = stream
    if workers:
        try:
            from runtime.loader import ManifestLoader
        except ModuleNotFoundError:
            raise PackageMissing("torch", "torch") from None
        batches = ManifestLoader(dataset, global_batch=batch, world=World(), num_workers=workers, reading=reading)
    num_samples = num_media = num_bytes = 0
    first = None
    for handed in batches:
        samples = [sample for pack in handed for sample in pack] if handed and isinstance(handed[0], list) else handed
        for sample in samples:
            num_bytes += sum(len(media.view()) for media in sample.media)
            num_media += len(sample.media)
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
        "decoders": dict(sorted(stream.told.decoders.items())),
        "decoder": decoder().says if decode else None,
        "workers": workers,
    }
    text = (
        f"{num_samples:,} samples with {num_media:,} media ({num_bytes / 1e6:,.1f} MB"
        f"{', decoded' if decode else ''}) in {seconds:.2f} s by {how}: {num_samples / seconds:,.0f} samples/s; "
        f"first batch after {(first or 0) * 1000:.0f} ms"
    )
    if decode:
        counts = [f"{count:,} pictures by {name}" for name, count in sorted(stream.told.decoders.items())]
        text += f"\ndecoder: {'; '.join([decoder().says, *counts])}"
    return text, document
