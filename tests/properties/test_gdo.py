"""Goal-driven selection: equal to a slow oracle on random pools, and the laws that it promises."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler import kernels, scanning
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute.goals import budget
from recipe_compiler.execute.run import Selection, run
from recipe_compiler.execute.task import order_key
from recipe_compiler.model.gdo import PRESETS
from recipe_compiler.pipeline import bind_recipe, check_recipe
from recipe_compiler.plan.goals import Parameters
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.review.explain import Explainer
from tests import gdo_oracle as oracle
from tests.support import compile_text, write_jsonl, write_recipe

NUMBERS = (*oracle.METRICS, "ppl", "flow", "consistency", "tnc", "coverage")
SOURCES = ("shapes", "colours(train)", "a_b_c_d_e", "a_b_c_d_f", "rare")
QUESTION = ("what", "is", "shown", "which", "of", "these", "choices", "comes", "then", "red", "before", "it", "goes")
ANSWER = ("a", "red", "ball", "and", "a", "blue", "cup", "lie", "on", "the", "table")

#: What hundreds of samples can show of parameters that are made for millions.
SMALL = {
    "min_count": 5,
    "max_count": 60,
    "min_share": Fraction(1, 100),
    "max_share": Fraction(6, 10),
    "strata_multiplier": Fraction(11, 10),
    "coverage": Fraction(9, 10),
    "tail_target": Fraction(2),
    "visual_target": 12,
    "visual_multiplier": Fraction(3, 2),
    "min_video": Fraction(3, 10),
    "max_video": Fraction(5, 10),
    "min_temporal": Fraction(3, 10),
    "temporal_categories": ("Temporal",),
    "oversample": Fraction(13, 10),
    "oversample_video": Fraction(2),
    "oversample_temporal": Fraction(3),
    "floor_groups": 3,
    "floor_share": Fraction(2, 100),
    "floor_expected": Fraction(4, 10),
}


def dice(seed: int) -> Random:
    return Random(seed)  # noqa: S311


def pool(chance: Random, size: int, *, twins: bool = True, given_quality: bool = False) -> list[dict[str, Any]]:
    """Samples with texts and videos in common, and descriptors that are missing here and there."""
    kinds = chance.choice([(1, 1, 4), (0, 1, 12), (1, 1, 40), (0, 1, 1)])
    absent = [name for name in NUMBERS if chance.random() < 0.2]
    found = []
    for number in range(size):
        frames = chance.choice(kinds)
        subject = chance.randrange(max(2, size // 5)) if frames > 1 else number
        asked = chance.sample(QUESTION, chance.randrange(1, len(QUESTION)))
        answered = chance.choices(ANSWER, k=chance.randrange(1, 20))
        tag = "" if twins and chance.random() < 0.15 else f" {number}"
        record: dict[str, Any] = {
            "id": f"s{number}",
            "question": " ".join(asked if tag else ["what", "is", "next"]) + tag,
            "answer": " ".join(answered) if tag else "it is red",
            "data_source": chance.choice(SOURCES),
            "images": [f"{subject}-{frame}.png" for frame in range(frames)],
        }
        for name in NUMBERS:
            gone = name in absent or chance.random() < 0.1
            record[name] = None if gone else round(chance.random() * 3, 6)
        found.append(record)
    if not given_quality:
        for record in found:
            record["quality"] = None
    return found


def recipe(select: str, seed: int = 3) -> str:
    return (
        "recipe: 1\nname: goals\nannotations: [{source: scores.parquet, match: key}]\n"
        f"seed: {seed}\n"
        "pools:\n  a: {source: a.jsonl, fields: {key: id, user: question, assistant: answer, images: images, "
        "columns: {data_source: data_source}}}\n"
        f"select: {select}\n"
    )


def part(settings: Mapping[str, Any], **rest: str) -> str:
    """A selection with these parameters and settings."""
    written = ", ".join(f"{name}: {_written(value)}" for name, value in settings.items())
    more = "".join(f", {name}: {value}" for name, value in rest.items())
    return f"{{method: gdo, goal: temp, columns: {{source: data_source, frames: images}}, parameters: {{{written}}}{more}}}"


def _written(value: object) -> str:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)


def write_pool(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    names = ("id", "question", "answer", "data_source", "images")
    write_jsonl(folder / "a.jsonl", [{name: record[name] for name in names} for record in records])
    rows = [{"key": record["id"], **{name: record[name] for name in NUMBERS}} for record in records]
    pl.DataFrame(rows, schema={"key": pl.String, **dict.fromkeys(NUMBERS, pl.Float64)}).write_parquet(
        folder / "scores.parquet"
    )


def selected(folder: Path, text: str) -> tuple[Selection, Findings]:
    findings = Findings()
    checked = check_recipe(write_recipe(folder, text), findings)
    bound = bind_recipe(checked, Workspace(root=folder, cache=folder / ".recipe"), findings)
    return run(bound, checked.recipe, findings), findings


def taken(selection: Selection) -> set[str]:
    return set(selection.frame["key"].filter(pl.Series(selection.times > 0)).to_list())


def ranks(selection: Selection, *rule: str, seed: int = 3) -> list[int]:
    rows = np.arange(selection.frame.height, dtype=np.uint32)
    order = kernels.best_first(order_key(seed, *rule), selection.keys, rows=rows, scores=None)
    found = np.zeros(len(order), dtype=int)
    found[order] = np.arange(len(order))
    return found.tolist()


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32))
def test_a_selection_is_that_of_the_oracle(seed: int) -> None:
    chance = dice(seed)
    records = pool(chance, chance.randrange(5, 90), given_quality=chance.random() < 0.5)
    p = dict(SMALL)
    for name, options in {
        "temporal_categories": [("Temporal",), ("Mixed", "Temporal")],
        "max_share": [Fraction(6, 10), Fraction(95, 100), Fraction(0)],
        "max_count": [60, 1000],
        "min_video": [Fraction(0), Fraction(3, 10), Fraction(9, 10)],
        "oversample": [Fraction(1), Fraction(13, 10)],
        "floor_share": [Fraction(0), Fraction(2, 100), Fraction(3, 10)],
        "visual_target": [0, 12],
    }.items():
        p[name] = chance.choice(options)
    per_video = chance.choice([1, 2, 8])
    without = [name for name in ("vds", "ppl", "sc") if chance.random() < 0.2]
    rest = {"per_video": str(per_video), "without": f"[{', '.join(without)}]"}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_pool(folder, records)
        selection, findings = selected(folder, recipe(part(p, **rest)))
        assert selection.frame["key"].to_list() == [record["id"] for record in records]
    rho, visual, measured = oracle.scores(records, without)
    n = oracle.budget(list(Counter(map(oracle.stratum, records)).values()), p)
    n = oracle.grown(n, len(records), visual, measured, p)
    tie, luck = ranks(selection, "select"), ranks(selection, "select", "chance")
    wanted = oracle.choose(records, rho, n, p, per_video, tie, luck)
    assert taken(selection) == {records[row]["id"] for row in wanted}
    told = {request.what: request for request in selection.requests}
    stages = Counter(wanted.values())
    names = ("temporal videos", "videos", "groups of sources", "quotas of strata", "scores", "chance")
    for stage, name in zip(("temporal", "video", "group", "quota", "score", "chance"), names, strict=True):
        assert told[f"by {name}"].realised == stages[stage]
    assert sum(share.realised for share in selection.strata) == len(wanted) <= n
    assert sum(Fraction(share.requested) for share in selection.strata) == n
    short = {diagnostic.code for diagnostic in findings.diagnostics} & {"note.unmet"}
    assert (
        bool(short)
        == any(
            request.realised < int(request.requested.replace(",", ""))
            for request in selection.requests
            if request.what.endswith("at least")
        )
        or len(wanted) < n
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_scores_are_those_of_the_formulas(seed: int) -> None:
    chance = dice(seed)
    records = pool(chance, chance.randrange(1, 60), given_quality=chance.random() < 0.5)
    rho, visual, measured = oracle.scores(records)
    values = list(zip(*map(oracle.fields, records), strict=True))
    numbers = [np.array([sorted(set(column)).index(value) for value in column], dtype=np.uint32) for column in values]
    sources = [SOURCES.index(record["data_source"]) for record in records]
    lengths = [[len(oracle.words(record[name])) for record in records] for name in ("question", "answer")]
    different = [
        len(set(oracle.words(record["answer"]))) / max(count, 1)
        for record, count in zip(records, lengths[1], strict=True)
    ]
    given = {name: [record[name] for record in records] for name in oracle.METRICS}
    given |= {"vds": [oracle.with_vds(record) for record in records], "quality": oracle.qualities(records)}
    found = kernels.goal_scores(
        rows=(
            np.ones(len(records), dtype=np.bool_),
            np.array([("image", "video", "text").index(oracle.kind(record)) for record in records], dtype=np.uint8),
            np.array([("Static", "Mixed", "Temporal").index(oracle.temporal(record)) for record in records], np.uint8),
        ),
        lengths=tuple(np.array(column, dtype=np.float64) for column in (*lengths, different)),  # type: ignore[arg-type]
        fields=numbers,
        source=np.array(sources, dtype=np.uint32),
        metrics=tuple(
            np.array([math.nan if value is None else value for value in given[name]]) for name in oracle.METRICS
        ),  # type: ignore[arg-type]
        without=(False, False, False),
    )
    np.testing.assert_allclose(found[0], rho, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], visual, rtol=0, atol=1e-11)
    assert found[2].tolist() == measured


def test_texts_are_measured_as_the_regular_expression_says(tmp_path: Path) -> None:
    chance = dice(5)
    letters = "aB z9_-,.:é\n漢"
    records = [
        {name: "x" + "".join(chance.choices(letters, k=chance.randrange(40))) for name in ("question", "answer")}
        for _ in range(300)
    ]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    fields = {"user": ["question"], "assistant": ["answer"]}
    layout = scanning.layout("a.jsonl", path, hint={}, preset="auto", fields=fields)
    _, mapping, _ = scanning.detect(path, layout=layout, preset="auto", fields=fields)
    found = scanning.wording(path, layout=layout, fields=mapping)
    for name in ("question", "answer"):
        assert found[f"{name}_words"].tolist() == [len(oracle.words(record[name])) for record in records]
    assert found["answer_distinct"].tolist() == [len(set(oracle.words(record["answer"]))) for record in records]


PUBLISHED = """
min_count            12000    14000    15000    16000
max_count            72000    95000    90000    110000
min_share            .001     .001     .001     .001
max_share            .014     .016     .016     .018
strata_multiplier    16       26       20       22
coverage             .93      .97      .95      .95
tail_target          3.5      8        10       16
visual_target        2600     5000     6500     9000
visual_multiplier    1.6      2.4      2.4      3.2
min_video            .15      .25      .35      .50
max_video            .32      .45      .50      .64
min_temporal         .05      .15      .20      .38
oversample           1.15     1.28     1.30     1.35
oversample_video     1.45     1.9      2.2      2.9
oversample_temporal  1.55     2.2      3.0      4.2
floor_groups         14       28       18       16
floor_share          .0015    .0030    .0022    .0025
floor_expected       .33      .45      .38      .38
"""


def preset(goal: str) -> Parameters:
    kept = {name: getattr(PRESETS[goal], name) for name in PRESETS[goal].model_fields_set}  # type: ignore[index]
    return Parameters(**{**kept, "temporal_categories": tuple(kept["temporal_categories"])})


def test_goals_are_the_published_numbers() -> None:
    rows = [line.split() for line in PUBLISHED.strip().splitlines()]
    for column, goal in enumerate(("minloss", "diverse", "temp", "temp_plus")):
        wanted = {name: Fraction(numbers[column]) for name, *numbers in rows}
        assert asdict(preset(goal)) == wanted | {"temporal_categories": ("Temporal",)}


def test_the_budget_rule_gives_the_published_sizes() -> None:
    """33.3k : 53.3k is the tail's 10 : 16 at a coverage of .95, where the last stratum covered is 3.0e-4 of the pool.

    Diverse is 8 of the last one at .97; MinLoss is 16 for each of about 806 effective strata.
    """
    total = 3_333_000
    # Large strata up to .95, then some of 1.865e-4 each up to .97, then what is smaller.
    tail, last = 1000, 621
    large = [tail] * 101 + [(total * 95 // 100 - tail * 100) // 700] * 700
    middle = [last] * (total * 2 // 100 // last + 2)
    rest = total - sum(large) - sum(middle)
    sizes = [*large, *middle, *[100] * (rest // 100), rest % 100]
    assert sum(sizes) == total
    temp, plus, diverse = (budget.automatic(sizes, preset(goal)) for goal in ("temp", "temp_plus", "diverse"))
    assert (temp, plus) == (math.ceil(10 * Fraction(total, tail)), math.ceil(16 * Fraction(total, tail)))
    assert (temp, plus) == (33_330, 53_328) and Fraction(temp, plus) == Fraction(33_330, 53_328)
    assert diverse == math.ceil(8 * Fraction(total, last)) == 42_938
    assert Fraction(temp, 10) == pytest.approx(Fraction(plus, 16), rel=1e-4)
    even = [total // 806] * 806
    assert budget.effective(even) == 806 and budget.automatic(even, preset("minloss")) == 16 * 806 == 12_896


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60), st.integers(0, 400), st.data())
def test_quotas_are_exact_and_floors_leave_room(sizes: list[int], total: int, data: st.DataObject) -> None:
    total = min(total, sum(sizes))
    kinds = data.draw(st.lists(st.sampled_from([(0, 0), (1, 0), (1, 1)]), min_size=len(sizes), max_size=len(sizes)))
    asked = budget.counts(total, sizes, [(bool(a), bool(b)) for a, b in kinds], sizes, Parameters(**SMALL))
    assert sum(asked.quotas) == total
    assert all(
        abs(quota - Fraction(total * size, sum(sizes))) < 1 for quota, size in zip(asked.quotas, sizes, strict=True)
    )
    assert (
        all(cap >= quota for cap, quota in zip(asked.caps, asked.quotas, strict=True))
        and asked.video <= asked.most_video
    )
    assert sum(least for _, least in asked.floors) <= max(Fraction(7, 10) * total, len(asked.floors))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_no_text_twice_and_videos_within_their_bounds(seed: int) -> None:
    chance = dice(seed)
    records = pool(chance, 150)
    by_key = {record["id"]: record for record in records}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_pool(folder, records)
        goal, _ = selected(folder, recipe(part(SMALL, per_video="3")))
        uniform, _ = selected(folder, recipe(part(SMALL, per_video="3", baseline="2")))
    n = next(int(sum(Fraction(share.requested) for share in found.strata)) for found in (goal,))
    for found, most in ((goal, n), (uniform, 2 * n)):
        rows = [by_key[key] for key in taken(found)]
        assert len(rows) <= most
        assert max(Counter(map(oracle.said, rows)).values()) == 1
        videos = Counter(record["images"][0] for record in rows if oracle.kind(record) == "video")
        assert max(videos.values(), default=0) <= 3
    at_most = next(request for request in goal.requests if request.what == "videos, at most")
    assert at_most.realised <= int(at_most.requested)
    assert taken(uniform) == by_chance(records, uniform, 2 * n)


def by_chance(records: Sequence[Mapping[str, Any]], selection: Selection, most: int) -> set[str]:
    """The control, slowly: along the keyed order, each text once and three samples of a video."""
    luck, texts, videos, found = ranks(selection, "select", "chance"), set(), Counter[str](), set()
    for row in sorted(range(len(records)), key=luck.__getitem__):
        record = records[row]
        video = record["images"][0] if oracle.kind(record) == "video" else None
        if len(found) < most and oracle.said(record) not in texts and (video is None or videos[video] < 3):
            found.add(record["id"])
            texts.add(oracle.said(record))
            videos.update([video] if video else [])
    return found


@pytest.mark.parametrize("change", [{"oversample": Fraction(3)}, {"min_video": Fraction(45, 100)}, {"floor_groups": 0}])
def test_a_small_edit_changes_each_stratum_by_its_counts(tmp_path: Path, change: dict[str, Any]) -> None:
    """The churn that is promised: where nothing is refused and chance takes nothing, what the counts demand."""
    records = pool(dice(8), 400, twins=False)
    by_key = {record["id"]: record for record in records}
    write_pool(tmp_path, records)
    before, _ = selected(tmp_path, recipe(part(SMALL, budget="{count: 90}", per_video="1000")))
    for after_settings, count in ((SMALL | change, 90), (SMALL, 91), (SMALL, 140)):
        text = recipe(part(after_settings, budget=f"{{count: {count}}}", per_video="1000"))
        after, _ = selected(tmp_path, text)
        assert next(r.realised for r in after.requests if r.what == "by chance") == 0
        one, other = (Counter(oracle.stratum(by_key[key]) for key in taken(found)) for found in (before, after))
        assert len(taken(before) ^ taken(after)) == sum(abs(one[name] - other[name]) for name in one | other)


def test_how_records_lie_in_files_does_not_matter(tmp_path: Path) -> None:
    records = pool(dice(10), 200)
    found = []
    for name, order in (("one", records), ("other", dice(1).sample(records, len(records)))):
        (tmp_path / name).mkdir()
        write_pool(tmp_path / name, order)
        found.append(taken(selected(tmp_path / name, recipe(part(SMALL)))[0]))
    assert found[0] == found[1]


def test_a_larger_control_only_adds(tmp_path: Path) -> None:
    records = pool(dice(9), 300)
    write_pool(tmp_path, records)
    smaller, larger = (
        taken(selected(tmp_path, recipe(part(SMALL, budget="{count: 20}", baseline=times)))[0]) for times in ("3", "5")
    )
    assert len(smaller) == 60 and len(larger) == 100 and smaller < larger


def test_compat_counts_every_video_as_temporal(tmp_path: Path) -> None:
    records = pool(dice(11), 200)
    write_pool(tmp_path, records)
    own = {name: value for name, value in SMALL.items() if name != "temporal_categories"}
    mended, _ = selected(tmp_path, recipe(part(own)))
    compat, _ = selected(tmp_path, recipe(part(own, compat="true")))
    for found, wanted in ((mended, "Temporal"), (compat, "")):
        told = {request.what: request for request in found.requests}
        videos = sum(oracle.kind(r) == "video" and oracle.temporal(r).startswith(wanted) for r in records)
        assert told["temporal videos, at least"].available == videos
    told = {request.what: request for request in compat.requests}
    assert told["temporal videos, at least"].realised == told["videos, at least"].realised


def test_explain_names_the_stage_or_what_a_sample_lost_to(tmp_path: Path) -> None:
    records = pool(dice(13), 60)
    write_pool(tmp_path, records)
    text = recipe(part(SMALL, budget="{count: 45}", per_video="2"))
    built = compile_text(tmp_path, text)
    place = Workspace(root=tmp_path, cache=tmp_path / ".recipe")
    chosen = taken(selected(tmp_path, text)[0])
    notes: Counter[str] = Counter()
    explainer = Explainer(tmp_path / "out", place, Findings())
    for record in records:
        answer = explainer.samples(record["id"], by="key", limit=1)
        (found,) = answer.explanations
        rule = next(rule for rule in found.rules if rule.rule.startswith("select"))
        assert (rule.verdict == "taken") == (record["id"] in chosen)
        assert rule.values["stratum"] == " | ".join(oracle.stratum(record))
        assert 1 <= rule.rank <= rule.of
        assert rule.verdict != "taken" or rule.rank <= rule.threshold
        notes[rule.note.split(" its ")[0]] += 1
    told = {request.what: request.realised for request in built.manifest.requests}
    for stage in ("temporal videos", "videos", "groups of sources", "quotas of strata", "scores", "chance"):
        assert notes[f"by {stage}"] == told[f"by {stage}"]
    assert notes["another sample of the same texts is taken"] > 0


def test_a_manifest_names_few_strata(tmp_path: Path) -> None:
    records = [
        {"id": f"s{number}", "question": "What is it?", "answer": f"It is {number}.", "data_source": f"d{number % 700}"}
        for number in range(1400)
    ]
    write_jsonl(tmp_path / "a.jsonl", records)
    text = recipe("{method: gdo, goal: temp, budget: {count: 700}, columns: {source: data_source}}")
    text = text.replace("annotations: [{source: scores.parquet, match: key}]\n", "").replace("images: images, ", "")
    manifest = compile_text(tmp_path, text).manifest
    assert len(manifest.strata) == 501 and manifest.strata[-1].name == "200 smaller strata"
    assert sum(share.realised for share in manifest.strata) == 700
