"""How records are laid out in files that are read back by byte range: WebDataset, MDS, JSON Lines.

`encode` gives the bytes of one record, in parts. `frame` gives what stands before and after the records of a file, of which only
the sizes need be known. Nothing depends on a clock, a user or a machine.
"""

from __future__ import annotations

import json
import os
import struct
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from runtime.copies import MEDIA, WrittenFile, media_name
from runtime.materialize.records import Attachment, Record

_BLOCK = 512
#: An archive ends with two blocks of zeros.
_END = bytes(2 * _BLOCK)


class Container(Protocol):
    """A format of files of records."""

    def name(self, number: int) -> str:
        """The name of the file with this number."""

    def encode(self, record: Record) -> list[bytes]:
        """The bytes of one record, in parts."""

    def frame(self, sizes: Sequence[int]) -> tuple[bytes, bytes]:
        """What stands before and after records of these sizes."""

    def overhead(self, draws: int) -> int:
        """How many bytes the frame of a file of so many draws has."""

    def index(self, files: Sequence[WrittenFile]) -> bytes | None:
        """What other software wants to find as `index.json` beside the files."""


@dataclass(frozen=True, slots=True)
class WebDataset:
    """Tar archives: of each draw `<position>.json`, then `<position>.0.jpg` and so on."""

    def name(self, number: int) -> str:
        """`shard-000003.tar`."""
        return f"shard-{number:06}.tar"

    def encode(self, record: Record) -> list[bytes]:
        """The members of one sample, headers included."""
        names = record.members()
        parts = _member(f"{record.name}.json", record.text([{"member": name} for name in names]))
        for name, attachment in zip(names, record.attachments, strict=True):
            parts += _member(f"{record.name}.{name}", attachment.data)
        return parts

    def frame(self, sizes: Sequence[int]) -> tuple[bytes, bytes]:
        """Nothing, and the mark of the end."""
        return b"", _END

    def overhead(self, draws: int) -> int:
        """The mark of the end."""
        return len(_END)

    def index(self, files: Sequence[WrittenFile]) -> bytes | None:
        """None is needed."""
        return None


#: A header of nobody's file of 1970, without its name, its size and its checksum.
_HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_SIZE, _SUM = slice(124, 136), slice(148, 156)


def _member(name: str, content: bytes) -> list[bytes]:
    header = bytearray(_HEADER)
    header[: len(name)] = name.encode("ascii")
    header[_SIZE] = b"%011o\0" % len(content)
    header[_SUM] = b" " * 8
    header[_SUM] = b"%06o\0 " % sum(header)
    return [bytes(header), content, bytes(-len(content) % _BLOCK)]


@dataclass(frozen=True, slots=True)
class Mds:
    """MosaicML Streaming: the columns `media` (the bytes of all media, one after another) and `record`."""

    def name(self, number: int) -> str:
        """`shard.00003.mds`."""
        return f"shard.{number:05}.mds"

    def encode(self, record: Record) -> list[bytes]:
        """The lengths of the columns, then the columns in the order of their names."""
        text = record.text([{"member": name} for name in record.members()])
        media = [attachment.data for attachment in record.attachments]
        return [struct.pack("<II", sum(map(len, media)), len(text)), *media, text]

    def frame(self, sizes: Sequence[int]) -> tuple[bytes, bytes]:
        """The number of samples, the place of each, and the configuration as text."""
        config = json.dumps(self._config(), sort_keys=True).encode()
        places = np.cumsum([self.overhead(len(sizes)), *sizes], dtype=np.uint64)
        return struct.pack("<I", len(sizes)) + places.astype("<u4").tobytes() + config, b""

    def overhead(self, draws: int) -> int:
        """The number, the places and the configuration."""
        return 4 + 4 * (draws + 1) + len(json.dumps(self._config()))

    def index(self, files: Sequence[WrittenFile]) -> bytes | None:
        """`index.json` of version 2."""
        shards = [
            {
                **self._config(),
                "raw_data": {"basename": file.name, "bytes": file.size, "hashes": {}},
                "samples": file.draws,
                "version": 2,
                "zip_data": None,
            }
            for file in files
        ]
        return json.dumps({"shards": shards, "version": 2}, sort_keys=True).encode()

    def _config(self) -> dict[str, Any]:
        return {
            "column_encodings": ["bytes", "json"],
            "column_names": ["media", "record"],
            "column_sizes": [None, None],
            "compression": None,
            "format": "mds",
            "hashes": [],
            "size_limit": None,
        }


@dataclass(frozen=True, slots=True)
class JsonLines:
    """A record a line, and media as files that are named by their content, below `data/media` of a folder."""

    folder: Path

    def name(self, number: int) -> str:
        """`shard-000003.jsonl`."""
        return f"shard-{number:06}.jsonl"

    def encode(self, record: Record) -> list[bytes]:
        """The line; its media are written at once. `images` and `videos` list their paths for other software."""
        paths = [self._keep(attachment) for attachment in record.attachments]
        kinds = [attachment.kind for attachment in record.attachments]
        lists = {
            f"{kind}s": [path for path, found in zip(paths, kinds, strict=True) if found == kind]
            for kind in ("image", "video")
        }
        return [record.text([{"path": path} for path in paths], **lists), b"\n"]

    def frame(self, sizes: Sequence[int]) -> tuple[bytes, bytes]:
        """Nothing."""
        return b"", b""

    def overhead(self, draws: int) -> int:
        """None."""
        return 0

    def index(self, files: Sequence[WrittenFile]) -> bytes | None:
        """None is needed."""
        return None

    def _keep(self, attachment: Attachment) -> str:
        """Writes a file of media unless it is there as it should be; its path below `data`."""
        name = media_name(attachment.sha256, attachment.extension)
        path = self.folder / MEDIA / name
        if not _holds(path, attachment.data):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
            with os.fdopen(handle, "wb") as file:
                file.write(attachment.data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        return f"{Path(MEDIA).name}/{name}"


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False
