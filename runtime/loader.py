"""The torch side: a `DataLoader` over a manifest whose state counts what was delivered, not what was prefetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from runtime.partition import World, part
from runtime.reader import Sample
from runtime.stream import ManifestDataset, ManifestStream

Batch = TypeVar("Batch")


def as_listed(samples: list[Sample]) -> list[Sample]:
    """The collate function that leaves samples as they are."""
    return samples


class TorchManifestDataset(Dataset[Sample]):
    """`ManifestDataset` as a torch dataset."""

    def __init__(self, dataset: ManifestDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Sample:
        return self.dataset[position]

    def __getitems__(self, positions: list[int]) -> list[Sample]:
        return self.dataset.read(positions)


class _RankBatches(Sampler[list[int]]):
    """The positions this rank reads of each global batch that is left."""

    def __init__(self, stream: ManifestStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[list[int]]:
        return (list(part(batch, self.stream.world)) for batch in self.stream.batches())

    def __len__(self) -> int:
        return len(self.stream)


class ManifestLoader(Generic[Batch]):
    """Batches of this rank, in order, with any number of workers; `state_dict` is exact after each batch.

    `collate` makes a batch of the rank's samples (a list, which may be empty for the last global batch). Every rank makes
    the same number of steps.
    """

    def __init__(
        self,
        dataset: ManifestDataset,
        *,
        global_batch: int,
        world: World | None = None,
        num_workers: int = 0,
        collate: Callable[[list[Sample]], Batch] = as_listed,  # type: ignore[assignment]
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        self.stream = ManifestStream(
            dataset, global_batch=global_batch, world=world or World.from_environment(), drop_last=drop_last
        )
        self._options = {"num_workers": num_workers, "collate_fn": collate, **options}

    def __iter__(self) -> Iterator[Batch]:
        batches = list(self.stream.batches())
        loader: DataLoader[Sample] = DataLoader(
            TorchManifestDataset(self.stream.dataset), batch_sampler=_RankBatches(self.stream), **self._options
        )
        for global_batch, batch in zip(batches, loader, strict=True):
            self.stream.advance(global_batch)
            yield batch

    def __len__(self) -> int:
        return len(self.stream)

    def state_dict(self) -> dict[str, Any]:
        """The state after the batches that were handed over; what workers have read ahead does not count."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where a saved state was taken."""
        self.stream.load_state_dict(state)


class TorchManifestStream(IterableDataset[list[Sample]]):
    """`ManifestStream` as a torch iterable dataset, for `DataLoader(..., batch_size=None)` with any number of workers.

    Worker `w` of `n` reads every `n`-th batch from the `w`-th on, and the loader takes their batches in turn, so that
    they come in order. The state moves only without workers; with workers let `ManifestLoader` keep it.
    """

    def __init__(self, stream: ManifestStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[list[Sample]]:
        worker = get_worker_info()
        if worker is None:
            yield from self.stream
            return
        for number, batch in enumerate(self.stream.batches()):
            if number % worker.num_workers == worker.id:
                yield self.stream.dataset.read(part(batch, self.stream.world))

    def __len__(self) -> int:
        return len(self.stream)
