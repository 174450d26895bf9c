"""What the runtime's tests share: small manifests, and a world of ranks read as one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe_compiler.manifest import store
from recipe_compiler.manifest.rows import cells
from runtime.partition import World
from runtime.sample import Sample
from runtime.stream import ManifestDataset, ManifestStream
from tests.support import compile_text, questions, write_jsonl

SINGLE = """recipe: 1
name: single
pools:
  a: {source: data/a.jsonl, format: qa}
shard: {rows: 7}
"""

MIXED = """recipe: 1
name: mixed
pools:
  a: {source: data/a.jsonl, format: qa, group: general}
  b: {source: data/b.jsonl.gz, format: qa, group: ocr}
  c: {source: data/c.jsonl, format: qa, group: general}
stages:
  - {name: warmup, where: pool == "c"}
  - name: main
    mix: {by: pool, weights: {values: {a: 2, b: 1}}}
    draws: {count: 31}
    repeat: {max: any}
    replay: {warmup: 10%}
shard: {rows: 16}
"""


def write_pools(folder: Path) -> None:
    """The files of `SINGLE` and `MIXED`."""
    write_jsonl(folder / "data/a.jsonl", questions("a", 37))
    write_jsonl(folder / "data/c.jsonl", questions("c", 10))
    text = "".join(json.dumps(record) + "\n" for record in questions("b", 12))
    (folder / "data/b.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def compiled(folder: Path, text: str) -> Path:
    """A folder with the pools, and the manifest compiled in it."""
    write_pools(folder)
    compile_text(folder, text)
    return folder / "out"


def expected_ids(manifest: Path) -> list[str]:
    """The sample ids of a manifest in order, from its rows alone."""
    table = store.read_rows(manifest, store.read(manifest))
    return [bytes(item).hex() for item in cells(table, "sample_id")]


@dataclass(frozen=True, slots=True)
class Setup:
    """How a manifest is read: by how many ranks, in which batches, with how many workers each."""

    num_ranks: int
    global_batch: int
    num_workers: int = 0
    drop_last: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def worlds(self) -> Iterator[World]:
        return (World(rank, self.num_ranks) for rank in range(self.num_ranks))


#: A reader of one rank: makes something to iterate over that keeps a state.
Reading = Callable[[ManifestDataset, Setup, World], Any]


def plain_stream(dataset: ManifestDataset, setup: Setup, world: World) -> ManifestStream:
    """The stream without torch; workers are not its business."""
    return ManifestStream(dataset, global_batch=setup.global_batch, world=world, drop_last=setup.drop_last)


def torch_loader(dataset: ManifestDataset, setup: Setup, world: World) -> Any:
    """The stream through torch and its workers."""
    from runtime.loader import ManifestLoader

    return ManifestLoader(
        dataset,
        global_batch=setup.global_batch,
        world=world,
        num_workers=setup.num_workers,
        drop_last=setup.drop_last,
        **setup.options,
    )


def join_ranks(per_rank: Sequence[list[list[Sample]]]) -> list[list[Sample]]:
    """Global batches: the ranks' parts side by side, step by step. All ranks make the same number of steps."""
    assert len({len(steps) for steps in per_rank}) == 1, "ranks make different numbers of steps"
    return [[sample for part in step for sample in part] for step in zip(*per_rank, strict=True)]


def draws_of(batches: Sequence[Sequence[Sample]]) -> list[list[tuple[int, str]]]:
    """Each global batch as (position, sample id)."""
    return [[(sample.position, sample.sample_id) for sample in batch] for batch in batches]


def cut(draws: Sequence[tuple[int, str]], size: int, *, drop_last: bool) -> list[list[tuple[int, str]]]:
    """The obvious global batches of what is left."""
    batches = [list(draws[start : start + size]) for start in range(0, len(draws), size)]
    return [batch for batch in batches if len(batch) == size or not drop_last]


def read_world(manifest: Path, setup: Setup, reading: Reading, state: dict[str, Any] | None = None) -> list[Any]:
    """What all ranks read to the end, each by a dataset of its own, as global batches."""
    per_rank = []
    for world in setup.worlds():
        reader = reading(ManifestDataset(manifest), setup, world)
        if state is not None:
            reader.load_state_dict(state)
        steps = len(reader)
        batches = list(reader)
        assert len(batches) == steps, "the length is not the number of steps"
        per_rank.append(batches)
    return draws_of(join_ranks(per_rank))


def assert_equal_output_after_checkpoint(
    manifest: Path, before: Setup, after: Setup, reading: Reading, stops: Sequence[int] | None = None
) -> None:
    """Stops after each number of global batches and goes on in another world: nothing is lost, nothing comes twice.

    The state passes through JSON text, and the second reader shares no object with the first.
    """
    whole = list(enumerate(expected_ids(manifest)))
    batches = cut(whole, before.global_batch, drop_last=before.drop_last)
    for stop in range(len(batches) + 1) if stops is None else stops:
        states, per_rank = [], []
        for world in before.worlds():
            reader = reading(ManifestDataset(manifest), before, world)
            steps = iter(reader)
            per_rank.append([next(steps) for _ in range(stop)])
            states.append(json.dumps(reader.state_dict(), sort_keys=True))
            del steps
        assert draws_of(join_ranks(per_rank)) == batches[:stop]
        assert len(set(states)) == 1, "ranks keep different states"
        state = json.loads(states[0])
        assert json.loads(json.dumps(state)) == state
        consumed = sum(len(batch) for batch in batches[:stop])
        found = read_world(manifest, after, reading, state)
        assert found == cut(whole[consumed:], after.global_batch, drop_last=after.drop_last), (stop, before, after)
        if (before.global_batch, before.drop_last) == (after.global_batch, after.drop_last):
            assert found == batches[stop:]
