"""What the command line asks of the runtime: the draws behind positions, the speed of an epoch, the first difference."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from recipe_compiler.errors import DataError, PackageMissing
from runtime.partition import World
from runtime.reader import Reader, Sample, positions_of_source
from runtime.stream import ManifestDataset, ManifestStream


def show_draws(
    folder: Path, start: int, stop: int, *, root: Path | None, cache: Path | None
) -> tuple[str, list[dict[str, Any]]]:
    """Positions `start` to `stop` as text for people and as plain JSON."""
    reader = Reader(folder, root=root, cache=cache)
    samples = [reader.sample(position) for position in range(start, max(start + 1, min(stop, len(reader))))]
    return "\n".join(_text(sample) for sample in samples).rstrip(), [_document(sample) for sample in samples]


def _text(sample: Sample) -> str:
    repeat = f", draw {sample.repeat + 1} of it" if sample.repeat else ""
    key = f" ({sample.key})" if sample.key is not None else ""
    lines = [
        f"position {sample.position:,}  {sample.sample_id}",
        f"  pool {sample.pool}{key}, {sample.rule}{repeat}, about {sample.tokens:,} tokens",
    ]
    for message in sample.messages:
        shown = []
        for part in message["content"]:
            if part["type"] == "text":
                shown.append(part["text"])
            else:
                shown.append(f"<{part['type']} {_place(sample, part['media'])}>")
        body = "\n".join(shown).replace("\n", "\n" + " " * 13)
        lines.append(f"  {message['role']:>9}: {body}")
    return "\n".join(lines) + "\n"


def _place(sample: Sample, index: int) -> str:
    media = sample.media[index]
    if media.data is not None:
        return f"{len(media.data):,} bytes in the record"
    assert media.path is not None
    here = Path.cwd()
    return str(media.path.relative_to(here) if media.path.is_relative_to(here) else media.path)


def _document(sample: Sample) -> dict[str, Any]:
    return {
        "position": sample.position,
        "sample_id": sample.sample_id,
        "key": sample.key,
        "pool": sample.pool,
        "group": sample.group,
        "stage": sample.stage,
        "rule": sample.rule,
        "repeat": sample.repeat,
        "tokens": sample.tokens,
        "messages": sample.messages,
        "media": [
            {"kind": media.kind, "path": str(media.path)}
            if media.data is None
            else {"kind": media.kind, "bytes": len(media.data)}
            for media in sample.media
        ],
        "tools": None if sample.tools is None else json.loads(sample.tools) if _is_json(sample.tools) else sample.tools,
    }


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def first_difference(folder: Path, source: str, *, root: Path | None, cache: Path | None) -> str:
    """The first position whose record in a changed source is not the compiled one, as a sentence; empty if none is.

    Sizes are not asked here: a file that grew or shrank may still hold the records that are drawn. A compressed file
    that changed has no rows to compare.
    """
    reader = Reader(folder, root=root, cache=cache, check_sizes=False)
    for number, ref in enumerate(reader.manifest.sources):
        if ref.path != source or ref.wrapping != "plain":
            continue
        for position in positions_of_source(reader, number):
            try:
                reader.sample(int(position))
            except DataError as error:
                return f"the first differing row: {error.reason}"
    return ""


def bench(
    folder: Path, batch: int, workers: int, *, decode: bool, root: Path | None, cache: Path | None
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
