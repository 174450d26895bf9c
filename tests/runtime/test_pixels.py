"""Pixels are PIL's, whoever decodes them; what PIL refuses is refused."""

from __future__ import annotations

import io
import random
import re
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_features__
from PIL import Image

from recipe_compiler import scanning
from recipe_compiler.errors import DataError
from runtime import decode
from runtime.readahead.fetch import Batches
from runtime.readahead.pixels import PixelsAhead
from runtime.readahead.reading import Reading
from runtime.reader import Reader
from runtime.sample import Media
from runtime.stream import ManifestDataset, ManifestStream
from tests.runtime.test_images import PICTURES, write_by_path, write_tar
from tests.runtime.test_imports import run_python
from tests.support import compile_text

#: Whether the processor has the registers that the core's own decoder wants; all else goes to libjpeg-turbo.
HAS_REGISTERS = bool(__cpu_features__.get("AVX2"))
needs_registers = pytest.mark.skipif(not HAS_REGISTERS, reason="the processor has no registers of 32 bytes")
PLAIN = decode.CORE if HAS_REGISTERS else decode.TURBO


def of_pil(data: bytes) -> np.ndarray[Any, Any]:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def noise(mode: str, width: int, height: int, seed: int) -> Image.Image:
    """A picture with edges, ramps and noise, so that every coefficient of a block matters."""
    chance = np.random.default_rng(seed)
    bands = {"L": 1, "RGB": 3, "CMYK": 4, "RGBA": 4, "LA": 2}[mode]
    ramp = np.linspace(0, 255, height)[:, None, None] + np.linspace(0, 97, width)[None, :, None]
    pixels = (ramp + chance.integers(0, 90, (height, width, bands))) % 256
    return Image.merge(mode, [Image.fromarray(pixels[..., band].astype(np.uint8)) for band in range(bands)])


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", **options)
    return out.getvalue()


SIZES = st.integers(1, 70)


@settings(deadline=None, database=None, max_examples=250)
@given(
    mode=st.sampled_from(["L", "RGB", "RGB", "RGB", "CMYK"]),
    width=SIZES,
    height=SIZES,
    seed=st.integers(0, 9999),
    quality=st.integers(1, 100),
    sampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(),
    optimise=st.booleans(),
    restart=st.sampled_from([0, 1, 5]),
)
def test_jpegs_have_the_pixels_of_pil(
    mode: str,
    width: int,
    height: int,
    seed: int,
    quality: int,
    sampling: int,
    progressive: bool,
    optimise: bool,
    restart: int,
) -> None:
    data = jpeg(
        noise(mode, width, height, seed),
        quality=quality,
        subsampling=sampling,
        progressive=progressive,
        optimize=optimise,
        restart_marker_blocks=restart,
    )
    found, by = decode.rgb(data, "x")
    assert found.shape == (height, width, 3)
    assert np.array_equal(found, of_pil(data))
    is_narrow = mode == "RGB" and sampling != 0 and width <= 4
    assert by == (decode.PILLOW if mode == "CMYK" else decode.TURBO if progressive or is_narrow else PLAIN)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_other_pictures_have_the_pixels_of_pil(kind: str, mode: str) -> None:
    base = noise("RGB", 31, 23, 7)
    picture = Image.new("I;16", (5, 4), 3000) if mode == "I;16" else base.convert(mode)
    out = io.BytesIO()
    try:
        picture.save(out, kind)
    except OSError:
        pytest.skip(f"PIL writes no {kind} of {mode}")
    found, by = decode.rgb(out.getvalue(), "x")
    assert np.array_equal(found, of_pil(out.getvalue()))
    assert by == decode.PILLOW


