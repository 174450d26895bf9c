"""Encoded pictures and videos -> pixels. Whoever decodes a picture, its pixels are those that PIL gives.

Ordinary JPEGs are decoded with other threads running: plain ones by the Rust core, which needs less than half of PIL's time,
others by libjpeg-turbo where `simplejpeg` is installed. Each is believed only where it was seen to agree with PIL. Whatever
they find strange, and all else, goes to PIL itself. Pictures come as they are stored: an orientation that EXIF states is
not applied, as PIL does not when it opens a file.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import scanning
from recipe_compiler.errors import DataError, PackageMissing

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
#: Gives memory for so many bytes.
Lend = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Clip:
    """Which frames of a video are shown: the numbers `taken` of its `total` frames of `height` x `width` pixels.

    `rate` are its frames per second, as its container states them; None where it does not.
    """

    height: int
    width: int
    total: int
    rate: float | None
    taken: tuple[int, ...]


CORE = "recipe_compiler"
TURBO = "simplejpeg"
PILLOW = "Pillow"
#: Frames of a video larger than this are refused, as PIL refuses pictures.
_MOST_FRAME_PIXELS = 1 << 27


def fresh_memory(size: int) -> NDArray[np.uint8]:
    """Memory of its own for each picture."""
    return np.empty(size, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Decoder:
    """What decodes ordinary JPEGs here beside PIL, and why: the Rust core, and `turbo`."""

    core: bool
    turbo: ModuleType | None
    says: str


@cache
def decoder() -> Decoder:
    """The decoders of this process: those that gave PIL's pixels for small pictures of each kind."""
    core, turbo, by, but = False, None, [], []
    baseline, progressive = _proofs(progressive=False), _proofs(progressive=True)
    if all(_is_decoded(proof, _core) for proof in baseline):
        core = True
        by.append(CORE)
    else:
        but.append(f"{CORE} does not give its pixels on this machine")
    try:
        import simplejpeg

        name = f"simplejpeg {simplejpeg.__version__}"
        if all(_is_decoded(proof, partial(_turbo, simplejpeg)) for proof in [*baseline, *progressive]):
            turbo = simplejpeg
            by.append(f"{name} (libjpeg-turbo)")
        else:
            but.append(f"the pixels of {name} are not Pillow's")
    except ModuleNotFoundError:
        but.append("`simplejpeg` is not installed")
    says = f"{' and '.join(by)}, with the pixels of Pillow" if by else PILLOW
    return Decoder(core, turbo, "; ".join([says, *but]))


