"""The torch side: a `DataLoader` over a manifest whose state counts what was delivered, not what was prefetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from runtime.errors import StreamError
from runtime.partition import World
from runtime.readahead.reading import Reading, buried, read_some
from runtime.sample import Sample
from runtime.stream import ManifestDataset, ManifestStream, as_packs

Batch = TypeVar("Batch")


def as_listed(samples: list[Sample]) -> list[Sample]:
    """The collate function that leaves samples as they are."""
    return samples


def _of_packs(collate: Callable[[Any], Batch], samples: list[Sample]) -> Batch:
    return collate(as_packs(samples))


class TorchManifestDataset(Dataset[Sample]):
    """`ManifestDataset` as a torch dataset, for loaders with workers of their own."""

    def __init__(self, dataset: ManifestDataset, reading: Reading | None = None) -> None:
        self.dataset = dataset
        self.reading = reading or Reading()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Sample:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: list[int]) -> list[Sample]:
        return read_some(self.dataset.reader, positions, self.reading)


class _RankBatches(Sampler[list[int]]):
    """The positions this rank reads of each global batch that is left."""

    def __init__(self, stream: ManifestStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[list[int]]:
        return (list(self.stream.own(batch)) for batch in self.stream.batches())

    def __len__(self) -> int:
        return len(self.stream)


class _Collate(Generic[Batch]):
    """Collates in a worker, and tells beside the batch which of its samples are tombstones."""

    def __init__(self, collate: Callable[[list[Sample]], Batch]) -> None:
        self.collate = collate

    def __call__(self, samples: list[Sample]) -> tuple[list[tuple[int, str]], Batch]:
        return buried(samples), self.collate(samples)


class ManifestLoader(Generic[Batch]):
    """Batches of this rank, in order; `state_dict` is exact after each batch.

    `collate` makes a batch of the rank's samples (a list, which may be empty for the last global batch); where the manifest
    is packed, of its packs (a list of lists). Every rank makes the same number of steps. Samples are read ahead by threads
    of this process, as `reading` says. Where `collate` itself takes long, `num_workers` processes read and collate instead;
    `options` are those of a torch `DataLoader` for them.
    """

    def __init__(
        self,
        dataset: ManifestDataset,
        *,
        global_batch: int | None = None,
        world: World | None = None,
        num_workers: int = 0,
        collate: Callable[[Any], Batch] = as_listed,  # type: ignore[assignment]
        drop_last: bool = False,
        reading: Reading | None = None,
        **options: Any,
    ) -> None:
        self.stream = ManifestStream(
            dataset,
            global_batch=global_batch,
            world=world or World.from_environment(),
            drop_last=drop_last,
            reading=reading,
        )
        if options and not num_workers:
            named = ", ".join(sorted(options))
            raise StreamError(f"{named}: options of worker processes, and there are none; give num_workers")
        self._collate = partial(_of_packs, collate) if self.stream.kind == "pack" else collate
        self._num_workers = num_workers
        self._options = options

    def __iter__(self) -> Iterator[Batch]:
        return self._by_workers() if self._num_workers else self._here()

    def _here(self) -> Iterator[Batch]:
        for global_batch, samples in self.stream.read():
            batch = self._collate(samples)
            del samples
            self.stream.advance(global_batch)
            yield batch
            del batch

    def _by_workers(self) -> Iterator[Batch]:
        stream = self.stream
        loader: DataLoader[Sample] = DataLoader(
            TorchManifestDataset(stream.dataset, stream.reading),
            batch_sampler=_RankBatches(stream),
            num_workers=self._num_workers,
            collate_fn=_Collate(self._collate),
            **self._options,
        )
        for global_batch, (tombstones, batch) in zip(stream.batches(), loader, strict=True):
            stream.advance(global_batch)
            stream.tombstones.extend(tombstones)
            yield batch

    @property
    def tombstones(self) -> list[tuple[int, str]]:
        """The samples handed over that could not be read, as (position, reason)."""
        return self.stream.tombstones

    def __len__(self) -> int:
        return len(self.stream)

    def state_dict(self) -> dict[str, Any]:
        """The state after the batches that were handed over; what was read ahead does not count."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a saved state was taken."""
        self.stream.load_state_dict(state)


class TorchManifestStream(IterableDataset[list[Sample] | list[list[Sample]]]):
    """`ManifestStream` as a torch iterable dataset, for `DataLoader(..., batch_size=None)` with any number of workers.

    Worker `w` of `n` reads every `n`-th batch from the `w`-th on, and the loader takes their batches in turn, so that
    they come in order. The state moves only without workers; with workers let `ManifestLoader` keep it.
    """

    def __init__(self, stream: ManifestStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[list[Sample] | list[list[Sample]]]:
        worker = get_worker_info()
        if worker is None:
            yield from self.stream
            return
        for number, batch in enumerate(self.stream.batches()):
            if number % worker.num_workers == worker.id:
                yield self.stream.grouped(
                    read_some(self.stream.dataset.reader, self.stream.own(batch), self.stream.reading)
                )

    def __len__(self) -> int:
        return len(self.stream)
