"""What changed on disk since the compile is told, with the file, and never trained on."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipe_compiler.errors import DataError, ManifestCorrupt, ManifestError
from recipe_compiler.manifest import codec, store
from runtime.reader import Reader
from runtime.stream import ManifestDataset, ManifestStream
from tests.reading.helpers import CONTAINERS
from tests.runtime.helpers import SINGLE, compiled, expected_ids
from tests.support import compile_text, questions, write_jsonl

COMPRESSED = """recipe: 1
name: compressed
pools:
  b: {source: data/b.jsonl.gz, format: qa}
"""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder with a manifest of its own over `data/a.jsonl`."""
    compiled(tmp_path, SINGLE)
    return tmp_path


def read_all(folder: Path, root: Path | None = None) -> list[str]:
    stream = ManifestStream(ManifestDataset(folder, root=root), global_batch=4)
    return [sample.sample_id for batch in stream for sample in batch]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"question": "new", "answer": "new"}\n')


def replace_at_same_size(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"What is", b"Who was"))


def replace_by_noise(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [truncate, grow, replace_at_same_size, replace_by_noise, empty, delete, make_folder])
def test_a_changed_plain_file_is_named(plain: Path, change: Callable[[Path], None]) -> None:
    change(plain / "data/a.jsonl")
    with pytest.raises(DataError) as caught:
        read_all(plain / "out", root=plain)
    assert "data/a.jsonl" in str(caught.value)
    assert caught.value.path.endswith("data/a.jsonl")
    assert caught.value.reason


def test_the_changed_record_s_position_is_named(plain: Path) -> None:
    path = plain / "data/a.jsonl"
    position = [sample.key for sample in map(Reader(plain / "out").sample, range(37))].index("a-20")
    path.write_bytes(path.read_bytes().replace(b"What is a 20?", b"What is a 99?"))
    reader = Reader(plain / "out")
    for other in range(37):
        if other != position:
            reader.sample(other)
    with pytest.raises(DataError, match=rf"position {position}\b.*not the one that was compiled"):
        reader.sample(position)


def test_a_file_cut_while_it_is_read_is_told(plain: Path) -> None:
    reader = Reader(plain / "out")
    reader.sample(0)
    with (plain / "data/a.jsonl").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(DataError, match="cut short") as caught:
        for position in range(37):
            reader.sample(position)
    assert caught.value.path == "data/a.jsonl"


def test_a_deleted_first_source_is_named_where_the_root_is_looked_for(plain: Path) -> None:
    (plain / "data/a.jsonl").unlink()
    with pytest.raises(DataError, match=r"data/a\.jsonl.*--root"):
        ManifestDataset(plain / "out")


@pytest.mark.parametrize("kind", ["json object", "json array", "csv", "web dataset"])
@pytest.mark.parametrize("byte", [b'"', b"x", b"\0", b"\n", b"{"])
def test_noise_in_place_of_a_record_is_told_in_every_container(tmp_path: Path, kind: str, byte: bytes) -> None:
    (container,) = [item for item in CONTAINERS if item.name == kind]
    path = tmp_path / f"data/a{container.ending}"
    path.parent.mkdir()
    path.write_bytes(container.write(questions("a", 3)))
    compile_text(tmp_path, f"recipe: 1\nname: x\npools: {{a: {{source: data/{path.name}}}}}\n")
    reader = Reader(tmp_path / "out")
    row = reader.row(1)
    data = bytearray(path.read_bytes())
    start, stop = int(row["offset"]), int(row["offset"] + row["length"])
    noise = bytearray(byte * (stop - start))
    noise[0], noise[-1] = data[start], byte[0]
    data[start:stop] = noise
    path.write_bytes(data)
    with pytest.raises(DataError, match=path.name):
        Reader(tmp_path / "out").sample(1)


@pytest.mark.parametrize("record", [b'"k"', b'"k" ', b'"k', b'"'])
def test_an_entry_that_lost_its_value_is_told(tmp_path: Path, record: bytes) -> None:
    path = tmp_path / "data/a.json"
    write_jsonl(path, [])
    path.write_text(json.dumps({f"k{number}": record for number, record in enumerate(questions("a", 3))}))
    compile_text(tmp_path, "recipe: 1\nname: x\npools: {a: {source: data/a.json}}\n")
    row = Reader(tmp_path / "out").row(0)
    data = bytearray(path.read_bytes())
    start, stop = int(row["offset"]), int(row["offset"] + row["length"])
    padding = b"k" * (stop - start - len(record))
    data[start:stop] = record[:1] + padding + record[1:]
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.json"):
        Reader(tmp_path / "out").sample(0)


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    """A folder with a manifest over `data/b.jsonl.gz`."""
    compiled(tmp_path, COMPRESSED)
    return tmp_path


