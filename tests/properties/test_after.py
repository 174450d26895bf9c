"""A manifest that goes on from another one begins with its draws, loses nothing and repeats nothing without being asked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recipe_compiler.diagnostics import Findings, Rejected
from recipe_compiler.manifest import store
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.manifest.schema import Manifest
from recipe_compiler.pipeline import bind_manifest, compile_recipe, replay
from recipe_compiler.resolve.workspace import Workspace
from tests.mixes import Mix, mixes, pools
from tests.support import draws, questions, write_jsonl

SETTINGS = settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def compiled(folder: Path, name: str, *, after: tuple[str, int] | None = None) -> Manifest:
    """Compiles `NAME.yaml`, and `AFTER@POSITION` before it; a mix that cannot be compiled is no example."""
    prefix = None if after is None else Prefix.of(folder / after[0], after[1])
    out = folder / (name if after is None else f"{name}-after-{after[0]}")
    try:
        compile_recipe(folder / f"{name}.yaml", Workspace(root=folder, cache=folder / ".recipe"), out, prefix)
    except Rejected as rejected:
        # With batches, what is left may fill none.
        codes = {diagnostic.code for diagnostic in rejected.findings.errors}
        assert after is None or codes <= {"execute.batch", "execute.short"}, rejected
        assume(False)
    store.verify(out, folder)
    return store.read(out)


def cells(folder: Path) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(store.read_rows(folder, store.read(folder))))


def times(rows: pl.DataFrame) -> Counter[bytes]:
    return Counter(rows["sample_id"].to_list())


def replayed(folder: Path, name: str) -> None:
    """The manifest comes out the same again."""
    manifest = store.read(folder / name)
    checked, bound = bind_manifest(manifest, Workspace(root=folder, cache=folder / ".recipe"), Findings())
    replay(manifest, checked, bound, Findings(), prefix=Prefix.kept(folder / name))


def written(folder: Path, mix: Mix, name: str) -> None:
    mix.write(folder, f"{name}.yaml")


def position_of(manifest: Manifest, mix: Mix, data: st.DataObject) -> int:
    """A position that the recipe's batches allow."""
    rows = mix.recipe.get("batch", {}).get("rows", 1)
    assume(manifest.draws >= rows)
    return rows * data.draw(st.integers(1, manifest.draws // rows), label="position")


@SETTINGS
@given(mix=mixes(), data=st.data())
def test_an_unchanged_recipe_goes_on_as_if_nothing_had_been(mix: Mix, data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, mix, "old")
        old = compiled(folder, "old")
        position = position_of(old, mix, data)
        new = compiled(folder, "old", after=("old", position))
        assert draws(folder / "old").drop("check").equals(draws(folder / "old-after-old").drop("check"))
        assert (new.ids.pools, new.ids.selection, new.ids.order) == (old.ids.pools, old.ids.selection, old.ids.order)
        assert (new.pools, new.sources, new.rules) == (old.pools, old.sources, old.rules)
        assert new.after is not None
        assert (new.after.manifest, new.after.position) == (old.ids.manifest, position)
        assert new.after.past_pools == new.after.past_sources == ()
        assert_honest(old, new, folder / "old-after-old")
        # What each source has now and had before is what it has where nothing was cut.
        for was, now in zip(old.stages, new.own_stages, strict=True):
            assert {share.name: share.realised for share in was.shares} == {
                share.name: share.realised + share.earlier for share in now.shares
            }
        replayed(folder, "old-after-old")


@SETTINGS
@given(data=st.data())
def test_any_recipe_goes_on_from_any_other(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        records = data.draw(pools(), label="records")
        before, after = (data.draw(mixes(records), label=side) for side in ("before", "after"))
        if data.draw(st.booleans(), label="fewer pools"):
            after.recipe["pools"].pop("a")  # type: ignore[index]
            after.recipe.pop("stages", None)  # type: ignore[attr-defined]
        written(folder, before, "old")
        written(folder, after, "new")
        old = compiled(folder, "old")
        compiled(folder, "new")
        position = position_of(old, after, data)
        new = compiled(folder, "new", after=("old", position))
        out = folder / "new-after-old"
        rows = cells(out)
        assert rows[:position].equals(cells(folder / "old")[:position])
        assert rows["position"].to_list() == list(range(new.draws))
        assert draws(out)[:position].drop("check").equals(draws(folder / "old")[:position].drop("check"))
        assert_honest(old, new, out)
        had, wanted, found = times(rows[:position]), times(cells(folder / "new")), times(rows)
        rest = rows[position:]["sample_id"].to_list()
        batch = after.recipe.get("batch")
        if batch is None:
            assert found == had | wanted, (
                "a sample is drawn as often as it was or as the recipe asks, whichever is more"
            )
            order = iter(cells(folder / "new")["sample_id"].to_list())
            assert all(sample in order for sample in rest), "what is left keeps its order"
        else:
            # Batches leave out or add less than one batch of each modality in each stage, and nothing else.
            written(folder, Mix({**after.recipe, "batch": {"rows": 1}}, after.records), "free")
            compiled(folder, "free")
            asked = had | times(cells(folder / "free"))
            assert (found <= asked) if batch["remainder"] == "drop" else (found >= asked)
            few = len(new.own_stages) * (batch["rows"] - 1) * (3 if batch.get("modality") == "uniform" else 1)
            assert abs(found.total() - asked.total()) <= few
        limit = after.recipe.get("repeat", {}).get("max")
        if limit is not None:
            assert all(found[sample] <= max(limit * copies(rows, sample), had[sample]) for sample in set(rest))
        assert_batches(after, draws(out)[position:])
        replayed(folder, "new-after-old")


@settings(SETTINGS, max_examples=8)
@given(data=st.data())
def test_continuations_follow_one_another(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        records = data.draw(pools(), label="records")
        first, second, third = (data.draw(mixes(records), label=side) for side in ("first", "second", "third"))
        for mix, called in ((first, "first"), (second, "second"), (third, "third")):
            mix.recipe.pop("batch", None)  # type: ignore[attr-defined]
            written(folder, mix, called)
        start, _, alone = (compiled(folder, called) for called in ("first", "second", "third"))
        at = data.draw(st.integers(1, start.draws))
        middle = compiled(folder, "second", after=("first", at))
        position = data.draw(st.integers(1, middle.draws))
        end = compiled(folder, "third", after=("second-after-first", position))
        rows = cells(folder / "third-after-second-after-first")
        assert rows[:position].equals(cells(folder / "second-after-first")[:position])
        assert times(rows) == times(rows[:position]) | times(cells(folder / "third"))
        assert (alone.ids.pools, end.after and end.after.manifest) == (end.ids.pools, middle.ids.manifest)
        assert_honest(middle, end, folder / "third-after-second-after-first")
        replayed(folder, "third-after-second-after-first")


def copies(rows: pl.DataFrame, sample: bytes) -> int:
    """How many pools draw a sample of this content; a limit is on each."""
    return rows.filter(pl.col("sample_id") == sample).select("pool", "occurrence").n_unique()


def assert_honest(old: Manifest, new: Manifest, out: Path) -> None:
    """Tables begin with the old ones, and what stages say is what the rows are."""
    for name in ("pools", "sources", "rules"):
        was = getattr(old, name)
        assert getattr(new, name)[: len(was)] == was
    assert new.after is not None
    rows = cells(out)
    for number, stage in enumerate(new.stages):
        own = rows.filter(pl.col("stage") == number)
        assert own["position"].to_list() == list(range(stage.start, stage.start + stage.draws))
        assert stage.samples == own.select("sample_id", "pool", "occurrence").n_unique()
        found = Counter(own["rule"].to_list())
        assert {share.rule: share.realised for share in stage.shares if share.realised} == dict(found)
    assert len(new.stages) == len(new.own_stages) + len([s for s in old.stages if s.start < new.after.position])
    seen: Counter[tuple[object, ...]] = Counter()
    for row in rows.select("sample_id", "occurrence", "pool", "repeat", "position").iter_rows():
        if row[4] >= new.after.position and not new.after.past_pools:
            assert row[3] == seen[row[:3]]
        seen[row[:3]] += 1


def assert_batches(mix: Mix, rest: pl.DataFrame) -> None:
    """The promises of `tests.mixes` hold for what is left."""
    batch = mix.recipe.get("batch")
    if batch is None:
        return
    assert rest.height % batch["rows"] == 0
    if "stratify" in batch:
        for stage in rest["stage"].unique(maintain_order=True):
            own = rest.filter(pl.col("stage") == stage)
            assert own.height % batch["rows"] == 0


KINDS = {"text": 40, "image": 30, "video": 10}
STAGES = '[{name: one, where: pool == "image"}, {name: two, epochs: 2, replay: {one: 10%}}]'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("after")
    for kind, size in KINDS.items():
        media = {} if kind == "text" else {kind: "it.bin"}
        rows = [{**row, **media, "level": at % 7} for at, row in enumerate(questions(kind, size))]
        write_jsonl(folder / f"{kind}.jsonl", rows)
    return folder


def write_kinds(folder: Path, name: str, promise: str, *, seed: int, rows: int, remainder: str, stages: str) -> None:
    pools = {kind: {"source": f"{kind}.jsonl", "fields": {"columns": {"level": "level"}}} for kind in KINDS}
    text = f"recipe: 1\nname: b\nseed: {seed}\npools: {json.dumps(pools)}\nstages: {stages}\n"
    text += f"batch: {{rows: {rows}, remainder: {remainder}{promise}}}\n"
    (folder / f"{name}.yaml").write_text(text)


@settings(SETTINGS, max_examples=25, suppress_health_check=[*HealthCheck])
@given(
    data=st.data(),
    rows=st.sampled_from([2, 4, 6]),
    remainder=st.sampled_from(["drop", "pad"]),
    promise=st.sampled_from([", stratify: level", ", modality: uniform", ", modality: anchored, micro: 2"]),
    stages=st.sampled_from(["[{name: s}]", STAGES]),
    other=st.booleans(),
)
def test_every_batch_keeps_its_promise_before_and_after(
    folder: Path, data: st.DataObject, rows: int, remainder: str, promise: str, stages: str, *, other: bool
) -> None:
    """With the same recipe, and with one of another seed, whose batches are made anew."""
    write_kinds(folder, "old", promise, seed=1, rows=rows, remainder=remainder, stages=stages)
    write_kinds(folder, "new", promise, seed=2 if other else 1, rows=rows, remainder=remainder, stages=stages)
    old = compiled(folder, "old")
    position = rows * data.draw(st.integers(1, old.draws // rows), label="position")
    new = compiled(folder, "new", after=("old", position))
    found = cells(folder / "new-after-old")
    assert found[:position].equals(cells(folder / "old")[:position])
    if not other:
        assert new.ids.order == old.ids.order
    for stage in new.own_stages:
        own = found[stage.start : stage.start + stage.draws]
        assert stage.start % rows == stage.draws % rows == 0
        shown = own.with_columns(
            modality=pl.when(pl.col("videos") > 0).then(2).when(pl.col("images") > 0).then(1).otherwise(0),
            level=pl.Series([level_of(folder, new, row) for row in own.iter_rows(named=True)], dtype=pl.Int64),
        )
        for batch in shown.iter_slices(rows):
            if "uniform" in promise:
                assert batch["modality"].n_unique() == 1
            if "anchored" in promise:
                assert all((micro["modality"] > 0).any() for micro in batch.iter_slices(2))
            if "stratify" in promise and other:
                for level in range(7):
                    share = (shown["level"] == level).sum() / shown.height
                    held = int((batch["level"] == level).sum())
                    # A stage that loses nothing, or whole batches, keeps the shares it had as a whole.
                    assert abs(held - share * rows) < 1 or not any(part.earlier for part in stage.shares)


def level_of(folder: Path, manifest: Manifest, row: dict[str, int]) -> int:
    data = (folder / manifest.sources[row["source"]].path).read_bytes()
    level: int = json.loads(data[row["offset"] : row["offset"] + row["length"]])["level"]
    return level
