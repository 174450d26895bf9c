"""Whole files in the cache: fetched once, known by their content, and right after a kill at any moment."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from recipe_compiler import kernels
from recipe_compiler.errors import DataError, StorageError
from recipe_compiler.remote.copies import _CHUNK, Copies
from recipe_compiler.remote.stat import Stat
from tests.remote.data import QUICK, RECIPE, compiled_from, files, jsonl
from tests.remote.web import Web, no_fault
from tests.support import REPOSITORY, questions

LONG = hashlib.sha256(b"long").digest() * ((2 * _CHUNK + 4096) // 32)


def fetch(cache: Path, url: str) -> bytes:
    copies = Copies(cache, QUICK)
    copy = copies.get(url, copies.stores.stat([url])[0])
    data = copy.path.read_bytes()
    assert (copy.size, copy.digest) == (len(data), kernels.digest_file(copy.path))
    return data


def test_a_file_is_fetched_once(web: Web, tmp_path: Path) -> None:
    web.files["/a"] = b"some bytes"
    web.files["/b"] = b""
    assert [fetch(tmp_path, web.url("/a")) for _ in range(3)] == [b"some bytes"] * 3
    assert fetch(tmp_path, web.url("/b")) == b""
    assert len(web.gets()) == 1
    web.files["/a"] = b"other ones"
    assert fetch(tmp_path, web.url("/a")) == b"other ones"
    assert len(web.gets()) == 2
    # Without a mark one cannot know, and it is fetched again.
    web.etags = False
    assert [fetch(tmp_path, web.url("/a")) for _ in range(2)] == [b"other ones"] * 2
    assert len(web.gets()) == 4


def test_a_fetch_that_broke_goes_on_where_it_was(web: Web, tmp_path: Path) -> None:
    web.files["/long"] = LONG
    web.fault = lambda _number, _method, _path: "500" if len(web.gets()) > 8 else None
    with pytest.raises(StorageError, match="HTTP 500"):
        fetch(tmp_path, web.url("/long"))
    assert (next((tmp_path / "remote/parts").iterdir()).stat().st_size) == 2 * _CHUNK
    web.fault = no_fault
    asked = len(web.gets())
    assert fetch(tmp_path, web.url("/long")) == LONG
    # The last chunk may not have reached the disk when the fetch broke; those before it had.
    starts = {int((part or "").partition("=")[2].partition("-")[0]) for _, part in web.gets()[asked:]}
    assert min(starts) == _CHUNK
    assert not list((tmp_path / "remote/parts").iterdir())


def test_a_file_that_is_replaced_meanwhile_is_not_mixed(web: Web, tmp_path: Path) -> None:
    web.files["/long"] = LONG

    def fault(_number: int, _method: str, _path: str) -> None:
        if len(web.gets()) == 5:
            web.files["/long"] = LONG[::-1]

    web.fault = fault
    with pytest.raises(DataError, match="replaced while it was read"):
        fetch(tmp_path, web.url("/long"))
    assert fetch(tmp_path, web.url("/long")) == LONG[::-1]


def test_two_that_want_the_same_file_fetch_it_once(web: Web, tmp_path: Path) -> None:
    web.files["/a"] = b"x" * 1000
    web.slow_seconds = 0.3
    web.fault = lambda _number, method, _path: "slow" if method == "GET" else None
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(tmp_path, web.url("/a")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"x" * 1000] * 4
    assert len(web.gets()) == 1


def test_a_file_that_does_not_fit_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    copies = Copies(tmp_path, QUICK)
    with pytest.raises(DataError, match="do not fit"):
        copies.get("http://127.0.0.1:9/a", Stat(size=1 << 60, mark="x"))


FETCHER = """
import sys
from pathlib import Path
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.copies import Copies
copies = Copies(Path(sys.argv[1]), Access())
print("begun", flush=True)
copies.get(sys.argv[2], copies.stores.stat([sys.argv[2]])[0])
"""


def test_a_kill_at_any_moment_leaves_a_cache_that_is_right(web: Web, tmp_path: Path) -> None:
    web.files["/long"] = LONG
    killed = 0
    for moment in (0.0, 0.06, 0.13, 0.25, 0.4):
        running = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(FETCHER), str(tmp_path), web.url("/long")],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(moment)
        killed += running.poll() is None
        running.send_signal(signal.SIGKILL)
        running.communicate()
        for path in (tmp_path / "remote/files").glob("*"):
            assert kernels.digest_file(path) == path.name
        if (tmp_path / "remote/files").exists() and list((tmp_path / "remote/files").iterdir()):
            for folder in ("files", "known"):
                for path in (tmp_path / "remote" / folder).iterdir():
                    path.unlink()
    assert killed
    assert fetch(tmp_path, web.url("/long")) == LONG


def test_compiling_twice_reads_nothing_twice_and_a_damaged_copy_is_fetched_again(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    first = compiled_from(tmp_path, web.url("/pool"))
    asked = len(web.gets())
    assert compiled_from(tmp_path, web.url("/pool")).manifest == first.manifest
    assert len(web.gets()) == asked
    digest = next(source.digest for source in first.manifest.sources if source.path.endswith("a.jsonl"))
    copy = tmp_path / ".recipe/remote/files" / digest
    data = copy.read_bytes()
    copy.write_bytes(b"?" + data[1:])
    assert compiled_from(tmp_path, web.url("/pool")).manifest == first.manifest
    assert copy.read_bytes() == data
    assert len(web.gets()) == asked + 1


def test_the_manifest_is_the_same_wherever_it_was_fetched(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    first = compiled_from(tmp_path / "one", web.url("/pool"))
    web.etags = False
    second = compiled_from(tmp_path / "two", web.url("/pool"))
    assert first.manifest == second.manifest
    text = (tmp_path / "one/out/manifest.json").read_text()
    assert web.url("/pool/a.jsonl") in text and str(tmp_path) not in text and "ETag" not in text


def test_scores_may_be_remote(web: Web, tmp_path: Path) -> None:
    web.files["/a.jsonl"] = jsonl(questions("a", 10))
    web.files["/scores.csv"] = b"key,level\n" + b"".join(b"a-%d,%d\n" % (n, n) for n in range(10))
    recipe = RECIPE.partition("pools:")[0] + (
        "pools: {a: {source: HOME/a.jsonl, format: qa}}\n"
        "annotations: [{source: HOME/scores.csv, match: key, column: key}]\n"
        "filter: [level >= 4]\n"
    )
    built = compiled_from(tmp_path, web.url(""), recipe)
    assert built.manifest.draws == 6
    assert built.manifest.annotations[0].path == web.url("/scores.csv")