def other_gzip(path: Path) -> None:
    text = "".join(json.dumps(record) + "\n" for record in questions("other", 50))
    path.write_bytes(gzip.compress(text.encode()))


def flip_in_gzip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("change", [truncate, grow, other_gzip, flip_in_gzip, empty, delete])
def test_a_changed_compressed_file_is_named_where_nothing_is_cached(
    zipped: Path, change: Callable[[Path], None]
) -> None:
    change(zipped / "data/b.jsonl.gz")
    with pytest.raises(DataError, match=r"data/b\.jsonl\.gz"):
        stream = ManifestStream(ManifestDataset(zipped / "out", root=zipped, cache=zipped / "fresh"), global_batch=4)
        list(stream)


@pytest.mark.parametrize("change", [truncate, grow, other_gzip, empty, delete])
def test_a_changed_compressed_file_is_named_even_where_its_stream_is_cached(
    zipped: Path, change: Callable[[Path], None]
) -> None:
    change(zipped / "data/b.jsonl.gz")
    with pytest.raises(DataError, match=r"data/b\.jsonl\.gz"):
        read_all(zipped / "out", root=zipped)


def test_a_compressed_file_replaced_at_its_size_never_gives_other_samples(zipped: Path) -> None:
    expected = expected_ids(zipped / "out")
    flip_in_gzip(zipped / "data/b.jsonl.gz")
    try:
        assert read_all(zipped / "out") == expected
    except DataError as error:
        assert "b.jsonl.gz" in str(error)


@pytest.mark.parametrize("change", [truncate, grow, empty])
def test_a_cached_stream_of_another_length_is_made_again(zipped: Path, change: Callable[[Path], None]) -> None:
    expected = read_all(zipped / "out")
    (stream,) = (zipped / ".recipe/streams").iterdir()
    change(stream)
    assert read_all(zipped / "out") == expected == expected_ids(zipped / "out")


@pytest.mark.parametrize("change", [replace_at_same_size, replace_by_noise])
def test_a_damaged_cached_stream_is_told_as_the_file_s(zipped: Path, change: Callable[[Path], None]) -> None:
    (stream,) = (zipped / ".recipe/streams").iterdir()
    change(stream)
    with pytest.raises(DataError, match=r"b\.jsonl\.gz"):
        read_all(zipped / "out")


def test_a_cache_that_is_gone_is_made_again(zipped: Path, tmp_path: Path) -> None:
    expected = read_all(zipped / "out")
    (stream,) = (zipped / ".recipe/streams").iterdir()
    stream.unlink()
    assert read_all(zipped / "out") == expected == expected_ids(zipped / "out")
    assert stream.exists()


@pytest.mark.parametrize("change", [truncate, empty, delete, replace_by_noise])
def test_a_damaged_shard_is_named(plain: Path, change: Callable[[Path], None]) -> None:
    manifest = store.read(plain / "out")
    change(plain / "out" / manifest.shards[2].file)
    reader = Reader(plain / "out")
    reader.sample(0)
    with pytest.raises(ManifestCorrupt) as caught:
        reader.sample(manifest.shards[2].start)
    assert manifest.shards[2].file in str(caught.value)


def test_a_shard_in_another_shard_s_place_is_refused(plain: Path) -> None:
    manifest = store.read(plain / "out")
    first, second = (plain / "out" / shard.file for shard in manifest.shards[:2])
    first.write_bytes(second.read_bytes())
    with pytest.raises(ManifestCorrupt, match=first.name):
        Reader(plain / "out").sample(0)


def test_a_flip_in_every_byte_of_a_shard_is_refused(plain: Path) -> None:
    """Also in bytes that no row depends on: by whoever reads it in training and by `verify`, which read a shard alike."""
    manifest = store.read(plain / "out")
    shard = manifest.shards[0]
    path = plain / "out" / shard.file
    good = path.read_bytes()
    chance = random.Random(5)  # noqa: S311
    for position in range(len(good)):
        data = bytearray(good)
        data[position] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        with pytest.raises(ManifestCorrupt, match=path.name):
            store.read_shard(plain / "out", shard)
    path.write_bytes(good)
    assert store.read_shard(plain / "out", shard).num_rows == shard.rows


