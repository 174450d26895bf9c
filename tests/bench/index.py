"""Indexing JSON Lines: the kernel as the compiler calls it, against those who parse the same file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import partial
from pathlib import Path

from tests.bench import data
from tests.bench.bench import Bench
from tests.bench.figures import Line
from tests.bench.processes import Variant, fresh, round_robin, seconds, warm

#: Those that find records, and tell how many.
_READ_RECORDS = ("ours", "polars.read_ndjson", "datasets.load_dataset")


def measure(bench: Bench) -> list[Line]:
    size = bench.size(400_000_000)
    path = str(data.chats(bench.folder / f"chats-{size}.jsonl", size))
    variants = {
        "ours": partial(fresh, ours, path),
        "polars.read_ndjson": partial(fresh, polars, path),
        "datasets.load_dataset": partial(fresh, datasets, path),
        "digest_file, all threads": partial(fresh, blake3, path, None),
        "digest_file, one thread": partial(fresh, blake3, path, 1),
        "read and BLAKE2b, one thread": partial(fresh, blake2b, path),
    }
    # A plain sequential read has one thread, from the beginning to the end.
    targets = {"polars.read_ndjson": 5.0, "datasets.load_dataset": 10.0, "digest_file, one thread": 1 / 3}
    runs = round_robin(variants, bench.repeats)
    if len({ran.found for name in _READ_RECORDS for ran in runs[name]}) > 1:
        raise AssertionError("not the same number of records")
    mine = seconds(runs.pop("ours"))
    assert mine is not None
    what = f"index {Path(path).stat().st_size / 1e6:,.0f} MB of JSON Lines"
    return [
        Line(what=what, ours=mine, against=name, theirs=seconds(ran), unit="s", target=targets.get(name))
        for name, ran in runs.items()
    ]


def ours(path: str) -> Variant:
    from recipe_compiler import scanning

    stream = Path(path)
    warm(path)
    yield
    layout = scanning.layout(stream.name, stream, hint={}, preset="auto", fields={})
    _, fields, _ = scanning.detect(stream, layout=layout, preset="auto", fields={})
    found = scanning.index(stream, layout=layout, fields=fields)
    yield
    yield len(found.numbers["id_high"])


def polars(path: str) -> Variant:
    import polars

    warm(path)
    yield
    frame = polars.read_ndjson(path)
    yield
    yield frame.height


def datasets(path: str) -> Variant:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as cache:
        warm(path)
        yield
        found = datasets.load_dataset("json", data_files=path, split="train", cache_dir=cache)
        yield
        yield len(found)


def blake3(path: str, threads: int | None) -> Variant:
    if threads is not None:
        os.environ["RAYON_NUM_THREADS"] = str(threads)
    from recipe_compiler import kernels

    warm(path)
    yield
    found = kernels.digest_file(Path(path))
    yield
    yield found


def blake2b(path: str) -> Variant:
    warm(path)
    yield
    digest = hashlib.blake2b()
    handle = os.open(path, os.O_RDONLY)
    while block := os.read(handle, 1 << 20):
        digest.update(block)
    yield
    yield digest.hexdigest()