def same_as_pil(data: bytes) -> bool:
    """Whether it is a picture; that it is the same picture as PIL's, or none for both, is asserted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = of_pil(data)
        except Exception:  # noqa: BLE001
            expected = None
        try:
            found, _ = decode.rgb(data, "broken.jpg")
        except DataError as error:
            assert "broken.jpg: is no picture that can be decoded" in str(error)
            found = None
    assert (found is None) == (expected is None)
    assert found is None or np.array_equal(found, expected)
    return found is not None


@settings(deadline=None, database=None, max_examples=300)
@given(seed=st.integers(0, 10_000), progressive=st.booleans(), data=st.data())
def test_a_damaged_jpeg_is_to_us_what_it_is_to_pil(seed: int, progressive: bool, data: st.DataObject) -> None:
    good = jpeg(
        noise("RGB", 40, 30, seed % 7), quality=80, progressive=progressive, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"
    )
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    same_as_pil(bytes(damaged[: data.draw(st.integers(0, len(good)) | st.just(len(good)))]))


def test_every_cut_of_a_jpeg_is_to_us_what_it_is_to_pil() -> None:
    good = jpeg(noise("RGB", 24, 24, 1), quality=60)
    read = [same_as_pil(good[:size]) for size in range(len(good) + 1)]
    assert read[-1] and not any(read[: len(good) // 2])


def test_every_byte_of_a_header_damaged_is_to_us_what_it_is_to_pil() -> None:
    good = jpeg(noise("RGB", 24, 24, 1), quality=60, icc_profile=b"profile", comment=b"hello")
    chance = random.Random(3)  # noqa: S311
    for at in range(good.index(b"\xff\xda") + 14):
        for value in (0, 0xFF, chance.randrange(256)):
            same_as_pil(good[:at] + bytes([value]) + good[at + 1 :])


def test_ordinary_jpegs_are_told_from_others() -> None:
    picture = noise("RGB", 20, 30, 1)
    assert scanning.ordinary_jpeg(jpeg(picture)) == (30, 20)
    assert scanning.ordinary_jpeg(jpeg(picture.convert("CMYK"))) is None
    assert scanning.ordinary_jpeg(b"") is None
    out = io.BytesIO()
    picture.save(out, "MPO", save_all=True, append_images=[picture])
    assert scanning.ordinary_jpeg(out.getvalue()) is None
    assert np.array_equal(decode.rgb(out.getvalue(), "x")[0], of_pil(out.getvalue()))


def test_an_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg(noise("RGB", 20, 30, 1), exif=exif)
    assert decode.rgb(data, "x")[0].shape == (30, 20, 3)


def test_a_bomb_is_refused_before_anything_is_made_room_for() -> None:
    def lend(size: int) -> Any:
        raise AssertionError(f"{size} bytes were asked for")

    header = jpeg(noise("RGB", 8, 8, 1))
    at = header.index(b"\xff\xc0") + 5
    bomb = header[:at] + b"\xff\xff\xff\xff" + header[at + 4 :]
    with pytest.raises(DataError, match="bomb"):
        decode.rgb(bomb, "x", lend)


def test_torch_takes_the_pixels_without_a_copy(tmp_path: Path) -> None:
    import torch

    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    stream = ManifestStream(ManifestDataset(tmp_path / "out"), global_batch=3, reading=Reading(decode=True))
    ((one, *_),) = list(stream)
    pixels = one.media[0].pixels()
    assert pixels is one.media[0].pixels()
    tensor = torch.from_numpy(pixels)
    assert tensor.data_ptr() == pixels.ctypes.data
    assert tensor.shape == (17, 23, 3)


@pytest.mark.parametrize("write", [write_by_path, write_tar])
@pytest.mark.parametrize("memory", [0, 3000, 1 << 20])
def test_pixels_decoded_ahead_are_those_of_each_sample(tmp_path: Path, write: Any, memory: int) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write(tmp_path)}\nstages: [{{name: s, epochs: 7}}]\n")
    reader = Reader(tmp_path / "out")
    assert len(reader) == 21
    stream = ManifestStream(
        ManifestDataset(tmp_path / "out"), global_batch=4, reading=Reading(decode=True, memory=memory, threads=3)
    )
    samples = [sample for batch in stream for sample in batch]
    for position, sample in enumerate(samples):
        assert sample.media[0].decoded is not None
        assert np.array_equal(sample.media[0].decoded, of_pil(reader.sample(position).media[0].read()))
    assert stream.told.decoders == {PLAIN: 7, decode.PILLOW: 14}


def test_who_decoded_is_told(tmp_path: Path) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    dataset = ManifestDataset(tmp_path / "out")
    told = []
    for progressive in (False, True):
        (tmp_path / "pictures/two.jpg").write_bytes(jpeg(noise("RGB", 40, 30, 1), progressive=progressive))
        stream = ManifestStream(dataset, global_batch=3, reading=Reading(decode=True))
        for batch in stream:
            for sample in batch:
                assert np.array_equal(sample.media[0].pixels(), of_pil(sample.media[0].read()))
        told.append(stream.told.decoders)
    assert told == [{PLAIN: 1, decode.PILLOW: 2}, {decode.TURBO: 1, decode.PILLOW: 2}]


@pytest.mark.parametrize("size", [1, 3, 20, 70])
def test_no_more_batches_are_on_their_way_than_keep_all_threads_busy(tmp_path: Path, size: int) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    dataset, begun = ManifestDataset(tmp_path / "out"), 0

    def batches() -> Batches:
        nonlocal begun
        while True:
            begun += 1
            yield [dataset[number % 3] for number in range(size)]

    with closing(PixelsAhead(threads=2, memory=1 << 30).read(batches())) as pixels:
        for handed_over in range(30):
            next(pixels)
            # Two threads take eight pictures each at once, and that twice; beside the next batch there is always another.
            assert begun - handed_over <= max(2, -(-2 * 2 * 8 // size))


def test_a_picture_that_cannot_be_decoded_raises_or_becomes_a_tombstone(tmp_path: Path) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    path = tmp_path / "pictures/two.jpg"
    path.write_bytes(PICTURES["two.jpg"][:200])
    dataset = ManifestDataset(tmp_path / "out")
    (position,) = [at for at in range(3) if dataset[at].media[0].path == path]
    raising = ManifestStream(dataset, global_batch=1, reading=Reading(decode=True))
    with pytest.raises(DataError, match=rf"two\.jpg: position {position}: is no picture that can be decoded"):
        list(raising)
    assert raising.state_dict()["consumed"] == position
    stream = ManifestStream(dataset, global_batch=1, reading=Reading(decode=True, on_error="tombstone"))
    assert [bool(sample.tombstone) for batch in stream for sample in batch] == [at == position for at in range(3)]
    assert [at for at, _ in stream.tombstones] == [position]
    undecoded = ManifestStream(dataset, global_batch=1, reading=Reading(on_error="tombstone"))
    assert not any(sample.tombstone for batch in undecoded for sample in batch)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_decodes_with_workers_and_without(tmp_path: Path, num_workers: int) -> None:
    from runtime.loader import ManifestLoader
    from runtime.partition import World

    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    path = tmp_path / "pictures/two.jpg"
    path.write_bytes(PICTURES["two.jpg"][:200])
    loader = ManifestLoader(
        ManifestDataset(tmp_path / "out"),
        global_batch=2,
        world=World(),
        num_workers=num_workers,
        reading=Reading(decode=True, on_error="tombstone"),
    )
    samples = [sample for batch in loader for sample in batch]
    assert len(loader.tombstones) == 1
    for sample in samples:
        for media in sample.media:
            assert media.decoded is not None
            assert np.array_equal(media.decoded, of_pil(media.read()))


SAYS = """
import io, sys
import numpy as np
from PIL import Image
from runtime import decode
for progressive in (False, True):
    out = io.BytesIO()
    Image.new("RGB", (9, 9), (10, 200, 30)).save(out, "JPEG", progressive=progressive)
    pixels, by = decode.rgb(out.getvalue(), "x")
    assert np.array_equal(pixels, np.asarray(Image.open(out)))
    print(by)
