"""What every store says, by the driver that knows its kind and by the one that knows fsspec alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.asyn import get_loop, sync
from hypothesis import given
from hypothesis import strategies as st

from recipe_compiler.errors import DataError, FileMissing, PackageMissing, StorageError
from recipe_compiler.remote import address
from recipe_compiler.remote.access import Access, ShortAnswer, persist
from recipe_compiler.remote.listing import Other
from recipe_compiler.remote.s3 import S3
from recipe_compiler.remote.stat import Stat, stat_of
from recipe_compiler.remote.stores import Driver, Stores
from tests.remote.conftest import Bucket


@pytest.fixture(params=["s3", "fsspec", "not asynchronous"])
def store(request: pytest.FixtureRequest) -> Iterator[tuple[Driver, Any, str]]:
    """(a driver, what writes to its store, a folder of it)."""
    if request.param == "not asynchronous":
        memory = fsspec.filesystem("memory", use_listings_cache=False)
        yield Other("memory"), memory, "memory://lab"
        memory.rm("/lab", recursive=True)
    else:
        bucket: Bucket = request.getfixturevalue("bucket")
        yield (S3("s3") if request.param == "s3" else Other("s3")), bucket.fs, bucket.url("lab")


def test_drivers_agree(store: tuple[Driver, Any, str]) -> None:
    driver, fs, folder = store
    for name in ("a.jsonl", "deeper/b.jsonl", "c.csv"):
        fs.pipe_file(f"{folder}/{name}", name.encode() * 10)
    loop = get_loop()
    stat = sync(loop, driver.stat, f"{folder}/a.jsonl")
    # What lies in memory has no mark.
    assert stat.size == 70 and bool(stat.mark) == folder.startswith("s3")
    assert sync(loop, driver.read, f"{folder}/a.jsonl", 3, 12, stat.mark) == (b"a.jsonl" * 10)[3:12]
    assert sync(loop, driver.read, f"{folder}/a.jsonl", 0, 70, stat.mark) == b"a.jsonl" * 10
    assert sync(loop, driver.listed, f"{folder}/*.jsonl") == {f"{folder}/a.jsonl": stat}
    assert sync(loop, driver.below, folder) == {"a.jsonl", "deeper/b.jsonl", "c.csv"}
    with pytest.raises(DataError, match="was replaced"):
        sync(
            loop, persist, f"{folder}/a.jsonl", Access(tries=1), lambda: driver.read(f"{folder}/a.jsonl", 0, 9, "other")
        )
    with pytest.raises(FileMissing):
        sync(loop, persist, folder, Access(), lambda: driver.stat(f"{folder}/nothing"))


def test_a_store_that_answers_with_everything_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory", use_listings_cache=False)
    memory.pipe_file("/lab/a", b"0123456789")
    driver = Other("memory")
    monkeypatch.setattr(driver.fs, "cat_file", lambda *_arguments, **_options: b"0123456789")
    with pytest.raises(StorageError, match="whole file"):
        sync(get_loop(), driver.read, "memory://lab/a", 2, 5, "")
    monkeypatch.setattr(driver.fs, "cat_file", lambda *_arguments, **_options: b"01")
    with pytest.raises(ShortAnswer, match="2 bytes where 3 were asked for"):
        sync(get_loop(), driver.read, "memory://lab/a", 2, 5, "")
    memory.rm("/lab", recursive=True)


def test_an_entry_without_a_size_is_refused() -> None:
    assert stat_of({"size": 3, "ETag": '"x"', "mtime": 5}) == Stat(size=3, mark="x")
    for size in (None, -1, 1.5, True):
        with pytest.raises(ValueError, match="how long"):
            stat_of({"size": size})


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(PackageMissing, match="`ossfs` is not installed; install it with `pip install ossfs`"):
        Stores(Access()).stat(["oss://lab/a"])


def test_waits_grow_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def noted(seconds: float) -> None:
        waits.append(seconds)

    async def silent() -> None:
        raise OSError

    monkeypatch.setattr("asyncio.sleep", noted)
    with pytest.raises(StorageError, match="after 9 tries"):
        asyncio.run(persist("s3://lab/a", Access(tries=9, wait=0.5), silent))
    assert len(waits) == 8
    for number, wait in enumerate(waits):
        full = min(0.5 * 2**number, 10.0)
        assert full / 2 <= wait < full * 1.5


@given(
    st.sampled_from(sorted(address.SCHEMES)),
    st.text("abc.-", min_size=1, max_size=8),
    st.text("abc/%*[]~ é", max_size=12),
    st.text("xyzXYZ=&:/", min_size=6, max_size=12),
    st.sampled_from(["query", "user", "fragment"]),
)
def test_what_may_be_a_secret_is_never_shown(scheme: str, host: str, path: str, secret: str, where: str) -> None:
    if where == "user":
        url = f"{scheme}://me:{secret.replace('/', '')}@{host}/{path}a"
    elif where == "query" or scheme not in ("http", "https"):
        url = f"{scheme}://{host}/{path}a?{secret}"
    else:
        url = f"{scheme}://{host}/{path}a#{secret}"
    refused = address.refusal(url)
    assert refused is not None and refused.holds_secret
    hidden = secret.replace("/", "") if where == "user" else secret
    for text in (address.shown(url), refused.reason, refused.help):
        assert hidden not in text.replace(path, "").replace("://", "")
    assert len(address.shown(url)) == len(url)


@given(st.sampled_from(["s3", "gs", "https"]), st.text("abc/._-%é", min_size=1, max_size=12))
def test_plain_urls_are_shown_as_they_are(scheme: str, path: str) -> None:
    url = f"{scheme}://lab/{path}"
    assert address.shown(url) == url
    names = path.split("/")
    assert (address.refusal(url) is None) == (any(names) and not {".", ".."} & set(names))
