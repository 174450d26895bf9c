"""What `diff` says of two releases adds up, and every cause is what really kept its samples out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recipe_compiler.diagnostics import Findings, Rejected
from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.report.causes import Cause
from recipe_compiler.report.diff import ManifestDiff
from recipe_compiler.report.explanation import RuleMet
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.review.compare import compare, compile_side
from recipe_compiler.review.explain import Explainer
from tests.mixes import Mix, mixes, pools
from tests.support import draws

#: (name of the pool, id of the sample); samples of one pool are all different here.
Sample = tuple[str, str]


@st.composite
def edits(draw: st.DrawFn) -> tuple[Mix, Mix]:
    """Two releases: of one recipe over other pools, of other recipes over the same pools, or both."""
    old = draw(mixes())
    kind = draw(st.sampled_from(["recipe", "setting", "pools", "both"]))
    if kind == "both":
        return old, draw(mixes())
    if kind == "pools":
        records = {name: numbers for name, numbers in draw(pools()).items() if name in old.records}
        return old, Mix(old.recipe, {**old.records, **records})
    new = draw(mixes(old.records))
    if kind == "recipe":
        return old, new
    setting = draw(st.sampled_from(["pools", "filter", "dedup", "select", "stages", "repeat", "batch", "seed"]))
    recipe = {key: value for key, value in old.recipe.items() if key != setting}
    return old, Mix({**recipe, **({setting: new.recipe[setting]} if setting in new.recipe else {})}, old.records)


@contextmanager
def released(old: Mix, new: Mix) -> Iterator[tuple[Path, Workspace]]:
    """A folder with the manifests `old` and `new`; the pools are those of the new one. The old lives on in the cache."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        place = Workspace(root=folder, cache=folder / ".recipe")
        for mix, out in ((old, "old"), (new, "new")):
            (folder / f"pools of {out}").mkdir()
            mix.write(folder / f"pools of {out}")
            try:
                compile_recipe(mix.write(folder), place, folder / out)
            except Rejected:
                assume(False)
        yield folder, place


def difference(folder: Path, place: Workspace, before: str, after: str) -> ManifestDiff:
    return compare(*(compile_side(str(folder / name), place) for name in (before, after)), columns=())


@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(edits())
def test_a_difference_adds_up_and_its_causes_are_real(edit: tuple[Mix, Mix]) -> None:
    with released(*edit) as (folder, place):
        found = difference(folder, place, "old", "new")
        assert found.unexplained == ""
        assert_adds_up(found)
        samples = {name: set(draws_of(folder / name)) for name in ("old", "new")}
        added, removed = samples["new"] - samples["old"], samples["old"] - samples["new"]
        assert (found.added, found.removed) == (len(added), len(removed))
        for effect, which, outside in (("added", added, "old"), ("removed", removed, "new")):
            told = {rule: number for (of, rule), number in by_rule(found).items() if of == effect}
            assert told == reasons(folder, outside, which), (effect, found.causes)
        assert_swapped(found, difference(folder, place, "new", "old"))
        same = difference(folder, place, "old", "old")
        assert same.is_empty
        assert (same.settings, same.causes, same.moved, same.bump.part) == ((), (), 0, "none")


def assert_swapped(found: ManifestDiff, back: ManifestDiff) -> None:
    """Backwards, what was added is removed, by the same rules."""
    assert (back.added, back.removed, back.kept) == (found.removed, found.added, found.kept)
    assert (back.moved, back.restaged, back.repeats_changed) == (found.moved, found.restaged, found.repeats_changed)
    assert back.examples_added == found.examples_removed
    other = {"added": "removed", "removed": "added"}
    assert by_rule(back) == {(other[effect], rule): number for (effect, rule), number in by_rule(found).items()}


def by_rule(found: ManifestDiff) -> Counter[tuple[str, str]]:
    """Samples by effect and by what kept them out."""
    counted = Counter[tuple[str, str]]()
    for cause in found.causes:
        counted[cause.effect, kept_out_by(cause)] += cause.samples
    return counted


def draws_of(folder: Path) -> list[Sample]:
    return [(pool, sample.hex()) for pool, sample in draws(folder).select("pool", "sample_id").rows()]


def assert_adds_up(found: ManifestDiff) -> None:
    """Each table has the same totals as the head, and numbers of causes add up to its cells."""
    by_effect = Counter({"added": 0, "removed": 0})
    for cause in found.causes:
        by_effect[cause.effect] += cause.samples
        assert sum(cause.pools.values()) == sum(cause.stages.values()) == cause.samples > 0
    assert by_effect == {"added": found.added, "removed": found.removed}
    assert [cause.number for cause in found.causes] == list(range(1, len(found.causes) + 1))
    for label, changes in found.counts.items():
        assert sum(change.draws_before for change in changes) == found.draws_before, label
        assert sum(change.draws_after for change in changes) == found.draws_after, label
        assert sum(change.added for change in changes) == found.added, label
        assert sum(change.removed for change in changes) == found.removed, label
        for change in changes:
            assert sum(number for number in change.because.values() if number > 0) == change.added, (label, change)
            assert -sum(number for number in change.because.values() if number < 0) == change.removed, (label, change)
    assert found.samples_before - found.removed == found.samples_after - found.added == found.kept
    for drift in found.drift:
        for side in ("before", "after"):
            assert abs(sum(getattr(part, side) for part in drift.bins) - 1) < 1e-9


def kept_out_by(cause: Cause) -> str:
    """The rule (or `content`) that kept the samples of a cause out, as `explain` calls it."""
    told = cause.because
    for ending in (": the same rule, over other samples", ": with other settings", ": not any more", ": new"):
        told = told.removesuffix(ending)
    if " pool " in f" {told}" and told.split()[0] in ("pool", "new", "gone"):
        return "content"
    old, arrow, new = told.partition(" -> ")
    rule = new if arrow and cause.effect == "removed" else old
    return "stage" if rule.startswith("stage ") else rule


def reasons(folder: Path, manifest: str, which: set[Sample]) -> Counter[str]:
    """What `explain` says kept these samples out of a release, asked where its pools are still as they were."""
    place = Workspace(root=folder / f"pools of {manifest}", cache=folder / ".recipe")
    answer = Explainer(folder / manifest, place, Findings()).samples("It is", by="text", limit=10_000)
    known = {(found.pool, found.sample_id): found.rules[-1] for found in answer.explanations}
    return Counter(kept_out(known.get(sample)) for sample in which)


def kept_out(last: RuleMet | None) -> str:
    if last is None or last.verdict == "held out":
        return "content"
    if last.verdict == "not taken":
        return "no stage takes them"
    return "stage" if last.verdict == "not drawn" else last.rule


@settings(max_examples=15, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(mixes(), st.sampled_from(["a", "b"]))
def test_removing_a_pool_moves_nothing(mix: Mix, gone: str) -> None:
    """Of what is drawn of the others, once each, none changes place; with a select others come in between."""
    recipe = {key: value for key, value in mix.recipe.items() if key not in ("stages", "dedup", "batch")}
    named = {name: pool for name, pool in recipe["pools"].items() if name != gone}
    records = {name: numbers for name, numbers in mix.records.items() if name != gone}
    with released(Mix(recipe, mix.records), Mix({**recipe, "pools": named}, records)) as (folder, place):
        found = difference(folder, place, "old", "new")
        assert found.moved == found.restaged == 0
        assert found.unexplained == ""
        contents = {pool.name: (pool.samples_before, pool.samples_after) for pool in found.pool_contents}
        assert contents[gone] == (len(mix.records[gone]), None)