print(decode.decoder().says)
"""

OTHER_PIXELS = """
__version__ = "9.9"
def decode_jpeg(data, colorspace, buffer, strict=True):
    buffer[:] = 7
"""

OTHER_PILLOW = """
from PIL import Image
whole = Image.open
Image.open = lambda source: whole(source).point(lambda sample: sample ^ 1)
"""


@needs_registers
def test_the_decoders_say_what_they_are(tmp_path: Path) -> None:
    done = run_python(SAYS)
    assert done.returncode == 0, done.stderr
    core, turbo, says = done.stdout.splitlines()
    assert (core, turbo) == (decode.CORE, decode.TURBO)
    assert says.startswith("recipe_compiler and simplejpeg ") and says.endswith(
        " (libjpeg-turbo), with the pixels of Pillow"
    )


@needs_registers
@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise ModuleNotFoundError('none here')", "`simplejpeg` is not installed"),
        (OTHER_PIXELS, "the pixels of simplejpeg 9.9 are not Pillow's"),
    ],
    ids=["missing", "other pixels"],
)
def test_a_decoder_that_is_missing_or_differs_is_named_and_not_used(tmp_path: Path, module: str, said: str) -> None:
    (tmp_path / "simplejpeg.py").write_text(module)
    done = run_python(SAYS, first=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"recipe_compiler\nPillow\nrecipe_compiler, with the pixels of Pillow; {said}\n"


def test_no_decoder_is_used_beside_a_pillow_of_other_pixels() -> None:
    done = run_python(OTHER_PILLOW + SAYS)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        "Pillow\nPillow\nPillow; recipe_compiler does not give its pixels on this machine; "
        r"the pixels of simplejpeg \S+ are not Pillow's\n",
        done.stdout,
    )


ALIVE = """
import sys
from runtime.loader import ManifestLoader
from runtime.readahead.reading import Reading
from runtime.stream import ManifestDataset
loader = ManifestLoader(ManifestDataset(sys.argv[1]), global_batch=1, collate=len, reading=Reading(decode=True))
batches = iter(loader)
print(next(batches))
"""


def test_a_script_may_end_while_pictures_are_decoded(tmp_path: Path) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    done = run_python(ALIVE, tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


# Videos


def video(path: Path, num_frames: int, size: tuple[int, int] = (48, 32)) -> Path:
    """Frames of one gray each, brighter by the frame, without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
        for number in range(num_frames):
            pixels = np.full((size[1], size[0], 3), 10 + number * 5, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("num_frames", "count", "wanted"), [(12, 3, [2, 6, 10]), (10, 1, [5]), (3, 8, [0, 1, 2])])
