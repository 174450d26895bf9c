"""Pictures come out as PIL reads the originals, wherever they lie."""

from __future__ import annotations

import base64
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recipe_compiler.errors import DataError
from runtime.sample import Media
from runtime.stream import ManifestDataset
from tests.support import compile_text


def picture(kind: str, size: tuple[int, int] = (23, 17), mode: str = "RGB") -> bytes:
    """A picture with some structure, encoded."""
    image = Image.new(mode, size)
    image.putdata([(7 * i % 256, 3 * i % 256, i % 256)[: len(mode)] for i in range(size[0] * size[1])])
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PICTURES = {"one.png": picture("PNG"), "two.jpg": picture("JPEG"), "sub/three.webp": picture("WEBP")}


def llava(name: str, image: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": f"It is {name}."}]
    return {"id": name, "image": image, "conversations": turns}


def write_by_path(folder: Path) -> str:
    for name, data in PICTURES.items():
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    records = [llava(name, name) for name in PICTURES]
    (folder / "pool.json").write_text(json.dumps(records))
    return "{source: pool.json, media: pictures}"


def write_data_uri(folder: Path) -> str:
    lines = []
    for name, data in PICTURES.items():
        uri = "data:image/png;base64," + base64.b64encode(data).decode()
        lines.append(json.dumps(llava(name, uri)))
    (folder / "pool.jsonl").write_text("\n".join(lines))
    return "{source: pool.jsonl}"


def write_parquet(folder: Path) -> str:
    records = [llava(name, {"bytes": data, "path": name}) for name, data in PICTURES.items()]
    pq.write_table(pa.Table.from_pylist(records), folder / "pool.parquet")
    return "{source: pool.parquet}"


def write_parquet_of_bare_bytes(folder: Path) -> str:
    records = [llava(name, data) for name, data in PICTURES.items()]
    pq.write_table(pa.Table.from_pylist(records), folder / "pool.parquet")
    return "{source: pool.parquet}"


def write_tar(folder: Path) -> str:
    with tarfile.open(folder / "pool.tar", "w") as archive:
        for number, (name, data) in enumerate(PICTURES.items()):
            record = llava(name, None)
            del record["image"]
            members = {f"{number:06}.json": json.dumps(record).encode(), f"{number:06}.{name[-3:]}": data}
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return "{source: pool.tar, fields: {images: ['png?', 'jpg?', 'ebp?']}}"


@pytest.mark.parametrize(
    "write", [write_by_path, write_data_uri, write_parquet, write_parquet_of_bare_bytes, write_tar]
)
def test_a_picture_has_the_pixels_of_the_original(tmp_path: Path, write: Any) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write(tmp_path)}\n")
    dataset = ManifestDataset(tmp_path / "out")
    assert len(dataset) == len(PICTURES)
    for position in range(len(dataset)):
        sample = dataset[position]
        said = sample.messages[-1]["content"][0]["text"]
        original = PICTURES[said.removeprefix("It is ").removesuffix(".")]
        (media,) = sample.media
        assert media.kind == "image"
        assert media.read() == original
        expected = Image.open(io.BytesIO(original))
        found = media.image()
        assert (found.mode, found.size) == (expected.mode, expected.size)
        assert found.tobytes() == expected.tobytes()
        assert sample.messages[0]["content"] == [{"type": "image", "media": 0}, {"type": "text", "text": "What?"}]


def test_embedded_pictures_have_one_identity_in_every_container(tmp_path: Path) -> None:
    ids = []
    for number, write in enumerate((write_data_uri, write_parquet, write_parquet_of_bare_bytes, write_tar)):
        folder = tmp_path / str(number)
        folder.mkdir()
        built = compile_text(folder, f"recipe: 1\nname: x\npools:\n  a: {write(folder)}\n")
        ids.append((built.manifest.ids.selection, built.manifest.ids.order))
    assert len(set(ids)) == 1


def test_pictures_by_path_are_other_samples_than_embedded_ones(tmp_path: Path) -> None:
    built = []
    for write in (write_by_path, write_data_uri):
        folder = tmp_path / write.__name__
        folder.mkdir()
        built.append(compile_text(folder, f"recipe: 1\nname: x\npools:\n  a: {write(folder)}\n"))
    assert built[0].manifest.ids.selection != built[1].manifest.ids.selection


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"no picture at all",
        lambda data: data[:8] + b"\0" * (len(data) - 8),
    ],
    ids=["cut", "empty", "text", "zeroed"],
)
@pytest.mark.parametrize("name", ["one.png", "two.jpg"])
def test_a_broken_picture_is_named(tmp_path: Path, damage: Any, name: str) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    path = tmp_path / "pictures" / name
    path.write_bytes(damage(path.read_bytes()))
    dataset = ManifestDataset(tmp_path / "out")
    for position in range(len(dataset)):
        (media,) = dataset[position].media
        if media.path == path:
            with pytest.raises(DataError, match=name):
                media.image()
            return
    raise AssertionError("the picture is in no sample")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_damaged_picture_is_a_picture_or_a_data_error(kind: str) -> None:
    good = picture(kind)
    chance = random.Random(3)  # noqa: S311
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
        media = Media(kind="image", path=Path("broken.picture"), data=bytes(data))
        try:
            media.image()
        except DataError as error:
            assert "broken.picture" in str(error)


def test_a_picture_too_large_to_be_one_is_a_data_error() -> None:
    header = b"P6\n100000 100000\n255\n"  # PIL calls this a decompression bomb
    with pytest.raises(DataError, match=r"bomb\.ppm"):
        Media(kind="image", path=Path("bomb.ppm"), data=header + b"\0" * 100).image()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    (tmp_path / "pictures/one.png").unlink()
    dataset = ManifestDataset(tmp_path / "out")
    media = [media for position in range(3) for media in dataset[position].media]
    (gone,) = [item for item in media if item.path == tmp_path / "pictures/one.png"]
    with pytest.raises(DataError, match=r"pictures/one\.png: No such file"):
        gone.read()
    with pytest.raises(DataError, match=r"pictures/one\.png: No such file"):
        gone.image()


@pytest.mark.parametrize(
    "reference", ["../secret.png", "a/../../secret.png", "/etc/passwd", "https://example.org/a.png", "file:///etc/x"]
)
@pytest.mark.parametrize("media", ["", ", media: pictures, missing_media: keep"])
def test_a_reference_that_leads_out_is_refused(tmp_path: Path, reference: str, media: str) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "secret.png").write_bytes(picture("PNG"))
    (tmp_path / "pool.json").write_text(json.dumps([llava("x", reference)]))
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {{source: pool.json{media}}}\n")
    with pytest.raises(DataError, match="leads out of the pool's media folder") as caught:
        ManifestDataset(tmp_path / "out")[0]
    assert reference in str(caught.value)


def test_a_reference_that_no_file_can_have_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "pool.json").write_text(json.dumps([llava("x", "a\0b.png")]))
    compile_text(tmp_path, "recipe: 1\nname: x\npools:\n  a: {source: pool.json}\n")
    with pytest.raises(DataError):
        ManifestDataset(tmp_path / "out")[0].media[0].read()
