"""Samples in the manifest's order, without torch: random access, and an iterator with exact state."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from runtime.cursor import Cursor
from runtime.partition import World, global_batches, part
from runtime.readahead.reading import Reading, Told, read
from runtime.reader import Reader, Sample


class ManifestDataset:
    """A manifest as a sized, map-style dataset: item `i` is the draw at position `i`.

    Give it to any loader that reads in order (a sequential sampler); the order of the manifest is the order of training.
    `root` is the folder that the recipe's paths are relative to (found above the manifest unless given), `cache` holds
    the seekable form of compressed files (`<root>/.recipe` unless given).
    """

    def __init__(
        self, manifest: str | Path, *, root: str | Path | None = None, cache: str | Path | None = None
    ) -> None:
        self.reader = Reader(
            Path(manifest), root=None if root is None else Path(root), cache=None if cache is None else Path(cache)
        )

    @property
    def manifest_id(self) -> str:
        """The identity that a cursor belongs to."""
        return self.reader.manifest.ids.manifest

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, position: int) -> Sample:
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(position)
        return self.reader.sample(position)


class ManifestStream:
    """This rank's part of each global batch, in order, from a cursor on. `state_dict` is exact between batches.

    The state is (manifest id, draws consumed by all ranks together), so that it may be loaded under another number of
    ranks, another number of workers, or another batch size, and the next global batch is the right one. A manifest that
    was compiled to go on from another one (`recipe compile --after`) takes over its state at that position.

    Batches are read ahead by threads of this process, as `reading` says (`Reading` has its settings). Iterating raises
    `DataError` with the file and the position where a sample cannot be read, and the state is then the one before its
    batch. `told` has the tombstones that were handed over, and who decoded how many pictures.
    """

    def __init__(
        self,
        dataset: ManifestDataset,
        *,
        global_batch: int,
        world: World | None = None,
        drop_last: bool = False,
        reading: Reading | None = None,
    ) -> None:
        self.dataset = dataset
        self.global_batch = global_batch
        self.world = world or World()
        self.drop_last = drop_last
        self.reading = reading or Reading()
        self.told = Told()
        self.cursor = Cursor(dataset.manifest_id)

    def batches(self) -> Iterator[range]:
        """The global batches that are left."""
        return global_batches(len(self.dataset), self.cursor.consumed, self.global_batch, drop_last=self.drop_last)

    def __iter__(self) -> Iterator[list[Sample]]:
        for batch, samples in self.read():
            self.advance(batch)
            yield samples

    def read(self) -> Generator[tuple[range, list[Sample]], None, None]:
        """Each global batch that is left with this rank's samples of it. Whoever takes them advances the stream."""
        parts = (part(batch, self.world) for batch in self.batches())
        with closing(read(self.dataset.reader, parts, self.reading, self.told)) as samples_of:
            yield from zip(self.batches(), samples_of, strict=True)

    @property
    def tombstones(self) -> list[tuple[int, str]]:
        """The samples handed over that could not be read, as (position, reason)."""
        return self.told.tombstones

    def __len__(self) -> int:
        left = len(self.dataset) - self.cursor.consumed
        return left // self.global_batch if self.drop_last else -(-left // self.global_batch)

    def advance(self, batch: range) -> None:
        """Notes that a global batch was handed over."""
        self.cursor = Cursor(self.cursor.manifest, batch.stop)

    def state_dict(self) -> dict[str, Any]:
        """The state after the batches that were handed over."""
        return self.cursor.to_state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a saved state was taken: with its manifest, or with the one that goes on from it right there.

        A state of any other manifest raises `ForeignManifest`.
        """
        self.cursor = Cursor.from_state(state, manifest=self.dataset.reader.manifest)
