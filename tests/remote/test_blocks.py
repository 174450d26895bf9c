"""The cache of blocks: what is got is what was put or nothing, within its bound, whoever shares it and whenever they die."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe_compiler.errors import StorageError
from runtime.storage.blocks import BLOCK, Blocks
from runtime.storage.files import Pinned, RemoteFiles, Span
from tests.remote.data import QUICK
from tests.remote.web import Web
from tests.support import REPOSITORY

#: Room for two sets of eight places.
SMALL = 16 * (BLOCK + 64)


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def data_of(number: int) -> bytes:
    return hashlib.sha256(f"data {number}".encode()).digest() * (BLOCK // 32)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=60))
def test_what_is_got_was_put_and_the_bound_holds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int]]
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    blocks = Blocks(folder, SMALL)
    put: set[int] = set()
    for is_put, number in steps:
        if is_put:
            blocks.put(key(number), data_of(number)[: 100 + number])
            put.add(number)
            assert blocks.get(key(number)) == data_of(number)[: 100 + number], "the block that was put last is there"
        else:
            found = blocks.get(key(number))
            assert found is None or (number in put and found == data_of(number)[: 100 + number])
    assert len(list(folder.rglob("*.?"))) <= 16
    assert not list(folder.rglob(".block-*"))


def test_the_bytes_on_disk_are_bounded(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, SMALL)
    for number in range(100):
        blocks.put(key(number), data_of(number))
        assert size_of(tmp_path) <= SMALL
    assert size_of(tmp_path) > SMALL // 2
    # Under another bound a place that it has not is removed, once nobody uses it.
    Blocks(tmp_path, SMALL // 2)
    assert size_of(tmp_path) > SMALL // 2
    for place in tmp_path.rglob("*.?"):
        os.utime(place, (1, 1))
    Blocks(tmp_path, SMALL // 2)
    assert 0 < size_of(tmp_path) <= SMALL // 2


def test_the_block_unused_for_longest_leaves(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, 8 * (BLOCK + 64))
    for number in range(8):
        blocks.put(key(number), b"%d" % number)
        time.sleep(0.005)
    assert blocks.get(key(0)) == b"0"
    time.sleep(0.005)
    blocks.put(key(8), b"8")
    assert blocks.get(key(1)) is None
    assert [blocks.get(key(number)) for number in (0, *range(2, 9))] == [b"%d" % n for n in (0, *range(2, 9))]


def test_any_flipped_or_missing_byte_is_noticed(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, SMALL)
    blocks.put(key(1), b"some bytes")
    place = next(tmp_path.rglob("*.?"))
    whole = place.read_bytes()
    for at in range(len(whole)):
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert blocks.get(key(1)) is None
        place.write_bytes(whole[:at])
        assert blocks.get(key(1)) is None
    place.write_bytes(whole + b"!")
    assert blocks.get(key(1)) is None
    blocks.put(key(1), b"some bytes")
    assert blocks.get(key(1)) == b"some bytes"
    assert len(list(tmp_path.rglob("*.?"))) == 1, "a damaged block is replaced where it stands"


def test_a_flipped_byte_in_a_kept_block_is_fetched_again(web: Web, tmp_path: Path) -> None:
    web.files["/a"] = data_of(1) + data_of(2)
    spans = [Span(Pinned(web.url("/a")), 10, BLOCK + 10)]
    expected = [web.files["/a"][10 : BLOCK + 10]]
    assert RemoteFiles(tmp_path, QUICK).read(spans) == expected
    for place in (tmp_path / "blocks").rglob("*.?"):
        damaged = bytearray(place.read_bytes())
        damaged[-1] ^= 1
        place.write_bytes(damaged)
    asked = len(web.gets())
    assert RemoteFiles(tmp_path, QUICK).read(spans) == expected
    assert len(web.gets()) > asked
    asked = len(web.gets())
    assert RemoteFiles(tmp_path, QUICK).read(spans) == expected
    assert len(web.gets()) == asked


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"the cache cannot be written .*name another"):
        Blocks(tmp_path / "file", SMALL)


WRITER = """
import hashlib, sys
from pathlib import Path
from runtime.storage.blocks import BLOCK, Blocks
folder, limit, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
blocks = Blocks(folder, limit)
print("begun", flush=True)
number = first
while True:
    number = (number * 5 + 3) % 64
    key = hashlib.sha256(str(number).encode()).hexdigest()
    data = hashlib.sha256(f"data {number}".encode()).digest() * (BLOCK // 32)
    found = blocks.get(key)
    if found not in (None, data):
        print("WRONG", number, flush=True)
        break
    blocks.put(key, data)
"""


def test_processes_with_different_limits_leave_each_other_in_peace(tmp_path: Path) -> None:
    limits = (SMALL // 2, SMALL)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(limit), "0"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            text=True,
        )
        for limit in limits
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "begun\n"
    for limit in limits * 5:
        mine = Blocks(tmp_path, limit)
        mine.put(key(1), data_of(1))
        assert size_of(tmp_path) <= SMALL + 3 * (BLOCK + 64), "beside the places, each writes one block"
    assert [one.poll() for one in running] == [None, None]
    for one in running:
        one.send_signal(signal.SIGKILL)
        rest, _ = one.communicate()
        assert rest == ""


def test_processes_that_share_it_and_are_killed_never_leave_a_wrong_block(tmp_path: Path) -> None:
    for moment in (0.05, 0.12, 0.2, 0.31):
        running = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(SMALL), str(first)],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                text=True,
            )
            for first in range(2)
        ]
        for one in running:
            assert one.stdout is not None
            assert one.stdout.readline() == "begun\n"
        time.sleep(moment)
        places = sum(path.stat().st_size for path in tmp_path.rglob("*.?"))
        assert places <= SMALL
        for one in running:
            one.send_signal(signal.SIGKILL)
            rest, _ = one.communicate()
            assert rest == ""
    blocks = Blocks(tmp_path, SMALL)
    held = 0
    for number in range(64):
        found = blocks.get(key(number))
        assert found in (None, data_of(number))
        held += found is not None
    assert held >= 8
    # What the killed ones were writing is cleared away once it is old, and is less than a block each until then.
    left = list(tmp_path.rglob(".block-*"))
    assert len(left) <= 8
    for path in left:
        os.utime(path, (1, 1))
    Blocks(tmp_path, SMALL)
    assert not list(tmp_path.rglob(".block-*"))
