"""The core's own decoder: pixels are PIL's, bit for bit, and what is not plain is refused."""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recipe_compiler import kernels, scanning
from tests.runtime.test_pixels import jpeg, needs_registers, noise, of_pil

pytestmark = needs_registers


def core(data: bytes, shape: tuple[int, int] | None = None) -> np.ndarray[Any, Any] | None:
    """The pixels of a plain picture."""
    height, width = shape or Image.open(io.BytesIO(data)).size[::-1]
    pixels = np.full((height, width, 3), 7, dtype=np.uint8)
    return pixels if scanning.plain_jpegs([(data, pixels)])[0] else None


def is_same(data: bytes) -> bool:
    """Whether it is plain; that its pixels are PIL's then is asserted."""
    found = core(data)
    assert found is None or np.array_equal(found, of_pil(data))
    return found is not None


KINDS = [("RGB", 0), ("RGB", 1), ("RGB", 2), ("L", 0)]


@pytest.mark.parametrize(("mode", "sampling"), KINDS)
def test_all_small_sizes(mode: str, sampling: int) -> None:
    for width in range(1, 71):
        for height in {1, 2, 7, 8, 9, 16, 17, 31 + width % 3, width}:
            data = jpeg(noise(mode, width, height, width), quality=90, subsampling=sampling)
            # Chroma of one or two columns is stretched in another way.
            assert is_same(data) == (sampling == 0 or width > 4), (width, height)


@pytest.mark.parametrize(("mode", "sampling"), KINDS)
@pytest.mark.parametrize("optimise", [False, True])
def test_all_qualities(mode: str, sampling: int, optimise: bool) -> None:
    for quality in range(1, 101):
        picture = noise(mode, 45, 37, quality)
        assert is_same(jpeg(picture, quality=quality, subsampling=sampling, optimize=optimise)), quality


def extremes(kind: str, seed: int) -> Image.Image:
    """Pictures that are hard on sums and codes."""
    chance = np.random.default_rng(seed)
    pixels = {
        "black and white": chance.integers(0, 2, (50, 61, 3)) * 255,
        "noise": chance.integers(0, 256, (50, 61, 3)),
        "flat": np.broadcast_to(chance.integers(0, 256, 3), (50, 61, 3)),
        "stripes": np.indices((50, 61)).sum(0)[..., None] % 2 * [255, 255, 0],
        "primaries": np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])[chance.integers(0, 3, (50, 61))],
    }[kind]
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("kind", ["black and white", "noise", "flat", "stripes", "primaries"])
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_extreme_pictures(kind: str, sampling: int) -> None:
    for quality in (1, 5, 30, 75, 95, 100):
        for restart in (0, 1, 3):
            data = jpeg(extremes(kind, quality), quality=quality, subsampling=sampling, restart_marker_blocks=restart)
            assert is_same(data), (quality, restart)


@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_tables_of_any_factors(sampling: int) -> None:
    chance = np.random.default_rng(sampling)
    for seed in range(30):
        tables = chance.integers(1, 256, (2, 64)).tolist()
        assert is_same(jpeg(noise("RGB", 40, 33, seed), qtables=tables, subsampling=sampling))


def test_a_picture_of_many_strips_and_restarts() -> None:
    picture = noise("RGB", 211, 900, 3)
    for sampling in (0, 1, 2):
        assert is_same(jpeg(picture, quality=85, subsampling=sampling, restart_marker_rows=1))


