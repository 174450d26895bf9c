"""Spans of remote files as bytes: from the blocks on this disk, or from their store, which is asked in few requests."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recipe_compiler import kernels
from recipe_compiler.errors import DataError
from recipe_compiler.manifest.schema import SourceRef
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.copies import Copies
from recipe_compiler.remote.stat import Stat
from runtime.storage.blocks import BLOCK, Blocks

#: Neighbouring blocks that are asked for in one request.
_RUN: Final = 32
#: Blocks that stay in memory, 64 MiB in all: coming batches often want the same ones.
_RECENT: Final = 256
#: No medium that was compiled is longer, see `rust_core/src/bounds.rs`.
_MAX_MEDIUM: Final = 512 << 20
#: Files whose length and mark are remembered.
_REMEMBERED: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Pinned:
    """A remote file, and its length and the digest of its bytes as they were compiled. Media are known by URL alone."""

    url: str
    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `stop` of a remote file."""

    file: Pinned
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of a file as it is in its store now."""

    url: str
    stat: Stat
    number: int

    @property
    def key(self) -> str:
        parts = (self.url, str(self.stat.size), self.stat.mark, str(self.number))
        return kernels.digest_parts("block", [part.encode() for part in parts])

    @property
    def ends(self) -> tuple[int, int]:
        return self.number * BLOCK, min((self.number + 1) * BLOCK, self.stat.size)


class RemoteFiles:
    """Remote files of a process, by way of the cache of its node. Safe for threads, not for forked processes.

    What a store says of a file is asked once; a file that is another one later is refused.
    """

    def __init__(self, cache: Path, access: Access) -> None:
        self._made_of = cache, access
        self.copies = Copies(cache, access)
        self._stores = self.copies.stores
        self._blocks = Blocks(cache / "blocks", access.cache_bytes)
        self._stats: dict[str, Stat] = {}
        self._recent: OrderedDict[_Block, bytes] = OrderedDict()
        self._on_the_way: dict[_Block, asyncio.Task[dict[_Block, bytes]]] = {}

    def __reduce__(self) -> tuple[type[RemoteFiles], tuple[Path, Access]]:
        return RemoteFiles, self._made_of

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """The bytes of each span. Raises `DataError` where a file is not the pinned one, `StorageError` where its store
        does not answer."""
        return self._stores.run(self._read, spans)

    def read_whole(self, urls: Sequence[str]) -> list[bytes]:
        """All bytes of each file."""
        return self._stores.run(self._read_whole, urls)

    def span(self, ref: SourceRef, offset: int, length: int, *, as_compiled: bool) -> Span:
        """Bytes of a file of a pool: as it was compiled, or as it is now."""
        file = Pinned(ref.path, ref.size, ref.digest) if as_compiled else Pinned(ref.path)
        return Span(file, offset, offset + length)

    def local(self, ref: SourceRef) -> Path | None:
        """A copy of a file of a pool on this disk, or None where it is read in parts.

        A compressed file cannot be read in parts and is fetched now. Raises as `read` does.
        """
        kept = self.copies.kept(ref.digest, ref.size)
        if kept is not None or ref.wrapping == "plain":
            return kept
        stat = self._stores.run(self._stat, Pinned(ref.path, ref.size, ref.digest))
        copy = self.copies.get(ref.path, stat)
        if copy.digest != ref.digest:
            raise _changed(ref.path)
        return copy.path

    async def _read_whole(self, urls: Sequence[str]) -> list[bytes]:
        files = [Pinned(url) for url in urls]
        stats = await asyncio.gather(*(self._stat(file) for file in files))
        for file, stat in zip(files, stats, strict=True):
            if stat.size > _MAX_MEDIUM:
                raise DataError(file.url, f"a medium of {stat.size:,} bytes, and one has at most {_MAX_MEDIUM:,}")
        return await self._read([Span(file, 0, stat.size) for file, stat in zip(files, stats, strict=True)])

    async def _read(self, spans: Sequence[Span]) -> list[bytes]:
        files = list(dict.fromkeys(span.file for span in spans))
        stats = dict(zip(files, await asyncio.gather(*(self._stat(file) for file in files)), strict=True))
        for span in spans:
            if span.stop > stats[span.file].size:
                raise DataError(span.file.url, f"ends before byte {span.stop:,}; it was cut short")
        needed = [
            [
                _Block(span.file.url, stats[span.file], number)
                for number in range(span.start // BLOCK, -(-span.stop // BLOCK) if span.stop > span.start else 0)
            ]
            for span in spans
        ]
        found = await self._fetched(sorted({block for blocks in needed for block in blocks}, key=_by_place))
        return [
            b"".join(
                found[block][max(span.start - block.number * BLOCK, 0) : span.stop - block.number * BLOCK]
                for block in blocks
            )
            for span, blocks in zip(spans, needed, strict=True)
        ]

    async def _stat(self, file: Pinned) -> Stat:
        stat = self._stats.get(file.url)
        if stat is None:
            stat = await self._stores.look(file.url)
            if len(self._stats) >= _REMEMBERED:
                self._stats.clear()
            self._stats[file.url] = stat
        if file.size not in (None, stat.size):
            raise DataError(file.url, f"{stat.size:,} bytes where {file.size:,} were compiled")
        known = None if file.digest is None else self.copies.known(file.url, stat)
        if known not in (None, file.digest):
            raise _changed(file.url)
        return stat

    async def _fetched(self, blocks: Sequence[_Block]) -> dict[_Block, bytes]:
        """Blocks from this disk; the others from their stores, those that are asked for already not once more."""
        here = {block: self._recent[block] for block in blocks if block in self._recent}
        here |= await asyncio.to_thread(self._kept, [block for block in blocks if block not in here])
        tasks = []
        run: list[_Block] = []
        for block in blocks:
            if block in here:
                continue
            flying = self._on_the_way.get(block)
            if flying is not None:
                tasks.append(flying)
                continue
            if run and (len(run) == _RUN or run[-1].url != block.url or run[-1].number + 1 != block.number):
                tasks.append(self._ask(run))
                run = []
            run.append(block)
        if run:
            tasks.append(self._ask(run))
        for answer in await asyncio.gather(*dict.fromkeys(tasks)):
            here.update(answer)
        for block in blocks:
            if block.stat.mark:
                self._recent[block] = here[block]
                self._recent.move_to_end(block)
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return here

    def _kept(self, blocks: Sequence[_Block]) -> dict[_Block, bytes]:
        found = ((block, self._blocks.get(block.key)) for block in blocks if block.stat.mark)
        return {block: data for block, data in found if data is not None and len(data) == block.ends[1] - block.ends[0]}

    def _ask(self, run: list[_Block]) -> asyncio.Task[dict[_Block, bytes]]:
        task = asyncio.get_running_loop().create_task(self._run(run))
        self._on_the_way.update(dict.fromkeys(run, task))
        return task

    async def _run(self, run: list[_Block]) -> dict[_Block, bytes]:
        """Neighbouring blocks in one request, kept on this disk where their file can be told from another."""
        begin = run[0].ends[0]
        try:
            data = await self._stores.fetch(run[0].url, begin, run[-1].ends[1], run[0].stat.mark)
            found = {block: data[block.ends[0] - begin : block.ends[1] - begin] for block in run}
            if run[0].stat.mark:
                await asyncio.to_thread(self._keep, found)
            return found
        finally:
            for block in run:
                self._on_the_way.pop(block, None)

    def _keep(self, found: dict[_Block, bytes]) -> None:
        for block, data in found.items():
            self._blocks.put(block.key, data)


def _by_place(block: _Block) -> tuple[str, int]:
    return block.url, block.number


def _changed(url: str) -> DataError:
    return DataError(url, "holds other bytes than were compiled; bring back those, or compile anew")
