"""Files of draws that are whole or not there, and the receipts by which a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.errors import DataError
from recipe_compiler.manifest.files import sync, write_bytes_atomically
from runtime.copies import DATA, WrittenFile, encode_locators, locators_path
from runtime.materialize import parquet
from runtime.materialize.containers import Container, Mds
from runtime.materialize.encoding import Chunk

#: What a run that goes on needs to know lies here until all is written.
WORK = ".materialize"


class Shard:
    """A file that is being written, under a name that no reader looks at."""

    def __init__(self, out: Path, number: int, start: int, container: Container | None) -> None:
        self.out, self.number, self.start, self.container = out, number, start, container
        self.name = f"shard-{number:06}.parquet" if container is None else container.name(number)
        self.sizes: list[int] = []
        self._held: list[memoryview] = []
        self._temporary = out / DATA / f".{self.name}.part"
        self._writer: Any = None
        self._file: Any = None
        if container is None:
            self._writer = parquet.writer(str(self._temporary))
        else:
            self._file = self._temporary.open("wb")

    def add(self, chunk: Chunk, first: int, stop: int) -> None:
        """Appends the draws `first` to `stop` of a chunk."""
        sizes = chunk.sizes[first:stop]
        self.sizes += sizes
        if self._writer is not None:
            self._writer.write_table(parquet.decode(chunk.data).slice(first, stop - first))
            return
        begin = sum(chunk.sizes[:first])
        data = memoryview(chunk.data)[begin : begin + sum(sizes)]
        if isinstance(self.container, Mds):
            # What stands before the records depends on all of them.
            self._held.append(data)
        else:
            self._file.write(data)

    def close(self) -> WrittenFile:
        """Completes the file, syncs it, moves it into place and leaves its receipt."""
        offsets = np.zeros(len(self.sizes), dtype=np.uint64)
        if self._writer is not None:
            self._writer.close()
        else:
            assert self.container is not None
            head, tail = self.container.frame(self.sizes)
            offsets = np.cumsum([len(head), *self.sizes], dtype=np.uint64)[:-1]
            with self._file as file:
                file.writelines([head, *self._held, tail])
        self._held.clear()
        sync(self._temporary)
        target = self.out / DATA / self.name
        self._temporary.replace(target)
        locators = ""
        if self.container is not None:
            table = np.stack([offsets, np.array(self.sizes, np.uint64)], axis=1)
            data = encode_locators(table)
            write_bytes_atomically(self.out / locators_path(self.name), data)
            locators = kernels.digest_parts("locators", [data])
        sync(target.parent)
        written = WrittenFile(
            name=self.name,
            start=self.start,
            draws=len(self.sizes),
            size=target.stat().st_size,
            digest=kernels.digest_file(target),
            locators=locators,
        )
        write_bytes_atomically(self.out / WORK / f"{self.number:06}.json", json.dumps(asdict(written)).encode())
        return written

    def abandon(self) -> None:
        """Lets go of a file that will not be completed."""
        with suppress(Exception):
            (self._writer or self._file).close()
        self._temporary.unlink(missing_ok=True)


def finished(out: Path) -> list[WrittenFile]:
    """The files that an earlier run completed, from the first on, as far as they are what their receipts say."""
    found: list[WrittenFile] = []
    for receipt in _receipts(out):
        try:
            written = WrittenFile(**json.loads(receipt.read_bytes()))
        except (ValueError, TypeError):
            break
        if written.start != sum(file.draws for file in found) or difference(out, written) is not None:
            break
        found.append(written)
    return found


def _receipts(out: Path) -> Iterator[Path]:
    number = 0
    while (path := out / WORK / f"{number:06}.json").exists():
        yield path
        number += 1


def difference(out: Path, written: WrittenFile) -> str | None:
    """How a file, or its locators, differ from what was written; None where they do not."""
    path = out / DATA / written.name
    try:
        if path.stat().st_size != written.size:
            return f"{path.stat().st_size:,} bytes where {written.size:,} were written"
        if kernels.digest_file(path) != written.digest:
            return "other bytes than were written"
        if written.locators:
            located = (out / locators_path(written.name)).read_bytes()
            if kernels.digest_parts("locators", [located]) != written.locators:
                return "its locators are not those that were written"
    except DataError as error:
        return error.reason
    except OSError as error:
        return error.strerror or "cannot be read"
    return None
