"""A draw as the training side has it: messages, and media that are read and decoded when somebody looks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipe_compiler.errors import DataError
from runtime import decode
from runtime.decode import Clip, Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

    from runtime.storage.files import RemoteFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """An image or video of a sample: bytes in the record, or a file below the pool's media folder.

    That folder may be remote; then there is a `url`. `sha256` is what a file must hold, where that is known: in the copy of
    a manifest. What was read ahead has its bytes in memory, whichever it is.
    """

    kind: str
    path: Path | None
    data: bytes | memoryview | None
    url: str | None = None
    files: RemoteFiles | None = field(default=None, repr=False, compare=False)
    decoded: Pixels | None = field(default=None, repr=False, compare=False)
    sha256: str | None = None

    def __getstate__(self) -> list[Any]:
        data = bytes(self.data) if isinstance(self.data, memoryview) else self.data
        return [self.kind, self.path, data, self.url, self.files, self.decoded, self.sha256]

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path or self.url or f"embedded {self.kind}")

    def view(self) -> bytes | memoryview:
        """The encoded bytes, without a copy where they were read ahead.

        A file that is not there raises `DataError`, a store that does not answer `StorageError`.
        """
        data = self.data if self.data is not None else self._bytes()
        if self.sha256 is not None and hashlib.sha256(data).hexdigest() != self.sha256:
            raise DataError(str(self.path), "other bytes than were written; materialize again")
        return data

    def _bytes(self) -> bytes:
        if self.url is not None:
            assert self.files is not None
            return self.files.read_whole([self.url])[0]
        assert self.path is not None
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(str(self.path), error.strerror or "cannot be read") from None

    def read(self) -> bytes:
        """The encoded bytes. A file that is not there raises `DataError`."""
        return bytes(self.view())

    def image(self) -> Image:
        """The decoded picture, by PIL. Bytes that are no picture raise `DataError`."""
        return decode.open_picture(self.view(), self.name)

    def size(self) -> tuple[int, int]:
        """(height, width) of a picture in pixels, from its header alone. Bytes that are no picture raise `DataError`."""
        return decode.size(self._source(), self.name)

    def pixels(self) -> Pixels:
        """The picture as height x width x 3 bytes, the same as PIL's in RGB; decoded ahead where that was asked for.

        `torch.from_numpy` takes them without a copy. An orientation in EXIF is not applied.
        """
        return self.decoded if self.decoded is not None else decode.rgb(self.view(), self.name)[0]

    def clip(self, count: int) -> Clip:
        """Which `count` frames are shown of a video, by PyAV; see `decode.clip`. No pixel is made."""
        return decode.clip(self._source(), count, self.name)

    def frames(self, shown: Clip | int) -> Pixels:
        """The frames of a clip, or so many spread evenly, as frames x height x width x 3 bytes; see `decode.frames`."""
        taken = self.clip(shown) if isinstance(shown, int) else shown
        return decode.frames(self._source(), taken, self.name)

    def _source(self) -> Path | bytes | memoryview:
        return self.path if self.data is None and self.path else self.view()

    def give(self, pixels: Pixels) -> None:
        """Puts in the pixels, which whoever reads ahead does before anybody else has it."""
        object.__setattr__(self, "decoded", pixels)

    def filled(self, data: Mapping[str, bytes]) -> Media:
        """The same with the bytes of its URL, if it has one."""
        return self if self.url is None else replace(self, data=data[self.url], files=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One draw; draws of one `unit` are taken together. `messages` hold parts `{"type": "text", "text"}` and `{"type": "image", "media": index}`.

    `tombstone` says why there is nothing to learn from here: the sample could not be read or decoded, and the loader was
    asked to go on. It has no messages and no media then, and counts for no loss.
    """

    position: int
    sample_id: str
    key: str | None
    pool: str
    group: str | None
    stage: str
    rule: str
    repeat: int
    tokens: int
    messages: list[dict[str, Any]]
    media: list[Media]
    tools: str | None
    unit: int
    tombstone: str | None = None


def of_record(position: int, offset: int, reason: str) -> str:
    """Why the record of a draw cannot be used, with where it is."""
    return f"position {position:,}, byte {offset:,}: {reason}"


def of_media(position: int, reason: str) -> str:
    """Why media of a draw cannot be used, with which draw it is."""
    return f"position {position:,}: {reason}"
