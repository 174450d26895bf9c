"""A sample as a record of its own: canonical JSON that keeps every part in its place, and its media as bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from recipe_compiler import scanning
from recipe_compiler.errors import DataError
from runtime.sample import Media, Sample

#: What a file is, by how it begins. A RIFF file and an ISO one say it after their first bytes.
_BEGINNINGS = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)
_RIFF = {b"WEBP": "webp", b"AVI ": "avi"}
_ISO = {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic", b"mif1": "heic", b"qt  ": "mov"}
_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "webp": "image/webp",
    "avif": "image/avif",
    "heic": "image/heic",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "avi": "video/x-msvideo",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "bin": "application/octet-stream",
}
#: No sample that is read back is larger, see `rust_core/src/bounds.rs`; what surrounds its parts is counted generously.
_MAX_SAMPLE_BYTES = (512 << 20) - (1 << 20)


@dataclass(frozen=True, slots=True)
class Attachment:
    """Media of a record: the bytes, and the ending that other software knows such bytes by."""

    kind: str
    extension: str
    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """A draw, ready to be written."""

    sample: Sample
    attachments: tuple[Attachment, ...]

    @classmethod
    def of(cls, sample: Sample) -> Record:
        """Reads the media of a sample. One that is too large to be read back raises `DataError`."""
        attachments = tuple(_attachment(media) for media in sample.media)
        if sum(len(attachment.data) for attachment in attachments) > _MAX_SAMPLE_BYTES:
            reason = f"position {sample.position:,} has over {_MAX_SAMPLE_BYTES >> 20} MiB of media"
            raise DataError(sample.pool, f"{reason}; keep the manifest as it is, or cut its videos")
        return cls(sample, attachments)

    @property
    def name(self) -> str:
        """The name of the draw in an archive: its position."""
        return f"{self.sample.position:012}"

    def text(self, places: Sequence[dict[str, str]], **more: Any) -> bytes:
        """The record as JSON with its proof. `places` says where each of the media is: `member` beside it, or a `path`."""
        sample = self.sample
        media = [
            {
                "kind": attachment.kind,
                "mime": _TYPES[attachment.extension],
                "bytes": len(attachment.data),
                "sha256": attachment.sha256,
                **place,
            }
            for attachment, place in zip(self.attachments, places, strict=True)
        ]
        document = {
            "id": sample.sample_id,
            "source_key": sample.key,
            "pool": sample.pool,
            "group": sample.group,
            "stage": sample.stage,
            "rule": sample.rule,
            "position": sample.position,
            "repeat": sample.repeat,
            "messages": sample.messages,
            "media": media,
            "tools": sample.tools,
            **more,
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        beside = [
            attachment.data for attachment, place in zip(self.attachments, places, strict=True) if "member" in place
        ]
        return text[:-1] + b',"proof":"%s"}' % scanning.prove(text, beside).encode()

    def members(self) -> list[str]:
        """The names of the media beside the record: `0.jpg`, `1.png`."""
        return [f"{number}.{attachment.extension}" for number, attachment in enumerate(self.attachments)]


def _attachment(media: Media) -> Attachment:
    data = media.read()
    return Attachment(media.kind, extension(data, media.path), data, hashlib.sha256(data).hexdigest())


def extension(data: bytes, path: PurePath | None) -> str:
    """The ending for bytes: by what they are, else the one they had, if it is of an image or a video; else `bin`."""
    for beginning, found in _BEGINNINGS:
        if data.startswith(beginning):
            return found
    if data.startswith(b"RIFF") and data[8:12] in _RIFF:
        return _RIFF[data[8:12]]
    if data[4:8] == b"ftyp":
        return _ISO.get(data[8:12], "mp4")
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "webm" if b"webm" in data[:64] else "mkv"
    had = "" if path is None else path.suffix.lower().removeprefix(".")
    return had if had in _TYPES else "bin"
