"""Packs and batches of tokens: every draw once, none too long, as a slow and obvious packing has it, and edits stay local."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.errors import RecipeError
from recipe_compiler.manifest import store
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.pipeline import bind_manifest, compile_recipe, replay
from recipe_compiler.resolve.workspace import Workspace
from tests.support import REPOSITORY, compile_text, draws, rejected, write_jsonl

lengths = st.lists(st.integers(0, 40), max_size=120)
#: Few different hashes, so that windows begin often and ties are met.
hashes = st.lists(st.integers(0, 30), max_size=120)


def u32(values: list[int]) -> kernels.U32:
    return np.array(values, dtype=np.uint32)


def u64(values: list[int]) -> kernels.U64:
    return np.array(values, dtype=np.uint64)


def windows_obviously(hashes: list[int], reach: int) -> list[int]:
    """Every place is compared with every other one near it."""
    starts = [0] if hashes else []
    for at in range(max(reach, 1), len(hashes) - reach):
        before, behind = hashes[at - reach : at], hashes[at + 1 : at + reach + 1]
        if all(other < hashes[at] for other in before) and all(other <= hashes[at] for other in behind):
            starts.append(at)
    return starts


def pack_obviously(lengths: list[int], starts: list[int], most: int) -> list[list[int]]:
    """Packs as lists of positions: each draw, the longest first, looks at every pack there is."""
    order = []
    for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=False):
        packs: list[list[int]] = []
        left: list[int] = []
        changed: list[int] = []
        for turn, at in enumerate(sorted(range(start, stop), key=lambda at: (-lengths[at], at))):
            fits = [number for number in range(len(packs)) if left[number] >= lengths[at]]
            if not fits:
                packs.append([])
                left.append(most)
                changed.append(0)
                fits = [len(packs) - 1]
            pack = min(fits, key=lambda number: (left[number], -changed[number]))
            packs[pack].append(at)
            left[pack] -= lengths[at]
            changed[pack] = turn
        order += [sorted(pack) for pack in sorted(packs, key=lambda pack: pack[0])]
    return order


def fill_obviously(lengths: list[int], starts: list[int], budget: int, measure: str, similar: bool) -> list[list[int]]:
    """Batches as lists of positions, each as long as the next draw fits."""

    def cost(batch: list[int]) -> int:
        own = [lengths[at] for at in batch]
        return {"rows": len(own), "tokens": sum(own), "padded": len(own) * max(own)}[measure]

    order = []
    for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=False):
        batches: list[list[int]] = []
        for at in sorted(range(start, stop), key=lambda at: (-lengths[at] if similar else 0, at)):
            if batches and cost([*batches[-1], at]) <= budget:
                batches[-1].append(at)
            else:
                batches.append([at])
        order += [sorted(batch) for batch in sorted(batches, key=lambda batch: batch[0])]
    return order


def together(order: kernels.U32, begins: kernels.Bools) -> list[list[int]]:
    """What a kernel gives, as lists of positions."""
    return [part.tolist() for part in np.split(order, np.flatnonzero(begins)[1:])] if len(order) else []


@given(hashes, st.integers(1, 9))
def test_windows_begin_where_every_comparison_says(hashes: list[int], reach: int) -> None:
    found = kernels.windows(u64(hashes), reach).tolist()
    assert found == windows_obviously(hashes, reach)
    assert all(size >= reach for size in np.diff([*found, len(hashes)])) or len(found) < 2


@given(lengths, st.lists(st.integers(1, 119), max_size=4), st.integers(40, 90))
def test_packs_are_those_of_an_obvious_best_fit(lengths: list[int], cuts: list[int], most: int) -> None:
    starts = sorted({0, *(cut for cut in cuts if cut < len(lengths))}) if lengths else []
    packs = together(*kernels.pack(u32(lengths), u32(starts), most))
    assert packs == pack_obviously(lengths, starts, most)
    assert sorted(at for pack in packs for at in pack) == list(range(len(lengths)))
    assert all(sum(lengths[at] for at in pack) <= most for pack in packs)


@given(
    lengths,
    st.lists(st.integers(1, 119), max_size=4),
    st.integers(40, 200),
    st.sampled_from(["rows", "tokens", "padded"]),
    st.booleans(),
)
def test_batches_are_those_of_an_obvious_filling(
    lengths: list[int], cuts: list[int], budget: int, measure: str, similar: bool
) -> None:
    starts = sorted({0, *(cut for cut in cuts if cut < len(lengths))}) if lengths else []
    found = kernels.fill(u32(lengths), u32(starts), budget, measure=measure, similar=similar)  # type: ignore[arg-type]
    assert together(*found) == fill_obviously(lengths, starts, budget, measure, similar)


def test_a_broken_contract_is_refused() -> None:
    for wrong in (
        lambda: kernels.pack(u32([5]), u32([0]), 4),
        lambda: kernels.pack(u32([5]), u32([0]), kernels.LARGEST_PACK + 1),
        lambda: kernels.pack(u32([5, 5]), u32([1]), 9),
        lambda: kernels.fill(u32([5]), u32([0]), 4, measure="padded", similar=False),
        lambda: kernels.windows(u64([1]), 0),
    ):
        with pytest.raises(kernels.KernelError):
            wrong()


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 40)), min_size=1, max_size=300), st.data())
def test_a_draw_that_comes_changes_the_packs_of_three_windows_at_most(
    listed: list[tuple[int, int]], data: st.DataObject
) -> None:
    reach = data.draw(st.integers(1, 12))
    at, draw = data.draw(st.integers(0, len(listed))), data.draw(st.tuples(st.integers(0, 10**6), st.integers(1, 40)))

    def windows(draws: list[tuple[int, int, int]]) -> set[tuple[tuple[int, ...], ...]]:
        """Each window as its packs, in which draws are named by what they are and not by where they stand."""
        starts = kernels.windows(u64([hash_ for hash_, _, _ in draws]), reach)
        order, begins = kernels.pack(u32([length for _, length, _ in draws]), starts, 64)
        packs = together(order, begins)
        names = [tuple(draws[at][2] for at in pack) for pack in packs]
        where = np.searchsorted(starts, [pack[0] for pack in packs], side="right")
        return {tuple(name for name, own in zip(names, where, strict=True) if own == window) for window in set(where)}

    named = [(*draw, number) for number, draw in enumerate(listed)]
    before, after = windows(named), windows([*named[:at], (*draw, -1), *named[at:]])
    assert len(before - after) <= 3
    assert len(after - before) <= 3


def test_packs_of_many_lengths_are_full_and_the_same_for_any_number_of_threads() -> None:
    def packed(threads: int) -> list[str]:
        ran = subprocess.run(
            [sys.executable, "-c", _MANY],
            env={**os.environ, "RAYON_NUM_THREADS": str(threads), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.split()

    found = packed(1)
    assert float(found[1]) >= 0.995
    assert packed(2) == packed(7) == found


_MANY = """
import hashlib
import numpy as np
from recipe_compiler import kernels
chance = np.random.default_rng(5)
lengths = np.clip(chance.lognormal(np.log(400), 1.0, 200_000), 1, 4096).astype(np.uint32)
starts = kernels.windows(chance.integers(0, 2**64, len(lengths), dtype=np.uint64), 4096)
order, begins = kernels.pack(lengths, starts, 4096)
digest = hashlib.sha256(order.tobytes() + begins.tobytes()).hexdigest()
print(digest, lengths.sum() / (begins.sum() * 4096), len(starts))
"""


KINDS = {"text": 160, "image": 70}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packing")
    for kind, size in KINDS.items():
        media = {} if kind == "text" else {"image": "it.png"}
        tag = "<image>\n" if media else ""
        rows = [
            {
                "id": f"{kind}{at}",
                "conversations": [
                    {"from": "human", "value": f"{tag}What is {kind} {at}?"},
                    {"from": "gpt", "value": "It is. " * (1 + at * 13 % 41)},
                ],
                **media,
            }
            for at in range(size)
        ]
        write_jsonl(folder / f"{kind}.jsonl", rows)
    return folder


def recipe(rest: str, without: str = "") -> str:
    pools = ", ".join(f"{kind}: {{source: {kind}.jsonl, group: {kind}}}" for kind in KINDS)
    costs = "tokens: {per_image: 20, per_video: 20}\n"
    gone = f'filter: [not (key == "{without}")]\n' if without else ""
    return f"recipe: 1\nname: p\nseed: 2\npools: {{{pools}}}\n{costs}{gone}{rest}"


def compiled(folder: Path, rest: str, without: str = "") -> pl.DataFrame:
    compile_text(folder, recipe(rest, without))
    store.verify(folder / "out", folder)
    return draws(folder / "out")


STAGES = [
    "",
    "schedule: balanced\n",
    'stages: [{name: one, where: pool == "image"}, {name: two, epochs: 2, replay: {one: 10%}}]\n',
]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(STAGES),
    st.integers(200, 400),
    st.integers(2, 60),
    st.sampled_from(
        [
            "",
            "batch: {packs: 3}",
            "batch: {packs: 3, remainder: drop}",
            "batch: {packs: 2, remainder: drop, modality: uniform}",
        ]
    ),
)
def test_a_packed_recipe_draws_what_it_would_draw_and_keeps_to_its_packs(
    folder: Path, stages: str, most: int, window: int, batch: str
) -> None:
    whole = compiled(folder, stages)
    found = compiled(folder, f"{stages}pack: {{max_tokens: {most}, window: {window}}}\n{batch}\n")
    manifest = store.read(folder / "out")
    packs = found.group_by("unit", maintain_order=True).agg(
        pl.col("tokens").sum(), pl.col("stage").n_unique(), pl.col("position").min(), pl.len(), pl.col("images") > 0
    )
    assert packs["unit"].to_list() == list(range(packs.height))
    assert (packs["tokens"] <= most).all() and (packs["stage"] == 1).all()
    assert (packs["position"] + packs["len"] == packs["position"].shift(-1, fill_value=found.height)).all()
    units = manifest.units
    assert units is not None and (units.units, units.tokens) == (packs.height, found["tokens"].sum())
    if "drop" in batch:
        number = 2 if "uniform" in batch else 3
        per_stage = found.group_by("stage").agg(pl.col("unit").n_unique())
        assert (per_stage["unit"] % number == 0).all()
    else:
        for stage in whole["stage"].unique():
            before, after = (rows.filter(stage=stage)["sample_id"].sort() for rows in (whole, found))
            assert before.equals(after)
    if "uniform" in batch:
        kinds = found.with_columns(batch=pl.col("unit") // 2, image=pl.col("images") > 0).group_by("batch")
        assert (kinds.agg(pl.col("image").n_unique())["image"] == 1).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(STAGES),
    st.sampled_from(["tokens", "padded_tokens"]),
    st.integers(200, 2000),
    st.sampled_from(["", ", lengths: similar"]),
    st.sampled_from(["", ", modality: uniform"]),
    st.integers(2, 60),
)
def test_batches_of_tokens_hold_every_draw_once_within_their_budget(
    folder: Path, stages: str, measure: str, budget: int, similar: str, uniform: str, window: int
) -> None:
    whole = compiled(folder, stages)
    found = compiled(folder, f"{stages}batch: {{{measure}: {budget}, window: {window}{similar}{uniform}}}\n")
    assert found["sample_id"].sort().equals(whole["sample_id"].sort())
    own = pl.col("tokens")
    cost = own.sum() if measure == "tokens" else own.max() * pl.len()
    batches = found.group_by("unit").agg(cost.alias("cost"), (pl.col("images") > 0).n_unique().alias("kinds"))
    assert (batches["cost"] <= budget).all()
    assert not uniform or (batches["kinds"] == 1).all()
    assert store.read(folder / "out").global_batch == 1


@pytest.mark.parametrize("rows", [7, 16])
def test_batches_of_rows_bring_similar_lengths_together(folder: Path, rows: int) -> None:
    before = compiled(folder, f"batch: {{rows: {rows}}}\n")
    found = compiled(folder, f"batch: {{rows: {rows}, lengths: similar, window: 100}}\n")
    assert found["sample_id"].sort().equals(before["sample_id"].sort())
    assert found["unit"].to_list() == found["position"].to_list()

    def padding(drawn: pl.DataFrame) -> int:
        batches = drawn.group_by(pl.col("position") // rows).agg(
            pl.col("tokens").max() * pl.len() - pl.col("tokens").sum()
        )
        return int(batches["tokens"].sum())

    assert padding(found) * 2 < padding(before)


@pytest.mark.parametrize("rest", ["pack: {max_tokens: 256, window: 16}", "batch: {padded_tokens: 900, window: 16}"])
def test_a_sample_that_goes_leaves_most_packs_as_they_are(folder: Path, rest: str) -> None:
    def units(drawn: pl.DataFrame) -> set[tuple[bytes, ...]]:
        return {tuple(own) for own in drawn.group_by("unit").agg(pl.col("sample_id"))["sample_id"].to_list()}

    before = units(compiled(folder, rest))
    for key in ("text7", "image3", "text150"):
        after = units(compiled(folder, rest, without=key))
        assert len(after - before) < len(after) / 3


GOING_ON = [
    "pack: {max_tokens: 256, window: 32}\n",
    "pack: {max_tokens: 256, window: 32}\nbatch: {packs: 2, remainder: drop}\n",
    "pack: {max_tokens: 256, window: 32}\nbatch: {packs: 2, remainder: drop, modality: uniform}\n",
    "batch: {padded_tokens: 700, window: 32, lengths: similar}\n",
    "batch: {rows: 8, lengths: similar, window: 32, remainder: drop}\n",
]


def went_on(folder: Path, position: int) -> pl.DataFrame:
    """The recipe in the folder, gone on after so many draws of `out`, and what it gives when it is compiled again."""
    place = Workspace(root=folder, cache=folder / ".recipe")
    compile_recipe(folder / "recipe.yaml", place, folder / "next", Prefix.of(folder / "out", position))
    store.verify(folder / "next", folder)
    manifest = store.read(folder / "next")
    checked, bound = bind_manifest(manifest, place, Findings())
    again = replay(manifest, checked, bound, Findings(), prefix=Prefix.kept(folder / "next"))
    found = draws(folder / "next")
    assert again.ordered.unit.tolist() == found["unit"].to_list()
    return found


@pytest.mark.parametrize("rest", GOING_ON)
@pytest.mark.parametrize("stages", STAGES)
def test_an_unchanged_recipe_goes_on_with_the_same_packs(folder: Path, rest: str, stages: str) -> None:
    whole = compiled(folder, stages + rest)
    batch = store.read(folder / "out").global_batch or 1
    starts = whole.group_by("unit").agg(pl.col("position").min())["position"].sort().to_list()
    borders = [*starts, whole.height][::batch]
    for position in (borders[1], borders[len(borders) // 2], borders[-2]):
        assert went_on(folder, position).drop("check").equals(whole.drop("check"))
    inside = next((start + 1 for start in starts[:-1] if start + 1 not in starts), None)
    if inside is not None:
        with pytest.raises(RecipeError, match=f"{inside:,} draws end inside (pack|batch)"):
            went_on(folder, inside)


@pytest.mark.parametrize("rest", GOING_ON)
def test_a_changed_recipe_goes_on_in_packs_of_its_own(folder: Path, rest: str) -> None:
    before = compiled(folder, GOING_ON[0])
    position = int(before.filter(pl.col("unit") == 24)["position"].min())  # type: ignore[arg-type]
    (folder / "recipe.yaml").write_text(recipe(rest, without="text9"))
    found = went_on(folder, position)
    assert found[:position].equals(before[:position])
    assert found["unit"].to_list() == sorted(found["unit"].to_list())
    assert found["unit"][position] == 24
    if "drop" not in rest:
        free = compiled(folder, "", without="text9")
        asked = set(free["sample_id"]) | set(before[:position]["sample_id"])
        assert sorted(found["sample_id"].to_list()) == sorted(asked)
    elif "uniform" not in rest:
        assert found[position:]["unit"].n_unique() % 2 == 0


def test_what_fits_into_no_pack_is_refused(folder: Path) -> None:
    for rest in ("pack: {max_tokens: 60}", "batch: {tokens: 60}", "batch: {padded_tokens: 60}"):
        (found,) = rejected(folder, recipe(f"{rest}\n"))
        assert found.code == "execute.too-long"
        assert "tokens <= 60" in found.help
