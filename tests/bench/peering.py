"""Streaming the same shuffled pictures: peers at their best of 0, 2 and 4 workers, and ours, in one run.

Every repeat is a fresh process; all sides go in turn, first with each number of workers, then with the one that was best;
imports are not timed; a side's files are read into the page cache right before its window. A run opens a loader, takes its
first batch, and counts what it hands over for a while after a short warm-up, of a time or of a tenth of the samples,
whichever is over first; it ends before the samples do, so that no side is measured while it has nothing left to read.
Batches are let go at once, so that buffers can be used again. Memory is that of the process and its workers while they run:
their share of all they touch (PSS), files that are mapped included, and pages that are theirs alone (USS), which leaves out
what workers have from their parent.

Raw means that the bytes of each JPEG and its text were read; decoded, that pictures are RGB, by PIL where a peer leaves the
choice. Beside them stands our decoder alone, by all processors on pictures that are in memory: whoever reads with it gets no
farther ahead of the peers. Shuffles differ: WebDataset, Energon, HF streaming and row groups shuffle a thousand samples at a
time, LitData chunk by chunk, all others everything.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import data, pictures
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread
from tests.bench.loaders import PEERS, as_text, from_text, keys_of
from tests.bench.processes import NotInstalledError, Ran, Variant, fresh, round_robin, shares, warm
from tests.bench.streaming import decode_only

_WORKERS = (0, 2, 4)
_WINDOW = 1.2
_TARGETS = {"raw": 1.5, "decoded": 2.5}
_ALONE = "decoder alone"


def measure(bench: Bench) -> list[Line]:
    manifest = str(pictures.manifest(bench))
    installed, missing = _formats(bench)
    lines: list[Line] = []
    for kind, target in _TARGETS.items():
        runs = _runs(bench, manifest, installed, kind == "decoded")
        alone = runs.pop(_ALONE, [])
        mine = _of(runs["ours"], "microseconds")
        best = {name: _best(name, runs) for name in installed}
        what = f"stream {kind}, a sample"
        for name, (workers, theirs) in best.items():
            against = f"{PEERS[name].name}, {workers} workers"
            lines.append(Line(what=what, ours=mine, against=against, theirs=theirs, unit="us"))
        for name in missing:
            lines.append(Line(what=what, ours=mine, against=name, theirs=None, unit="us"))
        first = min((theirs for _, theirs in best.values()), key=lambda theirs: theirs.median)
        lines.append(Line(what=what, ours=mine, against="the best of these", theirs=first, unit="us", target=target))
        if alone:
            each = Spread.of([ran.seconds / ran.found["samples"] * 1e6 for ran in alone])
            what = "the decoder alone, a sample"
            lines.append(Line(what=what, ours=each, against="the best of these", theirs=first, unit="us"))
        lines += _beside(kind, installed, best, runs)
    return lines + _resumed(bench, manifest, installed)


def _runs(bench: Bench, manifest: str, installed: dict[str, str], decode: bool) -> dict[str, list[Ran]]:
    """A round of all numbers of workers, and then as many more as are asked for of those that were best."""
    variants: dict[str, Any] = {"ours": partial(fresh, ours, manifest, decode)}
    if decode:
        variants[_ALONE] = partial(fresh, decode_only, manifest, len(os.sched_getaffinity(0)))
    samples = bench.size(pictures.NUM_SAMPLES)
    for name, folder in installed.items():
        for workers in _workers(bench):
            variants[f"{name}, {workers}"] = partial(fresh, peer, name, folder, decode, workers, samples)
    runs = round_robin(variants, 1)
    again = {"ours", _ALONE, *(f"{name}, {_best(name, runs)[0]}" for name in installed)}
    more = round_robin({name: run for name, run in variants.items() if name in again}, bench.repeats - 1)
    return {name: ran + more.get(name, []) for name, ran in runs.items()}


def _workers(bench: Bench) -> tuple[int, ...]:
    """The numbers of workers that are tried; one is enough to see that it runs."""
    return _WORKERS if bench.scale > 0.01 else (2,)


def _formats(bench: Bench) -> tuple[dict[str, str], list[str]]:
    """The folders of the peers that are installed, their files written; and the names of those that are not."""
    folder = pictures.place(bench)
    installed, missing = {}, []
    for name, side in PEERS.items():
        target = folder / side.write.__qualname__.split(".")[0]
        try:
            data.made(target, lambda path, name=name: fresh(write, name, str(path), bench.scale, str(bench.folder)))  # type: ignore[misc]
        except NotInstalledError as error:
            missing.append(f"{side.name} (no `{error}`)")
            continue
        installed[name] = str(target)
    return installed, missing


def _of(runs: list[Ran], what: str) -> Spread:
    return Spread.of([ran.found[what] for ran in runs])


def _best(name: str, runs: dict[str, list[Ran]]) -> tuple[int, Spread]:
    """The number of workers with which a peer is fastest, and its time for a sample then."""
    each = {workers: _of(ran, "microseconds") for workers in _WORKERS if (ran := runs.get(f"{name}, {workers}"))}
    workers = min(each, key=lambda workers: each[workers].median)
    return workers, each[workers]


def _beside(
    kind: str, installed: dict[str, str], best: dict[str, tuple[int, Spread]], runs: dict[str, list[Ran]]
) -> list[Line]:
    """First batches, and memory: every peer with as many workers as it is best with, and the least of all with workers."""
    lines = []
    for what, unit, quantity in (
        ("first batch", "ms", "first"),
        ("own memory (USS)", "MB", "uss"),
        ("memory (PSS)", "MB", "pss"),
    ):
        mine = _of(runs["ours"], quantity)
        for name in installed:
            workers = best[name][0]
            theirs = _of(runs[f"{name}, {workers}"], quantity)
            against = f"{PEERS[name].name}, {workers} workers"
            lines.append(Line(what=f"{what}, {kind}", ours=mine, against=against, theirs=theirs, unit=unit))
        if quantity == "pss":
            found = [_of(ran, quantity) for name, ran in runs.items() if not name.endswith(("ours", ", 0"))]
            least = min(found, key=lambda found: found.median)
            against = "the least of all with workers"
            lines.append(Line(what=f"{what}, {kind}", ours=mine, against=against, theirs=least, unit=unit, target=1))
    return lines


def _resumed(bench: Bench, manifest: str, installed: dict[str, str]) -> list[Line]:
    """A state taken at the half, loaded in a fresh process: the time to the next batch, and whether it was the next."""
    runs = [fresh(ours_resumed, manifest) for _ in range(bench.repeats)]
    mine = Spread.of([ran.seconds * 1e3 for ran in runs])
    lines = []
    for name, folder in installed.items():
        what, side = "resume at 50%, raw", PEERS[name].name
        if PEERS[name].state is None:
            lines.append(Line(what=what, ours=mine, against=side, theirs="keeps no state with workers", unit="ms"))
            continue
        half = bench.size(pictures.NUM_SAMPLES) // 2
        kept = str(pictures.place(bench) / f"{name}.state")
        before = fresh(half_way, name, folder, half, kept).found
        after = [fresh(resumed, name, folder, kept) for _ in range(bench.repeats)]
        exact = "exact" if after[0].found["keys"] == before["keys"] else "other samples"
        theirs = Spread.of([ran.seconds * 1e3 for ran in after])
        lines.append(Line(what=what, ours=mine, against=f"{side}, 2 workers: {exact}", theirs=theirs, unit="ms"))
    return lines


def write(name: str, folder: str, scale: float, place: str) -> Variant:
    """Writes the files of a peer."""
    __import__(PEERS[name].package)
    chats = pictures.samples(Bench(folder=Path(place), repeats=1, scale=scale))
    yield
    shutil.rmtree(folder, ignore_errors=True)
    PEERS[name].write(chats, Path(folder))
    yield
    yield None


def peer(name: str, folder: str, decode: bool, workers: int, samples: int) -> Variant:
    """Opens a loader and measures a window of it."""
    side = PEERS[name]
    __import__(side.package)
    import torch.utils.data  # noqa: F401

    if decode:
        import PIL.JpegImagePlugin  # noqa: F401
    _warm(Path(folder))
    yield
    begun = time.perf_counter()
    loader = side.open(Path(folder), decode, workers)
    found = _window(iter(loader), begun, lambda batch: len(batch[0]), samples)
    yield
    yield found


def ours(manifest: str, decode: bool) -> Variant:
    """The default loader: one process, reading and decoding ahead in threads."""
    from runtime import decode as decoding
    from runtime.loader import ManifestLoader
    from runtime.readahead.reading import Reading
    from runtime.stream import ManifestDataset

    decoding.decoder()
    _warm(Path(manifest).parent / "tars")
    _warm(Path(manifest))
    yield

    def take(samples: list[Any]) -> int:
        for sample in samples:
            (media,) = sample.media
            _ = media.pixels() if decode else media.view()
        return len(samples)

    begun = time.perf_counter()
    loader = ManifestLoader(ManifestDataset(manifest), global_batch=32, reading=Reading(decode=decode))
    found = _window(iter(loader), begun, take, len(loader.stream.dataset))
    yield
    yield found


def _window(batches: Any, begun: float, take: Any, samples: int) -> dict[str, float]:
    """The first batch in ms, then the time of a sample over a window, and memory in MB while it runs."""
    taken = take(next(batches))
    first = time.perf_counter() - begun
    start, before, warmed = time.perf_counter(), taken, False
    while (now := time.perf_counter()) - start < _WINDOW and taken < 0.9 * samples:
        if not warmed and (now - start > 0.2 * _WINDOW or taken > 0.1 * samples):
            # What was read ahead while the loader was opened is not counted.
            start, before, warmed = now, taken, True
        batch = next(batches, None)
        if batch is None:
            break
        taken += take(batch)
        del batch
    done = taken - before
    spent = time.perf_counter() - start
    uss, pss = shares()
    del batches
    gc.collect()
    return {"first": first * 1e3, "microseconds": spent / max(done, 1) * 1e6, "uss": uss, "pss": pss}


def half_way(name: str, folder: str, half: int, kept: str) -> Variant:
    """Reads half of the samples, keeps the state in a file, and gives the keys that come next."""
    side = PEERS[name]
    _warm(Path(folder))
    yield
    loader = side.open(Path(folder), False, 2)
    batches, done, count = iter(loader), 0, 0
    while done < half:
        done += len(next(batches)[0])
        count += 1
    Path(kept).write_text(as_text(side.state(loader, count)))
    keys = keys_of(next(batches))
    yield
    yield {"keys": keys}


def resumed(name: str, folder: str, kept: str) -> Variant:
    """Goes on from a state that was kept, up to the next batch."""
    side = PEERS[name]
    __import__(side.package)
    import torch.utils.data  # noqa: F401

    _warm(Path(folder))
    yield
    keys = keys_of(next(iter(side.open(Path(folder), False, 2, from_text(Path(kept).read_text())))))
    yield
    yield {"keys": keys}


def ours_resumed(manifest: str) -> Variant:
    """A manifest opened and a state loaded, up to the next batch."""
    from runtime.loader import ManifestLoader
    from runtime.stream import ManifestDataset

    _warm(Path(manifest).parent / "tars")
    _warm(Path(manifest))
    yield
    dataset = ManifestDataset(manifest)
    loader: Any = ManifestLoader(dataset, global_batch=32)
    half = len(dataset) // 2
    loader.load_state_dict({"version": 1, "manifest": dataset.manifest_id, "consumed": half})
    samples = next(iter(loader))
    yield
    assert samples[0].position == half
    yield None


def _warm(folder: Path) -> None:
    warm(*(path for path in folder.rglob("*") if path.is_file()))