@pytest.mark.parametrize("from_file", [True, False])
def test_frames_are_spread_evenly(
    tmp_path: Path, num_frames: int, count: int, wanted: list[int], from_file: bool
) -> None:
    path = video(tmp_path / "a.mkv", num_frames)
    with av.open(str(path)) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    media = Media(kind="video", path=path if from_file else None, data=None if from_file else path.read_bytes())
    found = media.frames(count)
    assert found.shape == (len(wanted), 32, 48, 3)
    assert np.array_equal(found, np.stack([every[number] for number in wanted]))
    assert [round(int(frame.mean()) / 5) - 2 for frame in found] == wanted


@pytest.mark.parametrize("data", [b"", b"no video at all", b"\0" * 4000])
def test_a_broken_video_is_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError, match="embedded video: is no video"):
        Media(kind="video", path=None, data=data).frames(2)


def test_a_cut_video_is_a_data_error_or_its_beginning(tmp_path: Path) -> None:
    whole = video(tmp_path / "a.mkv", 12).read_bytes()
    for size in range(0, len(whole), 997):
        try:
            assert len(Media(kind="video", path=None, data=whole[:size]).frames(3)) <= 3
        except DataError as error:
            assert "embedded video" in str(error)


def test_without_pyav_frames_say_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "av.py").write_text("raise ModuleNotFoundError('none here')")
    code = "from runtime.reader import Media; Media(kind='video', path=None, data=b'x').frames(1)"
    done = run_python(code, first=tmp_path)
    assert "pip install 'recipe-compiler[video]'" in done.stderr
    assert "PackageMissing" in done.stderr
