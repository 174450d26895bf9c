"""The world-free law: whatever the ranks and workers, all read together exactly the manifest, batch by batch."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch  # noqa: TID253
from torch.utils.data import DataLoader  # noqa: TID253

from runtime.loader import ManifestLoader, TorchManifestDataset, TorchManifestStream
from runtime.partition import World
from runtime.sample import Sample
from runtime.stream import ManifestDataset, ManifestStream
from tests.runtime.helpers import (
    Setup,
    cut,
    draws_of,
    expected_ids,
    join_ranks,
    plain_stream,
    read_world,
    torch_loader,
)

#: Sizes that divide 37 and 41 draws, that do not, that leave ranks without a sample, and one larger than all.
SIZES = (1, 3, 5, 8, 37, 41, 64)


@pytest.mark.parametrize("num_ranks", range(1, 9))
@pytest.mark.parametrize("drop_last", [False, True])
def test_all_ranks_read_exactly_the_manifest(manifest: Path, num_ranks: int, drop_last: bool) -> None:
    whole = list(enumerate(expected_ids(manifest)))
    for size in SIZES:
        setup = Setup(num_ranks, size, drop_last=drop_last)
        expected = cut(whole, size, drop_last=drop_last)
        assert read_world(manifest, setup, plain_stream) == expected
        assert read_world(manifest, setup, torch_loader) == expected


@pytest.mark.parametrize(
    ("num_ranks", "num_workers", "size", "drop_last"),
    [
        (1, 1, 4, False),
        (1, 3, 1, True),
        (2, 2, 8, True),
        (3, 1, 5, False),
        (4, 3, 37, False),
        (5, 2, 3, True),
        (8, 1, 5, False),
    ],
)
def test_worker_processes_change_nothing(
    manifest: Path, num_ranks: int, num_workers: int, size: int, drop_last: bool
) -> None:
    whole = list(enumerate(expected_ids(manifest)))
    setup = Setup(num_ranks, size, num_workers, drop_last)
    assert read_world(manifest, setup, torch_loader) == cut(whole, size, drop_last=drop_last)


@pytest.mark.parametrize(("num_ranks", "num_workers"), [(1, 0), (3, 0), (1, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("size", [4, 9])
def test_a_torch_data_loader_over_the_stream_reads_the_same(
    mixed: Path, num_ranks: int, num_workers: int, size: int
) -> None:
    per_rank = []
    for rank in range(num_ranks):
        stream = ManifestStream(ManifestDataset(mixed), global_batch=size, world=World(rank, num_ranks))
        loader = DataLoader(TorchManifestStream(stream), batch_size=None, num_workers=num_workers)
        assert len(loader) == len(stream)
        per_rank.append(list(loader))
    whole = list(enumerate(expected_ids(mixed)))
    assert draws_of(join_ranks(per_rank)) == cut(whole, size, drop_last=False)


def test_spawned_workers_read_the_same_as_forked_ones(mixed: Path) -> None:
    setup = Setup(1, 10, 1, options={"multiprocessing_context": "spawn"})
    whole = list(enumerate(expected_ids(mixed)))
    assert read_world(mixed, setup, torch_loader) == cut(whole, 10, drop_last=False)


def test_a_dataset_that_was_read_from_can_still_be_handed_to_forked_workers(mixed: Path) -> None:
    dataset = ManifestDataset(mixed)
    before = [dataset[position].sample_id for position in range(len(dataset))]
    batches: list[list[Sample]] = list(ManifestLoader(dataset, global_batch=4, world=World(), num_workers=2))
    assert [sample.sample_id for batch in batches for sample in batch] == before
    assert [dataset[position].sample_id for position in range(len(dataset))] == before


def test_a_sequential_torch_loader_over_the_map_dataset_is_the_manifest(mixed: Path) -> None:
    dataset = TorchManifestDataset(ManifestDataset(mixed))
    loader = DataLoader(dataset, batch_size=6, shuffle=False, collate_fn=list, num_workers=2)
    assert [sample.sample_id for batch in loader for sample in batch] == expected_ids(mixed)


def test_collate_receives_the_rank_s_samples_and_may_be_given_none(single: Path) -> None:
    def positions(samples: list[Sample]) -> torch.Tensor:
        return torch.tensor([sample.position for sample in samples], dtype=torch.long)

    per_rank = [
        list(ManifestLoader(ManifestDataset(single), global_batch=6, world=World(rank, 8), collate=positions))
        for rank in range(8)
    ]
    assert any(len(batch) == 0 for rank in per_rank for batch in rank)
    joined = [torch.cat(step).tolist() for step in zip(*per_rank, strict=True)]
    assert list(itertools.chain(*joined)) == list(range(37))


def test_all_ranks_make_the_same_number_of_steps_even_without_samples(single: Path) -> None:
    for num_ranks, size in ((8, 3), (5, 4), (7, 36)):
        dataset = ManifestDataset(single)
        counts = {
            len(list(ManifestStream(dataset, global_batch=size, world=World(rank, num_ranks))))
            for rank in range(num_ranks)
        }
        assert counts == {-(-37 // size)}


def test_a_stream_gives_what_random_access_gives(mixed: Path) -> None:
    dataset = ManifestDataset(mixed)
    streamed = [sample for batch in ManifestStream(dataset, global_batch=5) for sample in batch]
    assert streamed == [dataset[position] for position in range(len(dataset))]
    assert dataset[-1] == streamed[-1]
    for position in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError):
            dataset[position]


def test_stages_come_one_after_another_and_repeats_are_counted(mixed: Path) -> None:
    samples = [sample for batch in ManifestStream(ManifestDataset(mixed), global_batch=5) for sample in batch]
    assert [sample.stage for sample in samples] == ["warmup"] * 10 + ["main"] * (len(samples) - 10)
    seen: dict[str, int] = {}
    for sample in samples:
        assert sample.repeat == seen.get(sample.sample_id, 0)
        seen[sample.sample_id] = sample.repeat + 1
    assert max(seen.values()) > 1
