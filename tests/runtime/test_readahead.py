"""Reading ahead gives what reading one by one gives, tells what it cannot read, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler.errors import DataError
from recipe_compiler.kernels import KernelError
from recipe_compiler.threads import filled
from runtime.errors import StreamError
from runtime.loader import ManifestLoader
from runtime.partition import World
from runtime.readahead.fetch import Failed
from runtime.readahead.local import LocalFetch
from runtime.readahead.reading import Reading
from runtime.reader import Reader, Rows
from runtime.sample import Media, Sample
from runtime.stream import ManifestDataset, ManifestStream
from tests.reading.helpers import CONTAINERS, WRAPPINGS, Container
from tests.runtime.helpers import SINGLE, compiled, expected_ids
from tests.runtime.test_images import (
    PICTURES,
    llava,
    picture,
    write_by_path,
    write_data_uri,
    write_parquet,
    write_parquet_of_bare_bytes,
    write_tar,
)
from tests.support import REPOSITORY, compile_text, questions


def plain(sample: Sample | Failed) -> dict[str, Any]:
    """All that a sample says, with the bytes of its media."""
    assert isinstance(sample, Sample)
    values = {field.name: getattr(sample, field.name) for field in dataclasses.fields(Sample)}
    values["media"] = [(media.kind, media.path, media.read()) for media in sample.media]
    return values


def ahead(folder: Path, size: int, **how: Any) -> list[dict[str, Any]]:
    stream = ManifestStream(ManifestDataset(folder), global_batch=size, reading=Reading(**how))
    return [plain(sample) for batch in stream for sample in batch]


def one_by_one(folder: Path) -> list[dict[str, Any]]:
    reader = Reader(folder)
    return [plain(reader.sample(position)) for position in range(len(reader))]


def reading_threads() -> list[str]:
    """The names of threads of this process that read (of the Rust core) or decode (of Python)."""
    names = [Path(f"/proc/self/task/{task}/comm").read_text() for task in os.listdir("/proc/self/task")]
    found = [*names, *(thread.name for thread in threading.enumerate())]
    return [name for name in found if name.startswith("recipe-")]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.name)
def test_every_container_reads_as_one_by_one(tmp_path: Path, container: Container, wrapping: str) -> None:
    if container.name == "parquet" and wrapping:
        pytest.skip("a Parquet file is compressed inside")
    path = tmp_path / f"data/a{container.ending}{wrapping}"
    path.parent.mkdir()
    path.write_bytes(WRAPPINGS[wrapping](container.write(questions("a", 41))))
    compile_text(tmp_path, f"recipe: 1\nname: x\npools: {{a: {{source: data/{path.name}}}}}\nshard: {{rows: 16}}\n")
    expected = one_by_one(tmp_path / "out")
    assert len(expected) == 41
    for size, how in ((1, {}), (7, {"check": False}), (64, {"threads": 1}), (5, {"memory": 0, "threads": 3})):
        assert ahead(tmp_path / "out", size, **how) == expected


@pytest.mark.parametrize(
    "write", [write_by_path, write_data_uri, write_parquet, write_parquet_of_bare_bytes, write_tar]
)
def test_media_read_as_one_by_one_wherever_they_lie(tmp_path: Path, write: Any) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write(tmp_path)}\n")
    expected = one_by_one(tmp_path / "out")
    assert sorted(media[2] for sample in expected for media in sample["media"]) == sorted(PICTURES.values())
    for how in ({}, {"check": False}, {"memory": 0}, {"decode": True}):
        assert ahead(tmp_path / "out", 2, **how) == expected


def test_two_stages_of_plain_and_compressed_pools_read_as_one_by_one(manifest: Path) -> None:
    assert ahead(manifest, 6) == one_by_one(manifest)


@settings(deadline=None, database=None, max_examples=40)
@given(data=st.data())
def test_any_positions_in_any_batches_are_those_samples(session_manifest: Path, data: st.DataObject) -> None:
    reader = Reader(session_manifest)
    position = st.integers(0, len(reader) - 1)
    ranges = st.tuples(position, position).map(lambda ends: range(min(ends), max(ends)))
    batches: list[Sequence[int]] = data.draw(st.lists(st.lists(position, max_size=40) | ranges, max_size=8))
    fetch = LocalFetch(
        reader,
        threads=data.draw(st.integers(1, 4)),
        memory=data.draw(st.sampled_from([0, 100, 1 << 20])),
        check=data.draw(st.booleans()),
    )
    found = [[plain(sample) for sample in batch] for batch in fetch.read(batches)]
    assert found == [[plain(reader.sample(number)) for number in batch] for batch in batches]


def test_a_large_batch_behind_small_ones_asks_for_fewer_ahead(session_manifest: Path) -> None:
    reader = Reader(session_manifest)
    large = [number % len(reader) for number in range(200)]
    batches: list[Sequence[int]] = [[0], [1], [0], large, [1], [0], [1], [0], [1], [0]]
    fetch = LocalFetch(reader, threads=2, memory=1 << 20, check=True)
    found = [[plain(sample) for sample in batch] for batch in fetch.read(batches)]
    assert found == [[plain(reader.sample(number)) for number in batch] for batch in batches]


@pytest.fixture(scope="session")
def session_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("ahead"), SINGLE)


def test_of_a_shard_nothing_is_kept_but_its_columns(single: Path) -> None:
    reader, before = Reader(single), pa.total_allocated_bytes()
    columns = reader.rows(range(len(reader)))
    assert pa.total_allocated_bytes() == before
    assert columns["tokens"].tolist() == [reader.row(position)["tokens"] for position in range(len(reader))]


def test_what_was_read_ahead_is_a_sample_like_any_other(single: Path) -> None:
    stream = ManifestStream(ManifestDataset(single), global_batch=4)
    found = next(iter(stream))[1]
    reader = Reader(single)
    assert found == reader.sample(1)
    assert reader.sample(1) == found
    assert found != reader.sample(2)
    copied = pickle.loads(pickle.dumps(found))
    assert type(copied) is Sample
    assert copied == found
    assert "What is" in repr(found)
    with pytest.raises(AttributeError, match="colour"):
        _ = found.colour  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.tokens = 3  # type: ignore[misc]


def test_media_made_at_once_are_media_like_any_other() -> None:
    columns: dict[str, list[Any]] = {
        "kind": ["image", "video"],
        "path": [Path("a"), None],
        "data": [None, memoryview(b"b")],
    }
    nothing = {name: [None, None] for name in ("url", "files", "decoded", "sha256")}
    first, second = filled(Media, **columns, **nothing)
    assert first == Media(kind="image", path=Path("a"), data=None)
    assert second == Media(kind="video", path=None, data=b"b")
    assert pickle.loads(pickle.dumps(second)) == second
    with pytest.raises(dataclasses.FrozenInstanceError):
        second.kind = "image"  # type: ignore[misc]
    for wrong in ({**columns, "kind": ["image"]}, {"pixels": [None]}):
        with pytest.raises((KernelError, AttributeError)):
            filled(Media, **wrong)


class Watched(Reader):
    """Tells when rows are asked for."""

    told: list[str]

    def rows(self, positions: Sequence[int]) -> Rows:
        self.told.append("asked")
        return super().rows(positions)


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("loader", [ManifestLoader, ManifestStream])
def test_a_batch_that_nobody_has_is_gone_before_the_next_is_waited_for(
    tmp_path: Path, loader: type[Any], decode: bool
) -> None:
    text = f"recipe: 1\nname: x\npools:\n  a: {write_tar(tmp_path)}\nstages: [{{name: s, epochs: 400}}]\n"
    compile_text(tmp_path, text)
    dataset = ManifestDataset(tmp_path / "out")
    reader = dataset.reader = Watched(tmp_path / "out")
    reader.told = told = []
    batches = iter(loader(dataset, global_batch=8, reading=Reading(decode=decode, threads=2)))
    next(batches)
    asked = 0
    for _ in range(60):
        batch = next(batches)
        (media,) = batch[0].media
        weakref.finalize(media.pixels() if decode else media.view(), told.append, "gone")
        del batch, media
        told.clear()
        next(batches)
        asked += "asked" in told
        assert told[0] == "gone"
    assert asked


def test_bytes_outlive_the_stream_and_cannot_be_written(tmp_path: Path) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_tar(tmp_path)}\n")
    stream = ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=1)
    views = [sample.media[0].view() for batch in stream for sample in batch]
    del stream
    gc.collect()
    assert sorted(map(bytes, views)) == sorted(PICTURES.values())
    assert all(isinstance(view, memoryview) and view.readonly for view in views)


# What cannot be read


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, int]:
    """A manifest in whose pool one record was changed, and the position that draws it."""
    folder = compiled(tmp_path, SINGLE)
    path = tmp_path / "data/a.jsonl"
    position = [sample["key"] for sample in one_by_one(folder)].index("a-20")
    path.write_bytes(path.read_bytes().replace(b"What is a 20?", b"What is a 99?"))
    return folder, position


def test_a_changed_record_raises_with_file_and_position_and_a_state_to_go_on_from(damaged: tuple[Path, int]) -> None:
    folder, position = damaged
    stream = ManifestStream(ManifestDataset(folder), global_batch=5)
    seen: list[int] = []
    with pytest.raises(DataError, match=rf"position {position}, byte [\d,]+: the record is not the one") as caught:
        for batch in stream:
            seen += [sample.position for sample in batch]
    assert caught.value.path == "data/a.jsonl"
    with pytest.raises(DataError) as slow:
        Reader(folder).sample(position)
    assert str(slow.value) == str(caught.value)
    assert seen == list(range(position // 5 * 5))
    assert stream.state_dict()["consumed"] == len(seen)
    path = folder.parent / "data/a.jsonl"
    path.write_bytes(path.read_bytes().replace(b"What is a 99?", b"What is a 20?"))
    again = ManifestStream(ManifestDataset(folder), global_batch=5)
    again.load_state_dict(stream.state_dict())
    rest = [sample.sample_id for batch in again for sample in batch]
    assert rest == expected_ids(folder)[len(seen) :]


def test_a_changed_record_becomes_a_counted_tombstone_and_no_other_sample(damaged: tuple[Path, int]) -> None:
    folder, position = damaged
    stream = ManifestStream(ManifestDataset(folder), global_batch=5, reading=Reading(on_error="tombstone"))
    samples = [sample for batch in stream for sample in batch]
    assert [sample.sample_id for sample in samples] == expected_ids(folder)
    grave = samples[position]
    assert (grave.messages, grave.media, grave.position) == ([], [], position)
    assert "data/a.jsonl" in str(grave.tombstone)
    assert stream.tombstones == [(position, grave.tombstone)]
    assert [sample.position for sample in samples if sample.tombstone is not None] == [position]


def test_without_the_proof_a_changed_record_that_can_be_read_is_read(damaged: tuple[Path, int]) -> None:
    folder, position = damaged
    assert "a 99?" in str(ahead(folder, 5, check=False)[position]["messages"])


def test_tombstones_count_only_what_was_handed_over(damaged: tuple[Path, int]) -> None:
    folder, position = damaged
    stream = ManifestStream(ManifestDataset(folder), global_batch=1, reading=Reading(on_error="tombstone"))
    steps = iter(stream)
    for _ in range(position):
        next(steps)
    assert stream.tombstones == []
    next(steps)
    assert [at for at, _ in stream.tombstones] == [position]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_counts_tombstones_with_any_number_of_workers(damaged: tuple[Path, int], num_workers: int) -> None:
    folder, position = damaged
    loader = ManifestLoader(
        ManifestDataset(folder),
        global_batch=5,
        world=World(),
        num_workers=num_workers,
        reading=Reading(on_error="tombstone"),
    )
    samples = [sample for batch in loader for sample in batch]
    assert [sample.sample_id for sample in samples] == expected_ids(folder)
    assert [at for at, _ in loader.tombstones] == [position]


def test_a_collate_function_that_fails_leaves_the_state_before_its_batch(single: Path) -> None:
    def fragile(samples: list[Sample]) -> list[Sample]:
        if samples[0].position >= 10:
            raise RuntimeError("no")
        return samples

    loader = ManifestLoader(ManifestDataset(single), global_batch=5, world=World(), collate=fragile)
    with pytest.raises(RuntimeError, match="no"):
        list(loader)
    assert loader.state_dict()["consumed"] == 10


def test_options_of_workers_want_workers(single: Path) -> None:
    with pytest.raises(StreamError, match="prefetch_factor"):
        ManifestLoader(ManifestDataset(single), global_batch=5, world=World(), prefetch_factor=4)


@pytest.mark.parametrize("how", [{"on_error": "skip"}, {"threads": -1}, {"memory": -1}])
def test_settings_that_make_no_sense_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(StreamError):
        Reading(**how)


def test_a_missing_picture_is_told_when_its_batch_comes(tmp_path: Path) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    (tmp_path / "pictures/one.png").unlink()
    (position,) = [
        sample.position for sample in map(Reader(tmp_path / "out").sample, range(3)) if "one" in str(sample.messages)
    ]
    with pytest.raises(DataError, match=rf"pictures/one\.png: position {position}: No such file or directory"):
        ahead(tmp_path / "out", 1)
    stream = ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=1, reading=Reading(on_error="tombstone"))
    assert [sample.tombstone is not None for batch in stream for sample in batch].index(True) == position
    assert len(stream.tombstones) == 1


@pytest.mark.parametrize("reference", ["../secret.png", "/etc/passwd", "https://example.org/a.png", "a\0b.png"])
def test_a_reference_that_leads_out_is_refused_as_one_by_one(tmp_path: Path, reference: str) -> None:
    (tmp_path / "secret.png").write_bytes(picture("PNG"))
    (tmp_path / "pool.json").write_text(json.dumps([llava("x", reference)]))
    compile_text(tmp_path, "recipe: 1\nname: x\npools:\n  a: {source: pool.json, missing_media: keep}\n")
    with pytest.raises(DataError) as slow:
        Reader(tmp_path / "out").sample(0)
    with pytest.raises(DataError) as found:
        ahead(tmp_path / "out", 1)
    assert str(found.value) == str(slow.value)


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_that_leads_out_of_the_root_is_refused_as_one_by_one(tmp_path: Path, link: str) -> None:
    root = tmp_path / "root"
    (root / "pictures").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.png").write_bytes(picture("PNG"))
    if link == "file":
        (root / "pictures/a.png").symlink_to(tmp_path / "outside/a.png")
    else:
        (root / "pictures/out").symlink_to(tmp_path / "outside")
    name = "a.png" if link == "file" else "out/a.png"
    (root / "pool.json").write_text(json.dumps([llava("x", name)]))
    compile_text(root, "recipe: 1\nname: x\npools:\n  a: {source: pool.json, media: pictures, missing_media: keep}\n")
    with pytest.raises(DataError, match="leads out of the root") as slow:
        Reader(root / "out").sample(0)
    with pytest.raises(DataError) as found:
        ahead(root / "out", 1)
    assert str(found.value) == str(slow.value)


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(2000)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"{}\n")


@pytest.mark.parametrize("on_error", ["raise", "tombstone"])
@pytest.mark.parametrize("change", [cut, grow, Path.unlink])
def test_a_changed_file_is_refused_and_named_whatever_is_asked(
    tmp_path: Path, change: Callable[[Path], None], on_error: Any
) -> None:
    folder = compiled(tmp_path, SINGLE)
    change(tmp_path / "data/a.jsonl")
    dataset = ManifestDataset(folder, root=tmp_path)
    with pytest.raises(DataError, match=r"data/a\.jsonl"):
        list(ManifestStream(dataset, global_batch=5, reading=Reading(on_error=on_error)))


def test_a_file_that_is_cut_while_it_is_read_is_told(tmp_path: Path) -> None:
    folder = compiled(tmp_path, SINGLE)
    steps = iter(ManifestStream(ManifestDataset(folder), global_batch=1))
    next(steps)
    cut(tmp_path / "data/a.jsonl")
    with pytest.raises(DataError, match=r"data/a\.jsonl: position \d+, byte [\d,]+: ends before .* cut short"):
        list(steps)


def test_batches_before_a_damaged_shard_are_handed_over(tmp_path: Path) -> None:
    folder = compiled(tmp_path, SINGLE)
    dataset = ManifestDataset(folder)
    shard = dataset.reader.manifest.shards[3]
    (folder / shard.file).write_bytes(b"nothing")
    stream = ManifestStream(dataset, global_batch=1)
    with pytest.raises(Exception, match=Path(shard.file).name):
        for _ in stream:
            pass
    assert stream.state_dict()["consumed"] == shard.start


# What is left behind


@pytest.mark.parametrize("decode", [False, True])
def test_an_iterator_that_is_dropped_leaves_no_thread(tmp_path: Path, decode: bool) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_tar(tmp_path)}\n")
    before = reading_threads()
    steps = iter(ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=1, reading=Reading(decode=decode)))
    next(steps)
    assert len(reading_threads()) > len(before)
    del steps
    gc.collect()
    assert reading_threads() == before


def test_an_epoch_leaves_no_thread(single: Path) -> None:
    before = reading_threads()
    assert len(ahead(single, 4)) == 37
    assert reading_threads() == before


def in_a_fork(work: Callable[[], None]) -> int:
    """The exit status of a child that does some work; 1 where it raised."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("decode", [False, True])
