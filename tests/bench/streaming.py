"""Streaming one shuffled epoch of chats about pictures, beside what the disk and the decoder alone can do.

Files lie in the page cache, so that the reader is measured and not the disk. Peers are measured elsewhere on the same
samples (`pictures`).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import pictures, pools
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Variant, fresh, held, round_robin, warm

BATCH = 32
#: Pictures that are decoded in a run.
_DECODED = 10_000
_WITHIN_MS = 100
#: Pictures that a thread is given at once, as the reader gives them.
_TOGETHER = 8
#: Samples that are in memory at once where nothing but `pread` is done, as many as the reader asks for ahead.
_KEPT = 128


def measure(bench: Bench) -> list[Line]:
    manifest = str(pictures.manifest(bench))
    library = bench.folder / "pread.so"
    source = Path(__file__).with_name("pread.c")
    subprocess.run(["cc", "-O2", "-pthread", "-shared", "-fPIC", "-o", library, source], check=True)
    threads = len(os.sched_getaffinity(0))
    runs = round_robin(
        {
            "raw": partial(fresh, stream, manifest, {}),
            "unchecked": partial(fresh, stream, manifest, {"check": False}),
            "pread": partial(fresh, pread, manifest, str(library), threads),
            "decoded": partial(fresh, stream, manifest, {"decode": True}),
            "decode only": partial(fresh, decode_only, manifest, threads),
            "start": partial(fresh, first_batch, manifest, 0.0),
            "resume": partial(fresh, first_batch, manifest, 0.5),
            "start of many": partial(fresh, first_row_batch, str(pools.manifest(bench, "all")), 0.0),
            "resume of many": partial(fresh, first_row_batch, str(pools.manifest(bench, "all")), 0.5),
        },
        bench.repeats,
    )
    each = {
        name: Spread.of([ran.seconds / ran.found["samples"] * 1e6 for ran in ran_all]) for name, ran_all in runs.items()
    }
    lines = [
        Line(what=what, ours=each[ours], against=against, theirs=each[theirs], unit="us/sample", target=target)
        for what, ours, against, theirs, target in (
            ("stream, raw bytes, proved", "raw", f"random pread, C, {threads} threads", "pread", 0.5),
            ("stream, raw bytes", "unchecked", f"random pread, C, {threads} threads", "pread", 0.5),
            ("stream, decoded", "decoded", f"decode only, {threads} threads", "decode only", 0.85),
        )
    ]
    for name, what in (
        ("start", "first batch of pictures"),
        ("resume", "the same at 50%"),
        ("start of many", "first batch of 10M draws"),
        ("resume of many", "the same at 50%"),
    ):
        took = Spread.of([ran.seconds * 1e3 for ran in runs[name]])
        lines.append(Line(what=what, ours=took, against="limit", theirs=limit(_WITHIN_MS), unit="ms", target=1))
    for name in ("raw", "decoded"):
        peak = Spread.of([ran.found["peak"] for ran in runs[name]])
        lines.append(Line(what=f"peak memory, {name}", ours=peak, against="-", theirs="-", unit="MB"))
    return lines


def _warm(manifest: str) -> None:
    warm(*Path(manifest).parent.glob("tars/*.tar"), *Path(manifest).rglob("*.*"))


def stream(manifest: str, settings: dict[str, Any]) -> Variant:
    """One epoch; every sample's bytes, or pixels, are asked for."""
    from runtime.readahead.reading import Reading
    from runtime.stream import ManifestDataset, ManifestStream

    _warm(manifest)
    samples = ManifestStream(ManifestDataset(manifest), global_batch=BATCH, reading=Reading(**settings))
    decode = bool(settings.get("decode"))
    if decode:
        from runtime import decode as decoding

        decoding.decoder()
    done = num_bytes = 0
    yield
    for batch in samples:
        for sample in batch:
            (media,) = sample.media
            num_bytes += media.pixels().nbytes if decode else len(media.view())
        done += len(batch)
        if decode and done >= _DECODED:
            break
    yield
    yield {"samples": done, "bytes": num_bytes, "peak": held("VmHWM") / 1e6, "decoders": dict(samples.told.decoders)}


def pread(manifest: str, library: str, threads: int) -> Variant:
    """The same ranges in the same order."""
    from runtime.reader import Reader

    _warm(manifest)
    reader = Reader(Path(manifest))
    rows = reader.rows(range(len(reader)))
    handles = [os.open(reader.root / source.path, os.O_RDONLY) for source in reader.manifest.sources]
    of_row = np.array(handles, dtype=np.int32)[rows["source"]]
    offsets, lengths = (rows[name].astype(np.int64) for name in ("offset", "length"))
    whole, part = (np.ctypeslib.ndpointer(kind) for kind in (np.int64, np.int32))
    read_all = ctypes.CDLL(library).read_all
    read_all.argtypes = [part, whole, whole, *[ctypes.c_int64] * 3, ctypes.c_int32]
    read_all.restype = ctypes.c_int64
    yield
    missing = read_all(of_row, offsets, lengths, len(reader), int(lengths.max()), _KEPT // threads, threads)
    yield
    assert missing == 0
    yield {"samples": len(reader)}


def decode_only(manifest: str, threads: int) -> Variant:
    """The decoder alone, on pictures in memory: each thread decodes its share into memory of its own, again and again."""
    from concurrent.futures import ThreadPoolExecutor

    from runtime.decode import decoder, quick
    from runtime.stream import ManifestDataset

    dataset = ManifestDataset(manifest)
    data = [dataset[position].media[0].read() for position in range(256)]
    each = min(_DECODED, len(dataset)) // threads
    decoder()

    def work(thread: int) -> None:
        memory = np.empty((_TOGETHER, pictures.SIDE, pictures.SIDE, 3), dtype=np.uint8)
        for first in range(0, each, _TOGETHER):
            numbers = range(thread * each + first, thread * each + min(first + _TOGETHER, each))
            assert all(quick([(data[number % len(data)], at) for number, at in zip(numbers, memory, strict=False)]))

    yield
    with ThreadPoolExecutor(threads) as workers:
        list(workers.map(work, range(threads)))
    yield
    yield {"samples": each * threads}


def first_batch(manifest: str, at: float) -> Variant:
    """A dataset opened, and a state loaded, up to the first batch."""
    from runtime.stream import ManifestDataset, ManifestStream

    _warm(manifest)
    yield
    dataset = ManifestDataset(manifest)
    samples = ManifestStream(dataset, global_batch=BATCH)
    samples.load_state_dict({"version": 1, "manifest": dataset.manifest_id, "consumed": int(len(dataset) * at)})
    batch = next(iter(samples))
    read = sum(len(media.view()) + len(sample.messages) for sample in batch for media in sample.media)
    yield
    assert read
    yield {"samples": len(batch)}


def first_row_batch(manifest: str, at: float) -> Variant:
    """The same for short texts."""
    from runtime.stream import ManifestDataset, ManifestStream

    warm(*Path(manifest).rglob("*.*"))
    yield
    dataset = ManifestDataset(manifest)
    samples = ManifestStream(dataset, global_batch=BATCH)
    samples.load_state_dict({"version": 1, "manifest": dataset.manifest_id, "consumed": int(len(dataset) * at)})
    batch = next(iter(samples))
    said = sum(len(sample.messages) for sample in batch)
    yield
    assert said
    yield {"samples": len(batch)}
