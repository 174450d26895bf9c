"""The draws behind positions, and the first that a changed source spoils."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recipe_compiler.errors import DataError
from runtime.errors import StreamError
from runtime.reader import Reader, positions_of_source
from runtime.sample import Sample
from runtime.stream import ManifestDataset, ManifestStream


def show_draws(
    folder: Path | str, start: int, stop: int, *, root: Path | None, cache: Path | None
) -> tuple[str, list[dict[str, Any]]]:
    """Positions `start` to `stop` as text for people and as plain JSON."""
    reader = Reader(folder, root=root, cache=cache)
    samples = [reader.sample(position) for position in range(start, max(start + 1, min(stop, len(reader))))]
    units, counted = reader.manifest.units, reader.manifest.counted
    kind = None if units is None else units.kind
    text = "\n".join(_text(sample, kind, "" if counted else "about ") for sample in samples).rstrip()
    return text, [_document(sample) | ({} if kind is None else {kind: sample.unit}) for sample in samples]


def positions_of_step(
    folder: Path, step: int, batch: int | None, *, root: Path | None, cache: Path | None
) -> tuple[int, int]:
    """Where a training step begins and ends; without a batch, of the recipe's own global batches."""
    stream = ManifestStream(ManifestDataset(folder, root=root, cache=cache), global_batch=batch)
    if step >= len(stream):
        raise StreamError(f"step {step:,} is beyond the last of {len(stream):,} steps, which are counted from 0")
    found = stream.step(step)
    return found.start, found.stop


def _text(sample: Sample, kind: str | None, about: str) -> str:
    repeat = f", draw {sample.repeat + 1} of it" if sample.repeat else ""
    key = f" ({sample.key})" if sample.key is not None else ""
    unit = f", {kind} {sample.unit:,}" if kind is not None else ""
    lines = [
        f"position {sample.position:,}  {sample.sample_id}",
        f"  pool {sample.pool}{key}, {sample.rule}{repeat}{unit}, {about}{sample.tokens:,} tokens",
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
    if media.url is not None:
        return media.url
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
            {"kind": media.kind, "url": media.url}
            if media.url is not None
            else {"kind": media.kind, "path": str(media.path)}
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
