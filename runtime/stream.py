"""Samples in the manifest's order, without torch: random access, and an iterator with exact state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import tee
from pathlib import Path
from typing import Any

from recipe_compiler.remote.access import Access
from runtime.cursor import Cursor
from runtime.partition import World, global_batches, part
from runtime.reader import Reader, Sample
from runtime.storage.ahead import read_ahead


class ManifestDataset:
    """A manifest as a sized, map-style dataset: item `i` is the draw at position `i`.

    Give it to any loader that reads in order (a sequential sampler); the order of the manifest is the order of training.
    `root` is the folder that the recipe's paths are relative to (found above the manifest unless given), `cache` holds
    the seekable form of compressed files and what was read of remote ones (`<root>/.recipe` unless given). The manifest
    may be a URL; `access` bounds how stores are asked.
    """

    def __init__(
        self,
        manifest: str | Path,
        *,
        root: str | Path | None = None,
        cache: str | Path | None = None,
        access: Access | None = None,
    ) -> None:
        self.reader = Reader(
            manifest,
            root=None if root is None else Path(root),
            cache=None if cache is None else Path(cache),
            access=access,
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

    def read(self, positions: Sequence[int]) -> list[Sample]:
        """The draws at some positions; what is remote is asked for together."""
        return self.reader.samples(positions)


class ManifestStream:
    """This rank's part of each global batch, in order, from a cursor on. `state_dict` is exact between batches.

    The state is (manifest id, draws consumed by all ranks together), so that it may be loaded under another number of
    ranks, another number of workers, or another batch size, and the next global batch is the right one. A manifest that
    was compiled to go on from another one (`recipe compile --after`) takes over its state at that position.
    """

    def __init__(
        self,
        dataset: ManifestDataset,
        *,
        global_batch: int,
        world: World | None = None,
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset
        self.global_batch = global_batch
        self.world = world or World()
        self.drop_last = drop_last
        self.cursor = Cursor(dataset.manifest_id)

    def batches(self) -> Iterator[range]:
        """The global batches that are left."""
        return global_batches(len(self.dataset), self.cursor.consumed, self.global_batch, drop_last=self.drop_last)

    def __iter__(self) -> Iterator[list[Sample]]:
        batches, parts = tee(self.batches())
        for batch, samples in zip(batches, self._read(part(batch, self.world) for batch in parts), strict=True):
            self.advance(batch)
            yield samples

    def _read(self, parts: Iterable[range]) -> Iterator[list[Sample]]:
        """This rank's samples, batch by batch."""
        if self.dataset.reader.is_remote:
            return read_ahead(self.dataset.read, parts, _media_bytes)
        return ([self.dataset[position] for position in part] for part in parts)

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


def _media_bytes(samples: list[Sample]) -> int:
    return sum(len(media.data) for sample in samples for media in sample.media if media.data is not None)