@settings(deadline=None, database=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_shard_with_bytes_cut_or_put_in_is_refused(plain: Path, data: st.DataObject) -> None:
    shard = store.read(plain / "out").shards[0]
    path = plain / "out" / shard.file
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 30)))
    changed = good[:start] + data.draw(st.binary(max_size=8)) + good[stop:]
    try:
        path.write_bytes(changed)
        if changed != good:
            with pytest.raises(ManifestCorrupt, match=path.name):
                store.read_shard(plain / "out", shard)
    finally:
        path.write_bytes(good)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small manifest whose `manifest.json` may be overwritten."""
    folder = tmp_path_factory.mktemp("small")
    write_jsonl(folder / "data/a.jsonl", questions("a", 3))
    compile_text(folder, "recipe: 1\nname: s\npools: {a: {source: data/a.jsonl, format: qa}}\n")
    (folder / "good").write_bytes((folder / "out/manifest.json").read_bytes())
    return folder


def refuses(folder: Path, data: bytes) -> None:
    """A manifest with this document is refused, and the message names it."""
    (folder / "out/manifest.json").write_bytes(data)
    try:
        with pytest.raises(ManifestError, match=r"manifest\.json"):
            store.read_rows(folder / "out", store.read(folder / "out"))
    finally:
        (folder / "out/manifest.json").write_bytes((folder / "good").read_bytes())


@settings(deadline=None, database=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), bit=st.integers(0, 7))
def test_every_flipped_bit_of_the_document_is_refused(small: Path, data: st.DataObject, bit: int) -> None:
    good = bytearray((small / "good").read_bytes())
    good[data.draw(st.integers(0, len(good) - 1))] ^= 1 << bit
    refuses(small, bytes(good))


def test_a_flip_in_every_byte_of_the_document_is_refused(small: Path) -> None:
    good = (small / "good").read_bytes()
    for position in range(len(good)):
        data = bytearray(good)
        data[position] ^= 1 << (position % 7)
        refuses(small, bytes(data))


@settings(deadline=None, database=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_document_with_bytes_cut_or_put_in_is_refused(small: Path, data: st.DataObject) -> None:
    good = (small / "good").read_bytes()
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 30)))
    changed = good[:start] + data.draw(st.binary(max_size=8)) + good[stop:]
    if changed != good:
        refuses(small, changed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"format": 1}',
        b'{"format": 99}',
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"format": 1, "recipe": ' + b"[" * 100_000,
    ],
    ids=range(9),
)
def test_a_document_that_is_no_manifest_is_refused(small: Path, data: bytes) -> None:
    refuses(small, data)


def test_a_document_with_a_lone_surrogate_is_refused(small: Path) -> None:
    good = (small / "good").read_bytes()
    refuses(small, good.replace(b'"name": "s"', b'"name": "\\ud800"'))


def test_a_deeply_nested_document_is_refused(small: Path) -> None:
    document = json.loads((small / "good").read_bytes())
    document["recipe"] = {}
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    refuses(small, text.replace('"recipe": {}', '"recipe": ' + '{"a": ' * 700 + "1" + "}" * 700).encode())


def test_a_folder_without_a_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.json.*recipe compile"):
        ManifestDataset(tmp_path)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("sources", "path", "../secret.jsonl"),
        ("sources", "path", "/etc/passwd"),
        ("sources", "digest", "../../elsewhere"),
        ("pools", "media", "../.."),
        ("shards", "digest", "*"),
    ],
)
def test_a_manifest_made_by_hand_reaches_nothing_outside(plain: Path, part: str, name: str, value: str) -> None:
    """Its id is right, for anybody can compute one; what it names is refused all the same."""
    manifest = store.read(plain / "out")
    first, *rest = getattr(manifest, part)
    forged = dataclasses.replace(manifest, **{part: (dataclasses.replace(first, **{name: value}), *rest)})
    (plain / "out" / store.DOCUMENT).write_bytes(codec.encode(codec.identified(forged)))
    with pytest.raises(ManifestCorrupt, match=r"is no path below the root|is no digest"):
        Reader(plain / "out", root=plain)
