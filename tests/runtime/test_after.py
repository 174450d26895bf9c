"""Begun with one manifest and gone on with the next, in another world: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from recipe_compiler.errors import DataError
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.resolve.workspace import Workspace
from runtime.errors import ForeignManifest
from runtime.partition import World
from runtime.stream import ManifestDataset
from tests.runtime.helpers import (
    MIXED,
    Setup,
    compiled,
    draws_of,
    expected_ids,
    join_ranks,
    plain_stream,
    read_world,
    torch_loader,
)
from tests.support import questions, write_jsonl, write_recipe

#: The other recipe: another order, one pool less, one pool more, and its records are read in another way.
CHANGED = """recipe: 1
name: changed
seed: 3
pools:
  a: {source: data/a.jsonl, format: qa, group: other}
  b: {source: data/b.jsonl.gz, format: qa}
  d: {source: data/d.jsonl, format: qa}
stages:
  - {name: main, where: not (pool == "d")}
  - {name: more, repeat: {max: 2}, draws: {share: 200%}}
shard: {rows: 9}
"""
POSITION = 24


def go_on(folder: Path, text: str, after: str, position: int, out: str) -> Path:
    """Compiles a recipe to go on from a manifest."""
    place = Workspace(root=folder, cache=folder / ".recipe")
    compile_recipe(write_recipe(folder, text), place, folder / out, Prefix.of(folder / after, position))
    return folder / out


@pytest.fixture
def continued(tmp_path: Path) -> tuple[Path, Path]:
    """A manifest, and the one that goes on from it."""
    old = compiled(tmp_path, MIXED)
    write_jsonl(tmp_path / "data/d.jsonl", questions("d", 8))
    return old, go_on(tmp_path, CHANGED, "out", POSITION, "next")


def trained(manifest: Path, setup: Setup, reading: Any, steps: int) -> tuple[list[Any], dict[str, Any]]:
    """What all ranks read in so many steps, and the state they saved."""
    per_rank, states = [], []
    for world in setup.worlds():
        reader = reading(ManifestDataset(manifest), setup, world)
        batches = iter(reader)
        per_rank.append([next(batches) for _ in range(steps)])
        states.append(json.dumps(reader.state_dict(), sort_keys=True))
        del batches
    assert len(set(states)) == 1
    return draws_of(join_ranks(per_rank)), json.loads(states[0])


@pytest.mark.parametrize(
    ("reading", "before", "after"),
    [
        (plain_stream, Setup(2, 8), Setup(3, 5)),
        (torch_loader, Setup(4, 8), Setup(3, 12)),
        (torch_loader, Setup(2, 8, num_workers=2), Setup(1, 7, num_workers=1)),
    ],
)
def test_training_goes_on_with_the_next_manifest(
    continued: tuple[Path, Path], reading: Any, before: Setup, after: Setup
) -> None:
    old, new = continued
    first, state = trained(old, before, reading, POSITION // 8)
    rest = read_world(new, after, reading, state)
    whole = [draw for batch in (*first, *rest) for draw in batch]
    assert whole == list(enumerate(expected_ids(new)))
    assert [draw for batch in first for draw in batch] == list(enumerate(expected_ids(old)))[:POSITION]
    # Nothing is lost and nothing repeated: what was drawn, and what the changed recipe asks for beyond.
    root = new.parent
    write_recipe(root, CHANGED, "changed.yaml")
    compile_recipe(root / "changed.yaml", Workspace(root=root, cache=root / ".recipe"), root / "alone")
    had = Counter(sample for batch in first for _, sample in batch)
    assert Counter(sample for _, sample in whole) == had | Counter(expected_ids(root / "alone"))


def test_the_new_manifest_streams_the_same_samples_from_the_beginning(continued: tuple[Path, Path]) -> None:
    old, new = (ManifestDataset(manifest) for manifest in continued)
    for position in range(POSITION):
        first, second = old[position], new[position]
        assert first == second


def test_a_state_of_the_new_manifest_is_its_own(continued: tuple[Path, Path]) -> None:
    old, new = continued
    _, state = trained(old, Setup(2, 8), plain_stream, POSITION // 8)
    stream = plain_stream(ManifestDataset(new), Setup(1, 4), World())
    stream.load_state_dict(state)
    assert stream.state_dict() == {"version": 1, "manifest": stream.dataset.manifest_id, "consumed": POSITION}
    again = plain_stream(ManifestDataset(new), Setup(1, 4), World())
    again.load_state_dict(stream.state_dict())
    assert len(again) == len(stream)
    with pytest.raises(ForeignManifest):
        plain_stream(ManifestDataset(old), Setup(1, 4), World()).load_state_dict(stream.state_dict())


@pytest.mark.parametrize("reading", [plain_stream, torch_loader])
@pytest.mark.parametrize("consumed", [0, POSITION - 1, POSITION + 1, 10**30, -1])
def test_a_state_from_elsewhere_in_the_old_manifest_is_refused(
    continued: tuple[Path, Path], reading: Any, consumed: int
) -> None:
    old, new = continued
    reader = reading(ManifestDataset(new), Setup(1, 4), World())
    state = {"version": 1, "manifest": ManifestDataset(old).manifest_id, "consumed": consumed}
    with pytest.raises(ForeignManifest) as caught:
        reader.load_state_dict(state)
    message = str(caught.value)
    assert f"goes on after {POSITION} of its draws, and {consumed:,} are consumed" in message
    assert (f"`recipe compile RECIPE --after MANIFEST@{consumed}`" in message) == (consumed > 0)
    assert reader.state_dict()["consumed"] == 0


def test_a_state_of_a_third_manifest_is_refused(continued: tuple[Path, Path], single: Path) -> None:
    state = {"version": 1, "manifest": ManifestDataset(single).manifest_id, "consumed": POSITION}
    with pytest.raises(ForeignManifest, match=f"goes on from manifest .* after {POSITION} draws"):
        plain_stream(ManifestDataset(continued[1]), Setup(1, 4), World()).load_state_dict(state)


def test_a_chain_takes_over_from_its_last_link_alone(continued: tuple[Path, Path]) -> None:
    old, new = continued
    last = go_on(new.parent, MIXED, "next", 30, "last")
    _, early = trained(old, Setup(1, 8), plain_stream, POSITION // 8)
    stream = plain_stream(ManifestDataset(new), Setup(2, 2), World(0, 2))
    stream.load_state_dict(early)
    for _ in zip(range(3), stream, strict=False):
        pass
    rest = read_world(last, Setup(3, 4), plain_stream, stream.state_dict())
    assert [draw for batch in rest for draw in batch] == list(enumerate(expected_ids(last)))[30:]
    with pytest.raises(ForeignManifest):
        plain_stream(ManifestDataset(last), Setup(1, 4), World()).load_state_dict(early)


def test_what_is_left_is_read_where_the_old_files_are_gone(continued: tuple[Path, Path]) -> None:
    old, new = continued
    _, state = trained(old, Setup(2, 8), plain_stream, POSITION // 8)
    (new.parent / "data/c.jsonl").unlink()
    rest = read_world(new, Setup(2, 4), plain_stream, state)
    assert [draw for batch in rest for draw in batch] == list(enumerate(expected_ids(new)))[POSITION:]
    with pytest.raises(DataError, match=r"data/c\.jsonl"):
        list(plain_stream(ManifestDataset(new, root=new.parent), Setup(1, 4), World()))
