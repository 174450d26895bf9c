"""Samples in the manifest's order, without torch: random access, and an iterator with exact state."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby, tee
from pathlib import Path
from typing import Any

from recipe_compiler.manifest.schema import Manifest
from recipe_compiler.remote.access import Access
from runtime.cursor import Cursor
from runtime.errors import StreamError
from runtime.packs import Units
from runtime.partition import World, global_batches, part
from runtime.readahead.reading import Reading, Told, read, read_some
from runtime.reader import Reader
from runtime.sample import Sample


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
        return read_some(self.reader, positions, Reading())


def as_packs(samples: list[Sample]) -> list[list[Sample]]:
    """Consecutive samples, a list for each pack."""
    return [list(pack) for _, pack in groupby(samples, key=lambda sample: sample.unit)]


def _global_batch(manifest: Manifest, kind: str, given: int | None) -> int:
    """How many units a global batch has."""
    own = manifest.global_batch
    if kind == "batch" and given not in (None, own):
        raise StreamError(
            f"the manifest has batches of its own, of tokens, and {given:,} of them are not one; leave it out"
        )
    if given is None and own is None:
        raise StreamError("say how many draws or packs a global batch has: the recipe says nothing of it")
    size = given if given is not None else own
    assert size is not None
    if size < 1:
        raise StreamError(f"a global batch of {size:,} is not at least one {kind}")
    return size


class ManifestStream:
    """This rank's part of each global batch, in order, from a cursor on. `state_dict` is exact between batches.

    The state is (manifest id, draws consumed by all ranks together), so that it may be loaded under another number of
    ranks, another number of workers, or another batch size, and the next global batch is the right one. A manifest that
    was compiled to go on from another one (`recipe compile --after`) takes over its state at that position.

    `global_batch` counts draws, or packs in a packed manifest; the recipe's own unless given. A manifest with batches of
    tokens has batches of its own, and takes no other. `consumed` counts draws in each case.

    Batches are read ahead by threads of this process, as `reading` says (`Reading` has its settings). Iterating raises
    `DataError` with the file and the position where a sample cannot be read, and the state is then the one before its
    batch. `told` has the tombstones that were handed over, and who decoded how many pictures.
    """

    def __init__(
        self,
        dataset: ManifestDataset,
        *,
        global_batch: int | None = None,
        world: World | None = None,
        drop_last: bool = False,
        reading: Reading | None = None,
    ) -> None:
        self.dataset = dataset
        reader = dataset.reader
        self.kind = "draw" if reader.manifest.units is None else reader.manifest.units.kind
        self.units = None if self.kind == "draw" else Units(reader.manifest, reader.units)
        self.global_batch = _global_batch(reader.manifest, self.kind, global_batch)
        self.world = world or World()
        self.drop_last = drop_last
        self.reading = reading or Reading()
        self.told = Told()
        self.cursor = Cursor(dataset.manifest_id)

    def batches(self) -> Iterator[range]:
        """The positions of the global batches that are left."""
        done, size, units = self.cursor.consumed, self.global_batch, self.units
        if units is None:
            return global_batches(len(self.dataset), done, size, drop_last=self.drop_last)
        found = global_batches(units.count, units.number(done), size, drop_last=self.drop_last)
        return (range(units.start(batch.start), units.start(batch.stop)) for batch in found)

    def step(self, number: int) -> range:
        """The positions of a global batch by its number, from 0; behind the last one there are none."""
        batch = range(number * self.global_batch, (number + 1) * self.global_batch)
        return batch if self.units is None else range(self.units.start(batch.start), self.units.start(batch.stop))

    def own(self, batch: range) -> range:
        """The positions of a global batch that this rank reads: whole packs where there are packs, else draws."""
        if self.units is None or self.kind != "pack":
            return part(batch, self.world)
        packs = part(range(self.units.number(batch.start), self.units.number(batch.stop)), self.world)
        return range(self.units.start(packs.start), self.units.start(packs.stop))

    def grouped(self, samples: list[Sample]) -> list[Sample] | list[list[Sample]]:
        """This rank's samples as they are handed over: each pack as a list of its own where there are packs."""
        return as_packs(samples) if self.kind == "pack" else samples

    def __iter__(self) -> Iterator[list[Sample] | list[list[Sample]]]:
        for batch, samples in self.read():
            self.advance(batch)
            yield self.grouped(samples)
            del samples

    def read(self) -> Generator[tuple[range, list[Sample]], None, None]:
        """Each global batch that is left with this rank's samples of it. Whoever takes them advances the stream."""
        batches, coming = tee(self.batches())
        parts = (self.own(batch) for batch in coming)
        with closing(read(self.dataset.reader, parts, self.reading, self.told)) as samples_of:
            for batch in batches:
                # `zip` would keep the samples while the next ones are waited for.
                yield batch, next(samples_of)

    @property
    def tombstones(self) -> list[tuple[int, str]]:
        """The samples handed over that could not be read, as (position, reason)."""
        return self.told.tombstones

    def __len__(self) -> int:
        """How many global batches are left; the same for every rank."""
        units, done = self.units, self.cursor.consumed
        left = len(self.dataset) - done if units is None else units.count - units.number(done)
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