def test_a_fork_in_mid_epoch_harms_neither_side(tmp_path: Path, decode: bool) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_tar(tmp_path)}\n")
    dataset = ManifestDataset(tmp_path / "out")
    expected = one_by_one(tmp_path / "out")
    steps = iter(ManifestStream(dataset, global_batch=1, reading=Reading(decode=decode)))
    first = next(steps)

    def begin_anew() -> None:
        stream = ManifestStream(dataset, global_batch=1, reading=Reading(decode=decode))
        assert [plain(sample) for batch in stream for sample in batch] == expected

    def go_on() -> None:
        with pytest.raises(StreamError, match="another process"):
            next(steps)
        assert plain(first[0]) == expected[0]

    def drop() -> None:
        nonlocal steps, first
        del steps, first
        gc.collect()

    assert in_a_fork(begin_anew) == 0
    assert in_a_fork(go_on) == 0
    assert in_a_fork(drop) == 0
    assert [plain(sample) for batch in [first, *steps] for sample in batch] == expected


INTERRUPTED = """
import sys
from runtime.stream import ManifestDataset, ManifestStream
from runtime.readahead.reading import Reading
dataset = ManifestDataset(sys.argv[1])
print("ready", flush=True)
while True:
    for batch in ManifestStream(dataset, global_batch=4, reading=Reading(decode=True)):
        pass
"""