def _proofs(*, progressive: bool) -> list[bytes]:
    """Small JPEGs of each sampling, of one colour and of three."""
    images = _pillow()
    ramp = np.arange(19 * 21 * 3, dtype=np.uint32).reshape(19, 21, 3)
    picture = images.fromarray((ramp * ramp // 7 % 251).astype(np.uint8))
    proofs = []
    for mode, sampling in (("RGB", 0), ("RGB", 1), ("RGB", 2), ("L", 0)):
        out = io.BytesIO()
        picture.convert(mode).save(out, "JPEG", quality=90, subsampling=sampling, progressive=progressive)
        proofs.append(out.getvalue())
    return proofs


def _is_decoded(proof: bytes, decode: Callable[[bytes, Pixels], bool]) -> bool:
    expected = np.asarray(_open(proof, "a proof").convert("RGB"))
    found = np.empty(expected.shape, dtype=np.uint8)
    return decode(proof, found) and np.array_equal(found, expected)


def _core(data: bytes | memoryview, pixels: Pixels) -> bool:
    return scanning.plain_jpegs([(data, pixels)])[0]


def _turbo(by: ModuleType, data: bytes | memoryview, pixels: Pixels) -> bool:
    try:
        by.decode_jpeg(data, colorspace="RGB", buffer=pixels, strict=True)
    except ValueError:
        return False
    return True


def open_picture(data: bytes | memoryview, name: str) -> Image:
    """The decoded picture as PIL has it. Bytes that are no picture raise `DataError`, under the name they are given."""
    return _decoded(_open(data, name), name)


def size(source: Path | bytes | memoryview, name: str) -> tuple[int, int]:
    """(height, width) of a picture, from its header alone. What is no picture raises `DataError`."""
    with _open(source, name) as picture:
        return picture.height, picture.width


def _open(source: Path | bytes | memoryview, name: str) -> Image:
    images = _pillow()
    try:
        opened: Image = images.open(source if isinstance(source, Path) else io.BytesIO(source))
    except (images.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise _no_picture(name, error) from None
    return opened


def _pillow() -> ModuleType:
    """`PIL.Image`."""
    try:
        import PIL.Image
    except ModuleNotFoundError:
        raise PackageMissing("pillow", "images") from None
    return PIL.Image


def _decoded(picture: Image, name: str, mode: str | None = None) -> Image:
    try:
        picture.load()
        return picture if mode is None else picture.convert(mode)
    except (OSError, SyntaxError, ValueError) as error:
        raise _no_picture(name, error) from None


def _no_picture(name: str, error: Exception) -> DataError:
    # PIL names the object that it read from, at another address each time.
    reason = str(error).partition(" <_io.")[0]
    return DataError(name, f"is no picture that can be decoded: {reason}")


def ordinary(data: bytes | memoryview) -> tuple[int, int, int] | None:
    """The shape of the pixels of a picture that is decoded here without PIL; None of any other."""
    by = decoder()
    if (not by.core and by.turbo is None) or bytes(data[:3]) != b"\xff\xd8\xff":
        return None
    size = scanning.ordinary_jpeg(data)
    return None if size is None else (*size, 3)


def quick(pictures: Sequence[tuple[bytes | memoryview, Pixels]]) -> list[str | None]:
    """Decodes ordinary pictures, each into memory of its shape, and tells who did it.

    None where one is cut or damaged: PIL decides what that means.
    """
    by = decoder()
    plain = scanning.plain_jpegs(pictures) if by.core else [False] * len(pictures)
    return [
        CORE if done else TURBO if by.turbo is not None and _turbo(by.turbo, *picture) else None
        for done, picture in zip(plain, pictures, strict=True)
    ]


def pillow(data: bytes | memoryview, name: str, lend: Lend = fresh_memory) -> Pixels:
    """The pixels of `Image.open(data).convert("RGB")`. Bytes that are no picture raise `DataError`.

    `lend` is asked for memory when the size is known and before anything is decoded.
    """
    picture = _open(data, name)
    width, height = picture.size
    pixels = lend(height * width * 3).reshape(height, width, 3)
    np.copyto(pixels, np.asarray(_decoded(picture, name, "RGB")))
    return pixels


def rgb(data: bytes | memoryview, name: str, lend: Lend = fresh_memory) -> tuple[Pixels, str]:
    """(the pixels of `Image.open(data).convert("RGB")` as height x width x 3 bytes, who decoded them).

    Bytes that are no picture raise `DataError`. `lend` is asked for memory when the size is known and before anything is
    decoded.
    """
    shape = ordinary(data)
    if shape is not None:
        pixels = lend(math.prod(shape)).reshape(shape)
        (by,) = quick([(data, pixels)])
        if by is not None:
            return pixels, by
    return pillow(data, name, lend), PILLOW


def clip(source: Path | bytes | memoryview, count: int, name: str) -> Clip:
    """`count` frames spread evenly over a video, each in the middle of its part; of a video of fewer frames all of them.

    What a container says of its length is not always so: frames are counted as they are decoded. A video that cannot be
    decoded raises `DataError`.
    """
    if count < 1:
        raise ValueError(f"{count} frames of a video")
    with _container(source, name) as container:
        rate = container.streams.video[0].average_rate
        sizes = Counter((frame.height, frame.width) for frame in container.decode(video=0))
    if len(sizes) != 1:
        raise DataError(name, "is no video of frames of one size")
    ((size, total),) = sizes.items()
    count = min(count, total)
    taken = tuple((2 * number + 1) * total // (2 * count) for number in range(count))
    return Clip(*size, total, float(rate) if rate else None, taken)


def frames(source: Path | bytes | memoryview, shown: Clip, name: str) -> Pixels:
    """The frames of a video that a clip of it takes, as frames x height x width x 3 bytes of RGB."""
    if shown.height * shown.width > _MOST_FRAME_PIXELS:
        raise DataError(name, f"a video of {shown.width:,} x {shown.height:,} pixels")
    wanted = set(shown.taken)
    with _container(source, name) as container:
        decoded = enumerate(container.decode(video=0))
        return np.stack([frame.to_ndarray(format="rgb24") for number, frame in decoded if number in wanted])


@contextmanager
def _container(source: Path | bytes | memoryview, name: str) -> Iterator[Any]:
    try:
        import av
    except ModuleNotFoundError:
        raise PackageMissing("av", "video") from None
    try:
        with av.open(str(source) if isinstance(source, Path) else io.BytesIO(source)) as container:
            yield container
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        raise DataError(name, f"is no video that can be decoded: {error}") from None