def odd(name: str) -> bytes:
    plain = jpeg(noise("RGB", 30, 20, 1), quality=80)
    scan, end = plain.index(b"\xff\xda"), len(plain) - 2
    restarts = jpeg(noise("RGB", 30, 20, 1), quality=80, restart_marker_blocks=1)
    return {
        "progressive": jpeg(noise("RGB", 30, 20, 1), progressive=True),
        "four colours": jpeg(noise("CMYK", 30, 20, 1)),
        "no end": plain[:end],
        "cut": plain[: end - 5] + plain[end:],
        "bytes before the end": plain[:end] + b"\0" + plain[end:],
        "two ends of 0xff": plain[:end] + b"\xff" + plain[end:],
        "a mark of a restart too many": plain[:end] + b"\xff\xd0" + plain[end:],
        "marks out of order": restarts.replace(b"\xff\xd1", b"\xff\xd2"),
        "a part that is missing": restarts[: restarts.index(b"\xff\xd1")] + restarts[restarts.index(b"\xff\xd2") :],
        "a part of a spectrum": plain[: scan + 11] + b"\1" + plain[scan + 12 :],
        "layers in another order": plain[: scan + 5] + b"\2\x11\1\0" + plain[scan + 9 :],
        "tables that are missing": plain[: scan + 6] + b"\x33" + plain[scan + 7 :],
        "nothing": b"",
        "no picture": b"\xff\xd8\xff\xd9",
        "lossless": plain.replace(b"\xff\xc0", b"\xff\xc3"),
        "arithmetic codes": plain.replace(b"\xff\xc0", b"\xff\xc9"),
        "other colours": plain[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + plain[20:],
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "progressive",
        "four colours",
        "no end",
        "cut",
        "bytes before the end",
        "two ends of 0xff",
        "a mark of a restart too many",
        "marks out of order",
        "a part that is missing",
        "a part of a spectrum",
        "layers in another order",
        "tables that are missing",
        "nothing",
        "no picture",
        "lossless",
        "arithmetic codes",
        "other colours",
    ],
)
def test_what_is_not_plain_is_refused(name: str) -> None:
    assert core(odd(name), (20, 30)) is None


def test_a_plain_picture_may_have_anything_behind_its_end() -> None:
    assert is_same(jpeg(noise("RGB", 30, 20, 1)) + b"\xff\xd8 and more")


def test_memory_of_another_shape_is_refused() -> None:
    data = jpeg(noise("RGB", 30, 20, 1))
    assert core(data, (20, 30)) is not None
    assert core(data, (20, 31)) is None
    assert core(data, (0, 30)) is None
    with pytest.raises(kernels.KernelError):
        scanning.plain_jpegs([(data, np.zeros((20, 60, 3), dtype=np.uint8)[:, ::2])])


def test_pictures_decoded_together_are_told_apart() -> None:
    plain, other = jpeg(noise("RGB", 30, 20, 1)), jpeg(noise("L", 64, 5, 2), optimize=True)
    data = [plain, odd("cut"), memoryview(other), odd("progressive"), plain]
    pixels = [np.zeros((5, 64, 3) if one is data[2] else (20, 30, 3), dtype=np.uint8) for one in data]
    assert scanning.plain_jpegs(zip(data, pixels, strict=True)) == [True, False, True, False, True]
    for at in (0, 2, 4):
        assert np.array_equal(pixels[at], of_pil(bytes(data[at])))
    assert scanning.plain_jpegs([]) == []


def test_threads_decode_beside_each_other() -> None:
    data = [jpeg(noise("RGB", 20 + seed, 150 - seed, seed), subsampling=seed % 3) for seed in range(40)]
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(is_same, data * 3))


@settings(deadline=None, database=None, max_examples=400)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 6),
    optimise=st.booleans(),
    restart=st.sampled_from([0, 0, 1, 2]),
    data=st.data(),
)
def test_what_is_plain_though_damaged_is_the_same_to_pil(
    kind: tuple[str, int], seed: int, optimise: bool, restart: int, data: st.DataObject
) -> None:
    mode, sampling = kind
    picture = noise(mode, 33 + seed, 26, seed)
    damaged = bytearray(
        jpeg(picture, quality=70, subsampling=sampling, optimize=optimise, restart_marker_blocks=restart)
    )
    tables, scan = damaged.index(b"\xff\xdb"), damaged.index(b"\xff\xda")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(tables, len(damaged) - 1) | st.integers(scan, len(damaged) - 1))
        how = data.draw(st.sampled_from(["flip", "other", "less", "more"]))
        if how == "flip":
            damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "other":
            damaged[at] = data.draw(st.integers(0, 255))
        elif how == "less":
            del damaged[at]
        else:
            damaged.insert(at, data.draw(st.sampled_from([0, 0xFF, 0xD0])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = of_pil(bytes(damaged))
        except Exception:  # noqa: BLE001
            expected = None
    shape = (26, 33 + seed) if expected is None else expected.shape[:2]
    found = core(bytes(damaged), shape)
    assert found is None or (expected is not None and np.array_equal(found, expected))
