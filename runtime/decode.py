"""Encoded pictures and videos -> pixels. Whoever decodes a picture, its pixels are those that PIL gives.

Ordinary JPEGs go to libjpeg-turbo by `simplejpeg`, which needs half of PIL's time and lets other threads run, where it is
installed and was seen to agree with PIL; whatever it finds strange, and all else, goes to PIL itself. Pictures come as they
are stored: an orientation that EXIF states is not applied, as PIL does not when it opens a file.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import kernels
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


TURBO = "simplejpeg"
PILLOW = "Pillow"
#: Frames of a video larger than this are refused, as PIL refuses pictures.
_MOST_FRAME_PIXELS = 1 << 27


def fresh_memory(size: int) -> NDArray[np.uint8]:
    """Memory of its own for each picture."""
    return np.empty(size, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Decoder:
    """What decodes ordinary JPEGs here, and why: `turbo` is None where PIL does it all."""

    turbo: ModuleType | None
    says: str


@cache
def decoder() -> Decoder:
    """The decoder of this process. simplejpeg is believed only after it gave PIL's pixels for small pictures of each kind."""
    try:
        import simplejpeg
    except ModuleNotFoundError:
        return Decoder(None, "Pillow; `simplejpeg` is not installed")
    for data in _proofs():
        found = np.empty((19, 21, 3), dtype=np.uint8)
        simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=found)
        if not np.array_equal(found, np.asarray(_open(data, "a proof").convert("RGB"))):
            return Decoder(None, f"Pillow; the pixels of simplejpeg {simplejpeg.__version__} are not Pillow's")
    return Decoder(simplejpeg, f"simplejpeg {simplejpeg.__version__} (libjpeg-turbo), with the pixels of Pillow")


def _proofs() -> list[bytes]:
    """Small JPEGs of each sampling, of one colour and of three, baseline and progressive."""
    from PIL import Image

    ramp = np.arange(19 * 21 * 3, dtype=np.uint32).reshape(19, 21, 3)
    picture = Image.fromarray((ramp * ramp // 7 % 251).astype(np.uint8))
    proofs = []
    for progressive in (False, True):
        for mode, sampling in (("RGB", 0), ("RGB", 1), ("RGB", 2), ("L", 0)):
            out = io.BytesIO()
            picture.convert(mode).save(out, "JPEG", quality=90, subsampling=sampling, progressive=progressive)
            proofs.append(out.getvalue())
    return proofs


def open_picture(data: bytes | memoryview, name: str) -> Image:
    """The decoded picture as PIL has it. Bytes that are no picture raise `DataError`, under the name they are given."""
    return _decoded(_open(data, name), name)


def size(source: Path | bytes | memoryview, name: str) -> tuple[int, int]:
    """(height, width) of a picture, from its header alone. What is no picture raises `DataError`."""
    with _open(source, name) as picture:
        return picture.height, picture.width


def _open(source: Path | bytes | memoryview, name: str) -> Image:
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        raise PackageMissing("pillow", "images") from None
    try:
        return Image.open(source if isinstance(source, Path) else io.BytesIO(source))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise _no_picture(name, error) from None


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
    """The shape of the pixels of a picture that libjpeg-turbo decodes here; None of any other."""
    if decoder().turbo is None or bytes(data[:3]) != b"\xff\xd8\xff":
        return None
    size = kernels.ordinary_jpeg(data)
    return None if size is None else (*size, 3)


def turbo(data: bytes | memoryview, pixels: Pixels) -> bool:
    """Decodes an ordinary picture into memory of its shape; False where it is cut or damaged, and PIL decides what that means."""
    by = decoder().turbo
    assert by is not None
    try:
        by.decode_jpeg(data, colorspace="RGB", buffer=pixels, strict=True)
    except ValueError:
        return False
    return True


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
    if shape is not None and turbo(data, pixels := lend(math.prod(shape)).reshape(shape)):
        return pixels, TURBO
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