def test_control_c_ends_it_at_once(single: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(single)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said


SLOW = """
import re, sys, time
from pathlib import Path
from runtime.stream import ManifestDataset, ManifestStream
from runtime.readahead.reading import Reading
def held():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
stream = ManifestStream(ManifestDataset(sys.argv[1]), global_batch=2, reading=Reading(memory=int(sys.argv[2]), threads=4))
before, most = held(), 0
for step, batch in enumerate(stream):
    time.sleep(0.05)
    most = max(most, held())
    if step == 20:
        break
print(most - before)
"""


def test_memory_is_bounded_however_slow_the_taker(tmp_path: Path) -> None:
    """100 pictures of 2 MB are there to be read ahead; 8 MB may wait."""
    (tmp_path / "pictures").mkdir()
    for number in range(100):
        (tmp_path / f"pictures/{number}.png").write_bytes(os.urandom(2 << 20))
    (tmp_path / "pool.json").write_text(json.dumps([llava(f"{number}", f"{number}.png") for number in range(100)]))
    compile_text(tmp_path, "recipe: 1\nname: x\npools:\n  a: {source: pool.json, media: pictures}\n")

    def taken(memory: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", SLOW, str(tmp_path / "out"), str(memory)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        )
        return float(done.stdout)

    # Beside what may wait: the batch at hand, the next one, and memory that is kept to be used again.
    assert taken(8 << 20) < 40
    assert taken(1 << 30) > 120
