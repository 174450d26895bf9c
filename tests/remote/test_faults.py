"""Servers that misbehave: reading ends with the right bytes, or stops and says of what, and can go on from there."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from recipe_compiler.errors import AccessDenied, DataError, FileMissing, RecipeError, StorageError
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.stores import Stores
from runtime.storage.blocks import BLOCK
from runtime.storage.files import Pinned, RemoteFiles, Span
from runtime.stream import ManifestDataset, ManifestStream
from tests.remote.conftest import Bucket
from tests.remote.data import QUICK, compiled_from, content, every, files
from tests.remote.web import Web, no_fault

Place = Callable[[str], str]
#: Gives up soon, but not because this machine is busy.
FIRM = Access(tries=3, seconds=20.0, wait=0.01)
#: What passes, with any answer it may strike.
PASSING = ("500", "503", "429", "reset", "short", "trimmed", "elsewhere", "slow")


def noise(size: int) -> bytes:
    return b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(-(-size // 32)))[:size]


def read(cache: Path, url: str, spans: Sequence[tuple[int, int]], access: Access = QUICK) -> list[bytes]:
    return RemoteFiles(cache, access).read([Span(Pinned(url), start, stop) for start, stop in spans])


@pytest.fixture
def big(web: Web) -> bytes:
    data = noise(5 * BLOCK + 1234)
    web.files["/b/big"] = data
    return data


SPANS = [(0, 10), (BLOCK - 5, BLOCK + 5), (4 * BLOCK, 5 * BLOCK + 1234), (5 * BLOCK + 1200, 5 * BLOCK + 1234), (7, 7)]


def test_spans_are_exact_and_neighbours_are_asked_for_together(
    web: Web, place: Place, big: bytes, tmp_path: Path
) -> None:
    assert read(tmp_path, place("/b/big"), SPANS) == [big[start:stop] for start, stop in SPANS]
    assert sorted(part or "" for _, part in web.gets()) == [
        f"bytes=0-{2 * BLOCK - 1}",
        f"bytes={4 * BLOCK}-{len(big) - 1}",
    ]
    before = len(web.gets())
    assert read(tmp_path, place("/b/big"), SPANS) == [big[start:stop] for start, stop in SPANS]
    assert len(web.gets()) == before, "what is on this disk is not asked for"


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again(web: Web, place: Place, big: bytes, tmp_path: Path, fault: str) -> None:
    web.fault = every(2, fault)
    web.slow_seconds = 2.0
    access = Access(tries=6, seconds=1.0 if fault == "slow" else 20.0, wait=0.01)
    assert read(tmp_path, place("/b/big"), SPANS, access) == [big[start:stop] for start, stop in SPANS]


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ("500", StorageError, "HTTP 500, after 3 tries"),
        ("reset", StorageError, "after 3 tries"),
        ("slow", StorageError, "no answer within 1 s, after 3 tries"),
        ("short", StorageError, "after 3 tries"),
        ("trimmed", StorageError, "bytes where 524,288 were asked for, after 3 tries"),
        ("whole", StorageError, "the whole file where a part of it was asked for"),
        ("403", AccessDenied, "denies access"),
        ("401", AccessDenied, "denies access"),
        ("400", StorageError, "refuses to answer (HTTP 400)"),
        ("404", FileMissing, "is not there"),
    ],
)
def test_what_does_not_pass_is_told_with_the_url_and_the_tries(
    web: Web, place: Place, big: bytes, tmp_path: Path, fault: str, error: type[RecipeError], reason: str
) -> None:
    web.slow_seconds = 2.0
    remote = RemoteFiles(tmp_path, Access(tries=3, seconds=1.0, wait=0.01) if fault == "slow" else FIRM)
    pinned = Pinned(place("/b/big"))
    assert remote.read([Span(pinned, len(big) - 1, len(big))]) == [big[-1:]]
    web.fault = lambda _number, method, _path: fault if method == "GET" else None
    asked = len(web.gets())
    with pytest.raises(error) as raised:
        remote.read([Span(pinned, 0, BLOCK + 1)])
    assert reason in str(raised.value)
    assert str(raised.value).startswith(place("/b/big"))
    # A connection that breaks is opened once more by the client's library, which is no try of ours.
    times = 2 if fault == "reset" else 1
    assert len(web.gets()) - asked == (3 if "tries" in reason else 1) * times, "only what may pass is tried again"
    # Nothing wrong was kept.
    web.fault = no_fault
    assert remote.read([Span(pinned, 0, BLOCK + 1)]) == [big[: BLOCK + 1]]


def test_a_server_without_ranges_is_noticed_and_never_read_to_its_end(web: Web, place: Place, tmp_path: Path) -> None:
    web.files["/b/huge"] = bytes(64 << 20)
    web.fault = lambda _number, _method, _path: "whole"
    with pytest.raises(StorageError, match="knows ranges"):
        read(tmp_path, place("/b/huge"), [(1 << 20, (1 << 20) + 10)])
    # A whole file that was asked for as a whole is what was asked for.
    web.files["/b/small"] = b"0123456789"
    assert read(tmp_path, place("/b/small"), [(2, 5)]) == [b"234"]


def test_a_replaced_object_is_refused_and_its_blocks_are_never_mixed(
    web: Web, place: Place, big: bytes, tmp_path: Path
) -> None:
    remote = RemoteFiles(tmp_path, QUICK)
    pinned = Pinned(place("/b/big"), len(big))
    assert remote.read([Span(pinned, 0, 10)]) == [big[:10]]
    other = bytes(reversed(big))
    web.files["/b/big"] = other
    with pytest.raises(DataError, match=r"/b/big: was replaced while it was read"):
        remote.read([Span(pinned, 3 * BLOCK, 3 * BLOCK + 10)])
    # Another process sees the new object alone, although blocks of the old one are kept.
    assert read(tmp_path, place("/b/big"), [(0, 10), (3 * BLOCK, 3 * BLOCK + 10)]) == [
        other[:10],
        other[3 * BLOCK : 3 * BLOCK + 10],
    ]
    web.files["/b/big"] = big[:-1]
    with pytest.raises(DataError, match=f"{len(big) - 1:,} bytes where {len(big):,} were compiled"):
        RemoteFiles(tmp_path, QUICK).read([Span(pinned, 0, 10)])


def test_without_a_mark_nothing_is_kept(web: Web, big: bytes, tmp_path: Path) -> None:
    web.etags = False
    remote = RemoteFiles(tmp_path, QUICK)
    assert remote.read([Span(Pinned(web.url("/b/big")), 0, 10)]) == [big[:10]]
    web.files["/b/big"] = bytes(reversed(big))
    assert remote.read([Span(Pinned(web.url("/b/big")), 0, 10)]) == [big[::-1][:10]]


def test_threads_that_want_the_same_block_ask_once(web: Web, big: bytes, tmp_path: Path) -> None:
    web.slow_seconds = 0.3
    web.fault = lambda _number, method, _path: "slow" if method == "GET" else None
    remote = RemoteFiles(tmp_path, QUICK)
    remote.read([Span(Pinned(web.url("/b/big")), 0, 0)])
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.extend(remote.read([Span(Pinned(web.url("/b/big")), 5, 15)])))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [big[5:15]] * 6
    assert len(web.gets()) == 1


def test_connections_are_bounded(web: Web, tmp_path: Path) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def fault(_number: int, method: str, _path: str) -> None:
        nonlocal busy, most
        if method == "GET":
            with lock:
                busy += 1
                most = max(most, busy)
            threading.Event().wait(0.02)
            with lock:
                busy -= 1

    web.fault = fault
    web.files = {f"/{number}": bytes(10) for number in range(30)}
    access = Access(tries=2, connections=4)
    assert RemoteFiles(tmp_path, access).read_whole([web.url(f"/{number}") for number in range(30)]) == [bytes(10)] * 30
    assert 1 < most <= 4


def chance(seed: str, rate: int) -> Any:
    """One request in `rate` goes wrong, in one of the ways that pass."""

    def fault(number: int, method: str, path: str) -> str | None:
        drawn = hashlib.sha256(f"{seed} {number} {method} {path}".encode()).digest()
        kinds = [kind for kind in PASSING if kind != "slow"]
        return kinds[drawn[1] % len(kinds)] if drawn[0] % rate == 0 else None

    return fault


@pytest.mark.parametrize("seed", ["one", "two", "three"])
def test_an_epoch_through_faults_is_the_same(web: Web, tmp_path: Path, seed: str) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    # Compiling tries each request four times: what passes one time in three passes.
    web.fault = chance(seed, 8)
    compiled_from(tmp_path, web.url("/pool"))
    expected = content([*itertools.chain(*ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=8))])
    web.fault = chance(seed, 3)
    access = Access(tries=12, wait=0.002)
    dataset = ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=access)
    assert content([*itertools.chain(*ManifestStream(dataset, global_batch=8))]) == expected


def test_a_server_that_dies_stops_the_stream_with_a_cursor_that_goes_on(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    compiled_from(tmp_path, web.url("/pool"))
    dataset = ManifestDataset(tmp_path / "out", access=QUICK)
    whole = content([*itertools.chain(*ManifestStream(dataset, global_batch=8))])

    cache = tmp_path / "node"
    stream = ManifestStream(ManifestDataset(tmp_path / "out", cache=cache, access=FIRM), global_batch=8)
    web.fault = lambda number, _method, path: "reset" if path.startswith("/pool/images/2") else None
    seen = []
    with pytest.raises(StorageError, match=r"/pool/images/2/.*png: the store cannot be reached .*after 3 tries"):
        for samples in stream:
            seen += content(samples)
    state = stream.state_dict()
    assert 0 < state["consumed"] < len(whole)
    assert seen == whole[: state["consumed"]]

    # Killed altogether; whoever goes on then is told, and nothing moves.
    web.stop()
    with pytest.raises(StorageError, match="cannot be reached"):
        list(stream)
    assert stream.state_dict() == state

    web.restart()
    for again in (stream, ManifestStream(ManifestDataset(tmp_path / "out", cache=tmp_path / "other"), global_batch=8)):
        again.load_state_dict(state)
        assert seen + content([*itertools.chain(*again)]) == whole


def test_a_server_that_comes_back_in_time_is_waited_for(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    compiled_from(tmp_path, web.url("/pool"))
    whole = content([*itertools.chain(*ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=8))])
    patient = Access(tries=12, wait=0.05)
    stream = ManifestStream(ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=patient), global_batch=8)
    steps = iter(stream)
    seen = content(next(steps))
    web.stop()
    back = threading.Timer(0.5, web.restart)
    back.start()
    for samples in steps:
        seen += content(samples)
    back.join()
    assert seen == whole


def test_an_error_comes_with_its_batch_and_not_before(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    compiled_from(tmp_path, web.url("/pool"))
    dataset = ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=FIRM)
    last = max(position for position in range(len(dataset)) if dataset[position].media)
    gone = dataset[last].media[0].url
    assert gone is not None
    first = next(at for at in range(len(dataset)) if any(media.url == gone for media in dataset[at].media))
    del web.files[gone.removeprefix(web.url(""))]
    stream = ManifestStream(ManifestDataset(tmp_path / "out", cache=tmp_path / "fresh", access=FIRM), global_batch=1)
    with pytest.raises(DataError, match=f"position {first:,}: is not there") as raised:
        list(stream)
    assert raised.value.path == gone
    assert stream.state_dict()["consumed"] == first


def test_a_record_that_was_replaced_by_one_as_long_is_refused(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    compiled_from(tmp_path, web.url("/pool"))
    web.files["/pool/a.jsonl"] = web.files["/pool/a.jsonl"].replace(b"It is 7.", b"It is 8.")
    stream = ManifestStream(ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=QUICK), global_batch=4)
    with pytest.raises(DataError, match=r"/pool/a.jsonl: position \d+, byte [\d,]+: the record is not the one"):
        list(stream)
    # On the machine that compiled, the copy is what was compiled.
    assert list(ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=4))


def test_no_secret_of_a_configuration_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    options = {"endpoint_url": "http://me:hunter2@127.0.0.1:9", "key": "AKIAHUNTER2", "secret": "hunter2"}
    monkeypatch.setitem(conf, "s3", options)
    with pytest.raises(StorageError) as raised:
        Stores(Access(tries=1)).stat(["s3://lab/a.jsonl"])
    assert "unter2" not in str(raised.value).lower() and "s3://lab/a.jsonl" in str(raised.value)


def test_an_object_that_is_replaced_in_a_bucket_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put("a", noise(3 * BLOCK))
    remote = RemoteFiles(tmp_path, QUICK)
    assert remote.read([Span(Pinned(url), 5, 10)]) == [noise(10)[5:]]
    bucket.put("a", noise(3 * BLOCK)[::-1])
    with pytest.raises(DataError, match="was replaced while it was read"):
        remote.read([Span(Pinned(url), 2 * BLOCK, 2 * BLOCK + 5)])
    bucket.fs.rm_file(url)
    with pytest.raises(FileMissing, match="is not there"):
        RemoteFiles(tmp_path, QUICK).read([Span(Pinned(url), 0, 5)])
