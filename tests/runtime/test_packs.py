"""Packs and batches of tokens, streamed: whatever the ranks and workers, all together read exactly the manifest's own, and
stopped anywhere they go on in any other world."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: TID253
from torch.utils.data import DataLoader  # noqa: TID253

from recipe_compiler.errors import ManifestCorrupt
from recipe_compiler.manifest import codec, store
from recipe_compiler.manifest.rows import cells
from runtime.errors import StreamError
from runtime.loader import ManifestLoader, TorchManifestStream
from runtime.packs import Units
from runtime.partition import World
from runtime.reader import Reader
from runtime.sample import Sample
from runtime.stream import ManifestDataset, ManifestStream
from tests.runtime.helpers import MIXED, SINGLE, compiled, expected_ids

RECIPES = {
    "single": f"{SINGLE}pack: {{max_tokens: 64, window: 16}}\n",
    "mixed": f"{MIXED}pack: {{max_tokens: 64, window: 16}}\nbatch: {{packs: 2}}\n",
    "tokens": f"{MIXED}batch: {{tokens: 100, window: 16}}\n",
    "similar": f"{SINGLE}batch: {{padded_tokens: 150, lengths: similar, window: 16}}\n",
}


@pytest.fixture(scope="module", params=RECIPES)
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, compiled(tmp_path_factory.mktemp(request.param), RECIPES[request.param])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("packed"), RECIPES["single"])


def units_of(manifest: Path) -> list[list[int]]:
    """The positions of every pack or batch, from the rows alone."""
    units = cells(store.read_rows(manifest, store.read(manifest)), "unit").tolist()
    return [[at for at, _ in group] for _, group in itertools.groupby(enumerate(units), key=lambda item: item[1])]


def global_batches(manifest: Path, size: int, done: int = 0) -> list[list[int]]:
    """The obvious global batches: so many units at a time."""
    left = [unit for unit in units_of(manifest) if unit[0] >= done]
    return [list(itertools.chain(*left[start : start + size])) for start in range(0, len(left), size)]


def flat(handed: Any) -> list[Sample]:
    return [sample for item in handed for sample in (item if isinstance(item, list) else [item])]


def read(
    manifest: Path, size: int | None, num_ranks: int, workers: int | None, state: Any = None, stop: int | None = None
) -> tuple[list[list[int]], str]:
    """(the global batches that all ranks read together, their common state); without torch where workers is None."""
    per_rank, states = [], set()
    kind = store.read(manifest).units
    assert kind is not None
    for rank in range(num_ranks):
        place = {"global_batch": size, "world": World(rank, num_ranks)}
        dataset = ManifestDataset(manifest)
        reader: Any = (
            ManifestStream(dataset, **place)
            if workers is None
            else ManifestLoader(dataset, num_workers=workers, **place)  # type: ignore[arg-type]
        )
        if state is not None:
            reader.load_state_dict(state)
        steps = len(reader)
        handed = list(itertools.islice(iter(reader), stop))
        assert len(handed) == steps if stop is None else len(handed) == min(stop, steps)
        if kind.kind == "pack":
            assert all(len({sample.unit for sample in pack}) == 1 for step in handed for pack in step)
        per_rank.append([flat(step) for step in handed])
        states.add(json.dumps(reader.state_dict()))
    assert len({len(steps) for steps in per_rank}) == 1, "ranks make different numbers of steps"
    if kind.kind == "pack":
        for parts in zip(*per_rank, strict=True):
            own = [{sample.unit for sample in part} for part in parts]
            assert sum(map(len, own)) == len(set().union(*own)), "a pack is read by two ranks"
            assert max(map(len, own)) - min(map(len, own)) <= 1
    ids = expected_ids(manifest)
    joined = [[sample for part in step for sample in part] for step in zip(*per_rank, strict=True)]
    assert all(sample.sample_id == ids[sample.position] for step in joined for sample in step)
    (state_text,) = states
    return [[sample.position for sample in step] for step in joined], state_text


@pytest.mark.parametrize("num_ranks", range(1, 9))
def test_all_ranks_read_whole_packs_of_exactly_the_manifest(named: tuple[str, Path], num_ranks: int) -> None:
    name, manifest = named
    for size in (1, 3, 5, 64) if name in ("single", "mixed") else (None,):
        expected = global_batches(manifest, size or 1)
        assert read(manifest, size, num_ranks, None)[0] == expected
        assert read(manifest, size, num_ranks, 0)[0] == expected


@pytest.mark.parametrize(("num_ranks", "workers"), [(1, 1), (2, 3), (3, 2)])
def test_worker_processes_change_nothing(named: tuple[str, Path], num_ranks: int, workers: int) -> None:
    name, manifest = named
    size = 3 if name in ("single", "mixed") else None
    assert read(manifest, size, num_ranks, workers)[0] == global_batches(manifest, size or 1)


@pytest.mark.parametrize(("before", "after"), [((2, 3), (3, 2)), ((1, 1), (8, 4)), ((5, 2), (1, 5))])
def test_stopped_anywhere_it_goes_on_in_any_other_world(
    named: tuple[str, Path], before: tuple[int, int], after: tuple[int, int]
) -> None:
    name, manifest = named
    counts = name in ("single", "mixed")
    (ranks, size), (more_ranks, more) = before, after
    whole = global_batches(manifest, size if counts else 1)
    for stop in range(len(whole) + 1):
        done, state = read(manifest, size if counts else None, ranks, None, stop=stop)
        assert done == whole[:stop]
        consumed = sum(map(len, done))
        assert json.loads(state)["consumed"] == consumed
        rest, _ = read(manifest, more if counts else None, more_ranks, None, state=json.loads(state))
        assert rest == global_batches(manifest, more if counts else 1, consumed)


def test_a_state_from_inside_a_pack_is_refused(packed: Path) -> None:
    stream = ManifestStream(ManifestDataset(packed), global_batch=2)
    first = next(unit for unit in units_of(packed) if len(unit) > 1)
    stream.load_state_dict({**stream.state_dict(), "consumed": first[1]})
    with pytest.raises(StreamError, match=f"{first[1]} draws end inside pack"):
        next(iter(stream))


def test_borders_are_found_from_the_shards_that_hold_them(named: tuple[str, Path]) -> None:
    _, manifest = named
    reader, read_shards = Reader(manifest), []

    def column(number: int) -> Any:
        read_shards.append(number)
        return reader.units(number)

    units, expected = Units(reader.manifest, column), units_of(manifest)
    assert units.count == len(expected)
    for number, unit in enumerate(expected):
        del read_shards[:]
        assert (units.start(number), units.number(unit[0])) == (unit[0], number)
        assert len(set(read_shards)) <= 2
    assert (units.start(units.count), units.number(len(reader))) == (len(reader), units.count)


def test_collate_is_given_packs_and_a_rank_without_one_gets_none(packed: Path) -> None:
    def sizes(packs: list[list[Sample]]) -> torch.Tensor:
        return torch.tensor([len(pack) for pack in packs], dtype=torch.long)

    per_rank = [
        list(ManifestLoader(ManifestDataset(packed), global_batch=3, world=World(rank, 5), collate=sizes))
        for rank in range(5)
    ]
    joined = [size for step in zip(*per_rank, strict=True) for part in step for size in part.tolist()]
    assert joined == [len(unit) for unit in units_of(packed)]
    assert any(len(part) == 0 for rank in per_rank for part in rank)


def test_a_torch_data_loader_over_the_stream_reads_packs(packed: Path) -> None:
    stream = ManifestStream(ManifestDataset(packed), global_batch=2)
    loader = DataLoader(TorchManifestStream(stream), batch_size=None, num_workers=2)
    assert [[sample.position for sample in pack] for step in loader for pack in step] == units_of(packed)


def test_a_global_batch_is_the_recipe_s_own_unless_given(named: tuple[str, Path]) -> None:
    name, manifest = named
    dataset = ManifestDataset(manifest)
    match name:
        case "single":
            with pytest.raises(StreamError, match="how many draws or packs a global batch has"):
                ManifestStream(dataset)
        case "mixed":
            assert [sample.position for sample in flat(next(iter(ManifestStream(dataset))))] == global_batches(
                manifest, 2
            )[0]
        case _:
            with pytest.raises(StreamError, match="batches of its own"):
                ManifestStream(dataset, global_batch=4)


@pytest.mark.parametrize("size", [0, -3])
def test_a_global_batch_of_nothing_is_refused_at_once(packed: Path, size: int) -> None:
    with pytest.raises(StreamError, match=f"a global batch of {size} is not at least one pack"):
        ManifestStream(ManifestDataset(packed), global_batch=size)
    with pytest.raises(StreamError, match=f"a global batch of {size} is not at least one pack"):
        ManifestLoader(ManifestDataset(packed), global_batch=size)


def test_units_that_do_not_follow_one_another_are_refused(packed: Path, tmp_path: Path) -> None:
    manifest = store.read(packed)
    folder = tmp_path / "out"
    table = store.read_rows(packed, manifest)
    shards = [*manifest.shards]
    shards[1] = type(shards[1])(**{field: getattr(shards[1], field) for field in shards[1].__slots__} | {"unit": 0})
    wrong = codec.identified(
        type(manifest)(**{name: getattr(manifest, name) for name in manifest.__slots__} | {"shards": tuple(shards)})
    )
    store.write(wrong, iter([table.slice(shard.start, shard.rows) for shard in manifest.shards]), folder)
    with pytest.raises(ManifestCorrupt, match="units of its draws do not follow one another"):
        store.verify(folder, None)
    with pytest.raises(ManifestCorrupt, match="units of its draws do not follow one another"):
        Reader(folder, root=packed.parent).units(0)
