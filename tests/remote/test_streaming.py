"""Remote pools stream the same bytes in the same order as local ones, for any world, and go on where they stopped."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from recipe_compiler.manifest import store
from runtime.loader import ManifestLoader
from runtime.partition import World
from runtime.stream import ManifestDataset, ManifestStream
from tests.remote.conftest import Bucket
from tests.remote.data import QUICK, compiled_from, content, files, write_files
from tests.remote.web import Web


@pytest.fixture(params=["web", "s3"])
def home(request: pytest.FixtureRequest) -> str:
    """A store that holds the files, as a URL."""
    if request.param == "web":
        web: Web = request.getfixturevalue("web")
        web.files = {f"/pool/{name}": data for name, data in files().items()}
        return web.url("/pool")
    bucket: Bucket = request.getfixturevalue("bucket")
    for name, data in files().items():
        bucket.put(f"pool/{name}", data)
    return bucket.url("pool")


def test_the_same_samples_in_the_same_order(home: str, tmp_path: Path) -> None:
    write_files(tmp_path / "near/data")
    near = compiled_from(tmp_path / "near", "data")
    far = compiled_from(tmp_path / "far", home)
    for name in ("pools", "selection", "order"):
        assert getattr(near.manifest.ids, name) == getattr(far.manifest.ids, name)
    assert {source.digest for source in near.manifest.sources} == {source.digest for source in far.manifest.sources}
    expected = content([*itertools.chain(*ManifestStream(ManifestDataset(tmp_path / "near/out"), global_batch=8))])

    # A node that has compiled nothing, with an empty cache; then again from what it kept.
    for _ in range(2):
        cache = tmp_path / "node"
        for num_ranks in (1, 2, 3, 4):
            worlds = [World(rank, num_ranks) for rank in range(num_ranks)]
            streams = [
                ManifestStream(
                    ManifestDataset(tmp_path / "far/out", cache=cache, access=QUICK), global_batch=8, world=world
                )
                for world in worlds
            ]
            steps = zip(*streams, strict=True)
            assert content([sample for step in steps for part in step for sample in part]) == expected


def test_it_goes_on_where_it_stopped_in_another_world(home: str, tmp_path: Path) -> None:
    compiled_from(tmp_path, home)
    dataset = ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=QUICK)
    whole = content([*itertools.chain(*ManifestStream(dataset, global_batch=8))])
    for stop in (0, 1, 5):
        stream = ManifestStream(dataset, global_batch=8)
        steps = iter(stream)
        begun = content([sample for _ in range(stop) for sample in next(steps)])
        state = stream.state_dict()
        assert state["consumed"] == stop * 8
        rest = []
        parts = []
        for rank in range(3):
            other = ManifestStream(
                ManifestDataset(tmp_path / "out", cache=tmp_path / "other", access=QUICK),
                global_batch=6,
                world=World(rank, 3),
            )
            other.load_state_dict(state)
            parts.append(list(other))
        for step in zip(*parts, strict=True):
            rest += content([sample for part in step for sample in part])
        assert begun + rest == whole


@pytest.mark.forks
def test_workers_are_forked_off_a_process_that_reads_from_the_same_store(home: str, tmp_path: Path) -> None:
    compiled_from(tmp_path, home)
    dataset = ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=QUICK)
    whole = content([*itertools.chain(*ManifestStream(dataset, global_batch=8))])
    for number in range(2):
        # Nothing is in this cache, so that each worker asks the store by connections of its own.
        other = ManifestDataset(tmp_path / "out", cache=tmp_path / f"node-{number}", access=QUICK)
        assert content([other[0]]) == whole[:1]
        loader = ManifestLoader(other, global_batch=8, num_workers=2, timeout=60)
        assert content([*itertools.chain(*loader)]) == whole
        assert content([other[len(other) - 1]]) == whole[-1:]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_worker_processes_read_the_same(web: Web, tmp_path: Path, num_workers: int) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    compiled_from(tmp_path, web.url("/pool"))
    dataset = ManifestDataset(tmp_path / "out", cache=tmp_path / "node", access=QUICK)
    expected = content([*itertools.chain(*ManifestStream(dataset, global_batch=8))])
    # The parent has asked stores already; its workers are forked.
    loader = ManifestLoader(dataset, global_batch=8, num_workers=num_workers)
    assert content([*itertools.chain(*loader)]) == expected


def test_the_manifest_may_lie_in_a_store_itself(home: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    built = compiled_from(tmp_path, home)
    expected = content([*itertools.chain(*ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=8))])
    names = [store.DOCUMENT, *(shard.file for shard in built.manifest.shards)]
    assert len(names) > 2
    if home.startswith("s3"):
        bucket: Bucket = request.getfixturevalue("bucket")
        for name in names:
            bucket.put(f"releases/1/{name}", (tmp_path / "out" / name).read_bytes())
        url = bucket.url("releases/1")
    else:
        web: Web = request.getfixturevalue("web")
        web.files |= {f"/releases/1/{name}": (tmp_path / "out" / name).read_bytes() for name in names}
        url = web.url("/releases/1")
    cache = tmp_path / "node"
    dataset = ManifestDataset(url, root=tmp_path, cache=cache, access=QUICK)
    assert not list(cache.rglob("*.parquet")), "shards are fetched when they are read"
    assert dataset.manifest_id == built.manifest.ids.manifest
    assert content([*itertools.chain(*ManifestStream(dataset, global_batch=8))]) == expected

    # A shard that is damaged on this disk is noticed, and fetched again.
    shard = next(cache.rglob("*.parquet"))
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    dataset = ManifestDataset(url, root=tmp_path, cache=cache, access=QUICK)
    assert content([*itertools.chain(*ManifestStream(dataset, global_batch=8))]) == expected
