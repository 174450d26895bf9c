"""mmSSR in recipes: what a manifest and `explain` say is what the oracle takes; bins of a new source; refusals."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recipe_compiler.diagnostics import Findings
from recipe_compiler.manifest import store
from recipe_compiler.report.explanation import Explanation
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.review.explain import Explainer
from tests.methods import mmssr_oracle
from tests.methods.mmssr_oracle import Sample
from tests.support import compile_text, draws, questions, rejected, write_jsonl

FILLED = "taken at random to fill the budget"
SCORES = ("logic", "ocr", "scene")
STYLES = ("short", "long, short", "choice", "long,choice", " choice , short ", "long", "")


def write_pools(folder: Path, *, listed: bool = False) -> dict[str, Sample]:
    """Two pools and a table of their scores; gives the samples by key. No two scores are the same."""
    rng = random.Random(3)  # noqa: S311
    rows: list[dict[str, Any]] = []
    found: dict[str, Sample] = {}
    for pool, count in (("a", 60), ("b", 25)):
        write_jsonl(folder / f"{pool}.jsonl", questions(pool, count))
        for number in range(count):
            style = rng.choice(STYLES)
            scores = {name: None if rng.random() < 0.05 else 5 * rng.random() for name in SCORES}
            names = [name.strip() for name in style.split(",") if name.strip()]
            key = f"{pool}-{number}"
            rows.append({"key": key, "style": names if listed else style, **scores})
            found[key] = Sample((), [f"{name} / {pool}" for name in names], scores)
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "scores.parquet")
    return found


def text(select: str) -> str:
    pools = "pools: {a: {source: a.jsonl}, b: {source: b.jsonl}}\n"
    scores = "annotations: [{source: scores.parquet, match: key}]\n"
    return f"recipe: 1\nname: mix\nseed: 5\n{pools}{scores}select: {{method: mmssr, {select}}}\n"


def explained(folder: Path) -> dict[str, Explanation]:
    place = Workspace(root=folder, cache=folder / ".recipe")
    answer = Explainer(folder / "out", place, Findings()).samples("It is", by="text", limit=1000)
    return {found.key: found for found in answer.explanations}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("compat", ["false", "true"])
def test_a_recipe_takes_what_the_oracle_takes_and_explain_says_why(tmp_path: Path, compat: str, listed: bool) -> None:
    samples = write_pools(tmp_path, listed=listed)
    settings = f"budget: {{count: 31}}, capabilities: [{', '.join(SCORES)}], compat: {compat}, threshold: 1/2"
    compile_text(tmp_path, text(settings))
    keys = list(samples)
    listing = [samples[key] for key in keys]
    wanted = mmssr_oracle.mmssr(listing, SCORES, 31, threshold=0.5, compat=compat == "true")
    charged = {keys[at]: by for at, by in wanted.charged.items()}
    ranks = {name: mmssr_oracle.ranking(listing, name, 0.5, compat=compat == "true") for name in SCORES}
    answers = explained(tmp_path)
    assert set(answers) == set(samples)
    assert {key for key, found in answers.items() if found.draws} == set(charged)
    for key, found in answers.items():
        rules = [rule for rule in found.rules if not rule.rule.startswith("stage")]
        at = keys.index(key)
        if key in charged:
            name, bin_ = charged[key]
            (rule,) = rules
            assert (rule.verdict, rule.values["charged to"], rule.values["bin"]) == ("taken", name, bin_)
            assert rule.rank == ranks[name][bin_].index(at) + 1 <= (rule.threshold or 0)
            continue
        *passed, last = rules
        assert last.verdict == "left out"
        assert len(passed) == len(SCORES) * len(samples[key].bins)
        for rule in passed:
            name, _, bin_ = rule.rule.partition(" in ")
            score = samples[key].scores[name]
            assert rule.values["score"] == score
            if score is None or score <= 0.5:
                assert rule.rank is None
                continue
            took = [place for place, row in enumerate(ranks[name][bin_], 1) if wanted.charged.get(row) == (name, bin_)]
            assert (rule.rank, rule.threshold) == (ranks[name][bin_].index(at) + 1, max(took, default=0))
            assert (rule.rank or 0) > (rule.threshold or 0)


def test_strata_say_what_each_capability_was_to_have_had_and_got(tmp_path: Path) -> None:
    samples = write_pools(tmp_path)
    compile_text(tmp_path, text(f"budget: {{count: 20}}, capabilities: [{', '.join(SCORES)}]"))
    wanted = mmssr_oracle.mmssr(list(samples.values()), SCORES, 20)
    for share, name in zip(store.read(tmp_path / "out").strata, SCORES, strict=True):
        scored = [sample for sample in samples.values() if sample.bins and (sample.scores[name] or 0) > 0]
        assert (share.name, share.requested, share.available) == (name, "20/3", len(scored))
        assert share.realised == sum(1 for found, _ in wanted.charged.values() if found == name)


def test_the_rest_is_taken_at_random_where_that_is_asked_for_and_an_error_where_not(tmp_path: Path) -> None:
    samples = write_pools(tmp_path)
    scored = {key for key, sample in samples.items() if sample.bins and (sample.scores["ocr"] or 0) > 3}
    settings = "budget: {share: 90%}, capabilities: [ocr], threshold: 3"
    (short,) = rejected(tmp_path, text(settings))
    assert (short.code, f"and {len(scored)} can be had" in short.headline) == ("execute.short", True)
    compile_text(tmp_path, text(settings + ", fill: random"))
    manifest = store.read(tmp_path / "out")
    assert manifest.draws == 76
    assert [share.realised for share in manifest.strata] == [len(scored), 76 - len(scored)]
    answers = explained(tmp_path)
    filled = [key for key, found in answers.items() if any(rule.note == FILLED for rule in found.rules)]
    assert {key for key, found in answers.items() if found.draws} == {*filled, *scored}
    assert not {*filled} & scored


@pytest.mark.parametrize("by", ["style", "style_source"])
def test_styles_that_pools_carry_are_those_of_a_table(tmp_path: Path, by: str) -> None:
    """A column of few texts is numbered in an index; one of a table of scores is not."""
    samples = write_pools(tmp_path)
    scores = pl.read_parquet(tmp_path / "scores.parquet").rows_by_key("key", named=True, unique=True)
    for pool, count in (("a", 60), ("b", 25)):
        rows = questions(pool, count)
        write_jsonl(tmp_path / f"{pool}.jsonl", [{**row, "kind": scores[row["id"]]["style"]} for row in rows])
    settings = f"budget: {{count: 31}}, capabilities: [{', '.join(SCORES)}], bin_by: {by}"
    compile_text(tmp_path, text(settings), out="table")
    columns = "fields: {columns: {kind: kind}}"
    carried = text(f"{settings}, style: kind").replace("jsonl}", f"jsonl, {columns}}}")
    compile_text(tmp_path, carried, out="carried")
    listing = [
        Sample((), sample.bins if by != "style" else [name.partition(" /")[0] for name in sample.bins], sample.scores)
        for sample in samples.values()
    ]
    wanted = mmssr_oracle.mmssr(listing, SCORES, 31)
    for out in ("table", "carried"):
        shares = {share.name: share.realised for share in store.read(tmp_path / out).strata}
        assert shares == {name: sum(1 for by, _ in wanted.charged.values() if by == name) for name in SCORES}
    assert set(draws(tmp_path / "carried")["sample_id"]) == set(draws(tmp_path / "table")["sample_id"])


def test_texts_that_are_no_styles_are_refused(tmp_path: Path) -> None:
    words = ",".join(f"w{number}" for number in range(201))
    rows = [{**row, "style": words, "ocr": 1} for row in questions("a", 3)]
    write_jsonl(tmp_path / "a.jsonl", rows)
    columns = "fields: {columns: {style: style, ocr: ocr}}"
    recipe = f"recipe: 1\nname: mix\npools: {{a: {{source: a.jsonl, {columns}}}}}\n"
    (found,) = rejected(tmp_path, recipe + "select: {method: mmssr, budget: {count: 1}, capabilities: [ocr]}\n")
    assert (found.code, "201 styles for one sample" in found.headline) == ("execute.too-many", True)


def test_a_new_source_gets_bins_of_its_own(tmp_path: Path) -> None:
    """With one style a sample, an added pool takes from the others no more than its turns have taken."""
    rows = [(f"{pool}-{number}", number) for pool in "abc" for number in range(40)]
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["key", "style", *SCORES])
        for key, number in rows:
            table.writerow([key, ("long", "short")[number % 2], *(hash_of(key, name) for name in SCORES)])
    for pool in "abc":
        write_jsonl(tmp_path / f"{pool}.jsonl", questions(pool, 40))
    settings = f"budget: {{count: 36}}, capabilities: [{', '.join(SCORES)}]"
    small = text(settings).replace("scores.parquet", "scores.csv")
    compile_text(tmp_path, small, out="small")
    compile_text(
        tmp_path, small.replace("b: {source: b.jsonl}", "b: {source: b.jsonl}, c: {source: c.jsonl}"), out="all"
    )
    before, after = (
        {name: set(frame.filter(pl.col("pool") == name)["sample_id"]) for name in "abc"}
        for frame in (draws(tmp_path / "small"), draws(tmp_path / "all"))
    )
    # Each of the 3 turns took 12: 3 of each of 4 bins before, 2 of each of 6 bins after.
    assert {name: len(found) for name, found in after.items()} == {"a": 12, "b": 12, "c": 12}
    for name in "ab":
        assert len(before[name]) == 18
        assert len(before[name] ^ after[name]) <= 6


def hash_of(*key: str) -> int:
    return sum(ord(letter) * place for place, letter in enumerate("/".join(key), 3)) * 7919 % 6
