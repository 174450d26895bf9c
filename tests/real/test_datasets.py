"""The real data sets as one recipe: every record is accounted for, and relations between sets that are known hold."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recipe_compiler.diagnostics import Diagnostic, Findings
from recipe_compiler.manifest import store
from recipe_compiler.manifest.schema import Manifest
from recipe_compiler.pipeline import bind_recipe, check_recipe, compile_recipe
from recipe_compiler.resolve.bind import BoundPlan
from recipe_compiler.resolve.workspace import Workspace
from runtime.stream import ManifestDataset
from tests.real.reading import bind_one, bind_pools, column, ids, keys, needs_data
from tests.support import SHARED_DATA, draws

pytestmark = needs_data

RECIPE = Path(__file__).with_name("datasets.yaml")

#: The catalogue takes a file whose only list with four or five texts is `choices` for a wrapped list, and counts those;
#: such a file is one question, and one sample.
ICONQA = {
    "choose_img": {4: (100, 104, 278, 312, 393, 42, 91), 5: (250, 52)},
    "choose_txt": {4: (171, 304, 399, 439, 801, 88), 5: (340, 44, 576, 600, 618, 619, 657, 778)},
}
#: Files that hold another number of records than the catalogue says: (catalogued, records).
DIFFERENT = {
    f"qa_iconqa/examples/{kind}/{folder}/data.json": (listed, 1)
    for kind, counts in ICONQA.items()
    for listed, folders in counts.items()
    for folder in folders
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """The recipe, compiled."""

    folder: Path
    cache: Path
    bound: BoundPlan
    manifest: Manifest
    warnings: list[Diagnostic]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("datasets")
    workspace = Workspace(root=SHARED_DATA, cache=folder / ".recipe")
    built, warnings = compile_recipe(RECIPE, workspace, folder / "out")
    findings = Findings()
    bound = bind_recipe(check_recipe(RECIPE, findings), workspace, findings)
    return Compiled(folder / "out", workspace.cache, bound, built.manifest, warnings)


def catalogued() -> dict[str, int]:
    """The records of each file, or of all files of a pattern, by the catalogue."""
    with (SHARED_DATA / "catalog.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    name = re.compile(r" \(\d+ files\)$")
    return {f"{row['dataset']}/{name.sub('', row['file'])}": int(row["n_samples"] or 0) for row in rows}


def test_every_record_of_every_file_is_a_sample_or_is_told_malformed(compiled: Compiled) -> None:
    samples = {source.path: source.samples for source in compiled.manifest.sources}
    malformed = {file.path: len(file.index.malformed) for pool in compiled.bound.pools for file in pool.files}
    assert samples.keys() == malformed.keys()
    found = {path: samples[path] + malformed[path] for path in samples}
    expected = catalogued()
    grouped: Counter[str] = Counter()
    different = {}
    for path, records in found.items():
        if path not in expected:
            [pattern] = [name for name in expected if "*" in name and fnmatchcase(path, name)]
            grouped[pattern] += records
        elif records != expected[path]:
            different[path] = (expected[path], records)
    assert different == DIFFERENT
    assert grouped == {pattern: expected[pattern] for pattern in grouped}
    assert {path: count for path, count in malformed.items() if count} == {
        "math_geometry3k/text_logic_forms_pred.json.gz": 5  # an empty list of forms answers nothing
    }


def test_it_spans_the_datasets_and_shapes(compiled: Compiled) -> None:
    datasets = {source.path.partition("/")[0] for source in compiled.manifest.sources}
    with (SHARED_DATA / "datasets.csv").open(encoding="utf-8", newline="") as handle:
        assert datasets < {row["dataset"] for row in csv.DictReader(handle)}
    assert len(datasets) == 41
    shapes = {(source.layout["shape"], source.wrapping) for source in compiled.manifest.sources}
    assert shapes == {
        ("json-array", "plain"),
        ("json-array", "gzip"),
        ("json-lines", "plain"),
        ("json-lines", "gzip"),
        ("json-lines", "parquet"),
        ("json-object", "gzip"),
        ("json-record", "plain"),
        ("delimited", "gzip"),
    }
    wrapped = {source.layout["at"] for source in compiled.manifest.sources if source.layout.get("at")}
    headers = {source.layout["header"] for source in compiled.manifest.sources if "header" in source.layout}
    assert (wrapped, headers) == ({"annotations", "questions"}, {True, False})
    presets = {pool.preset for pool in compiled.manifest.pools}
    assert presets == {"openai", "llava", "sharegpt", "videochat", "alpaca", "qa", "prompt", "fields"}


def test_what_is_dropped_and_what_is_kept_is_told(compiled: Compiled) -> None:
    told = [warning.headline for warning in compiled.warnings]
    for pool, missing in [("chartqa", 899), ("mantis_chat", 122), ("scienceqa", "1,785"), ("superclevr", 2)]:
        assert any(f"pool `{pool}`: {missing} media files missing" in headline for headline in told), pool
    assert any("pool `geometry3k`: 5 malformed records" in headline for headline in told)
    holdouts = {pool.name: pool.samples for pool in compiled.manifest.pools if pool.role == "holdout"}
    trained = set(draws(compiled.folder)["pool"].unique())
    assert holdouts and not trained & holdouts.keys()
    assert [stage.name for stage in compiled.manifest.stages] == ["general", "reasoning", "ocr"]
    read, first = compiled.manifest.funnel[:2]
    assert sum(read.kept.values()) == sum(pool.samples for pool in compiled.manifest.pools)
    assert sum(first.dropped.values()) == sum(read.kept.values()) - compiled.manifest.draws


def test_it_verifies_against_the_files(compiled: Compiled) -> None:
    verified = store.verify(compiled.folder, SHARED_DATA)
    assert verified.changed == ()
    assert (verified.sources, verified.rows) == (len(compiled.manifest.sources), compiled.manifest.draws)


def test_samples_stream_from_all_over_it(compiled: Compiled) -> None:
    dataset = ManifestDataset(compiled.folder, root=SHARED_DATA, cache=compiled.cache)
    rows = draws(compiled.folder).select("position", "pool", "stage", "images", "videos", pl.col("sample_id"))
    groups = {pool.name: pool.group for pool in compiled.manifest.pools}
    for number in range(500):
        row = rows.row(number * (len(dataset) - 1) // 499, named=True)
        sample = dataset[row["position"]]
        assert (sample.pool, sample.stage, sample.sample_id) == (row["pool"], row["stage"], row["sample_id"].hex())
        assert sample.group == groups[sample.pool]
        kinds = Counter(media.kind for media in sample.media)
        assert (kinds["image"], kinds["video"]) == (row["images"], row["videos"])
        assert sample.messages and all(message["content"] for message in sample.messages)
    present = {pool.name for pool in compiled.manifest.pools if pool.media is not None and pool.role == "train"}
    for row in rows.filter(pl.col("pool").is_in(list(present))).unique("pool").iter_rows(named=True):
        for media in dataset[row["position"]].media:
            assert media.read()


# Relations, as relations.md states them

ALPACA = {"source": "text_alpaca_52k_en_zh/原始英文数据/*.json.gz"}
PROMPT = {"user": ["instruction", "input?"]}


@pytest.fixture(scope="module")
def alpaca(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, int]]:
    return ids(bind_pools(tmp_path_factory.mktemp("alpaca"), pool=ALPACA)["pool"])


def test_alpaca_shards_hold_52002_different_samples(alpaca: list[tuple[int, int]]) -> None:
    assert (len(alpaca), len(set(alpaca))) == (52002, 52002)


@pytest.mark.parametrize(
    ("source", "num"),
    [
        ("filtered/claude_t45.json.gz", 5305),
        ("filtered/helpfulness_t45.json.gz", 2022),
        ("random/random_9k.json.gz", 9229),
        ("cherry_alpaca_5_percent.json.gz", 3111),
    ],
)
def test_published_selections_are_subsets_of_alpaca(
    source: str, num: int, alpaca: list[tuple[int, int]], tmp_path: Path
) -> None:
    chosen = ids(bind_one(tmp_path, f"text_alpaca_selections/{source}"))
    assert (len(chosen), len(set(chosen))) == (num, num)
    assert set(chosen) <= set(alpaca)


def test_the_alpaca_demo_shares_prompts_and_not_answers(alpaca: list[tuple[int, int]], tmp_path: Path) -> None:
    demo = "text_llamafactory_demo/alpaca_en_demo.json.gz"
    rows = ids(bind_one(tmp_path, demo))
    assert (len(rows), len(set(rows)), len(set(rows) & set(alpaca))) == (999, 985, 42)
    pools = bind_pools(tmp_path, all={**ALPACA, "fields": PROMPT}, demo={"source": demo, "fields": PROMPT})
    assert set(ids(pools["demo"])) <= set(ids(pools["all"]))


def test_toolformer_levels_are_not_quite_nested(tmp_path: Path) -> None:
    names = ["dedupe-only", *(f"similarity-{level}" for level in ("0.9", "0.8", "0.7", "0.6"))]
    levels = [ids(bind_one(tmp_path, f"text_gpteacher/Toolformer/toolformer-{name}-dataset.json.gz")) for name in names]
    assert [len(set(level)) for level in levels] == [7673, 5959, 4709, 3487, 2396]
    kept = [len(set(before) & set(after)) for before, after in pairwise(levels)]
    assert kept == [5942, 4643, 3371, 2245]


def test_llava_2k_and_4k_share_127(tmp_path: Path) -> None:
    two, four = (
        set(ids(bind_one(tmp_path, f"conv_llava_instruct/llava_complex_reasoning_{size}.json.gz")))
        for size in ("2k", "4k")
    )
    assert (len(two), len(four), len(two & four)) == (2000, 4000, 127)


def test_captions_join_their_scores(tmp_path: Path) -> None:
    pools = bind_pools(
        tmp_path,
        captions={
            "source": "cap_minigpt4_ccsbu/minigpt_caption_3k.json.gz",
            "fields": {"key": "image", "assistant": "QA[0].a"},
        },
        scores={
            "source": "scores_instructiongpt4/full_score_data.json.gz",
            "fields": {"key": "image_id", "assistant": "caption"},
        },
    )
    captions = {
        str(key).removesuffix(".jpg"): identity
        for key, identity in zip(keys(pools["captions"]), ids(pools["captions"]), strict=True)
    }
    scores = dict(zip(keys(pools["scores"]), ids(pools["scores"]), strict=True))
    assert (len(captions), len(scores)) == (3362, 3439)
    assert all(scores[stem] == identity for stem, identity in captions.items())


def test_vsr_splits(tmp_path: Path) -> None:
    fields = {"images": "image", "user": "caption", "assistant": "label"}
    sources = {
        "raw": "data_files/all_vsr_raw_data.jsonl.gz",
        "validated": "data_files/all_vsr_validated_data.jsonl.gz",
        "random": "splits/random/*.gz",
        "train": "splits/random/train.jsonl.gz",
        "zeroshot": "splits/zeroshot/test.jsonl.gz",
    }
    settings: dict[str, Any] = {
        name: {"source": f"qa_vsr/{source}", "fields": fields} for name, source in sources.items()
    }
    pools = {name: ids(pool) for name, pool in bind_pools(tmp_path, **settings).items()}
    assert (len(pools["raw"]), len(pools["validated"])) == (12809, 10972)
    assert set(pools["validated"]) < set(pools["raw"])
    assert sorted(pools["random"]) == sorted(pools["validated"])
    assert (len(pools["zeroshot"]), len(set(pools["zeroshot"]) & set(pools["train"]))) == (1222, 830)


def test_gsm8k_copies_are_the_same_samples(tmp_path: Path) -> None:
    copies = [
        ids(bind_one(tmp_path, f"math_gsm8k/{name}.jsonl.gz"))
        for name in ("test", "wizardmath_gsm8k_test", "unilm_test")  # the last has an `idx` beside
    ]
    assert len(set(copies[0])) == 1319
    assert copies[0] == copies[1] == copies[2]


def test_scienceqa_is_the_same_problems_twice(tmp_path: Path) -> None:
    pools = bind_pools(
        tmp_path,
        bunny={"source": "sci_scienceqa/bunny_test_CQM-A.json.gz"},
        minigpt4={
            "source": "sci_scienceqa/minigpt4_test_QCM-A.json.gz",
            "fields": {"key": "id", "user": "input", "assistant": "caption", "images": "image_id?"},
        },
    )
    assert set(keys(pools["bunny"])) == set(keys(pools["minigpt4"]))
    assert len(set(keys(pools["bunny"]))) == 4241
    assert not set(ids(pools["bunny"])) & set(ids(pools["minigpt4"]))


def test_screens_are_shared(tmp_path: Path) -> None:
    fields = {"key": "image_id", "user": "question", "assistant": "ground_truth"}
    pools = bind_pools(
        tmp_path,
        annotated={
            "source": "screen_annotation/valid.csv.gz",
            "fields": {"key": "screen_id", "assistant": "screen_annotation"},
        },
        validation={"source": "screen_screenqa/short_answers/validation.json.gz", "fields": fields},
        test={"source": "screen_screenqa/short_answers/test.json.gz", "fields": fields},
        complex={"source": "screen_screenqa/complex_qa/data.json.gz", "fields": fields},
    )
    screens = {name: set(keys(pool)) for name, pool in pools.items()}
    shared = {name: len(screens["annotated"] & found) for name, found in screens.items()}
    assert shared == {"annotated": 2311, "validation": 145, "test": 152, "complex": 435}


REFCOCO = {"fields": {"images": "img_id", "user": "sents", "assistant": "bbox"}}
SCREENQA = {"fields": {"user": ["image_id", "question"], "assistant": "ground_truth"}}


@pytest.mark.parametrize(
    ("source", "settings", "records", "repeated"),
    [
        ("ground_refcoco/refcoco_val.json.gz", REFCOCO, 10834, 566),
        ("ground_refcoco/refcoco+_val.json.gz", REFCOCO, 10758, 662),
        ("ground_refcoco/refcocog_val.json.gz", REFCOCO, 4896, 7),
        ("screen_screenqa/complex_qa/data.json.gz", SCREENQA, 11781, 61),
        # 1150 rows are equal; 4 more differ in nothing but an empty `input` and `history`, and are equal samples
        ("text_alpaca_52k_en_zh/其他中文问题补充/代码问题.json.gz", {}, 9057, 1154),
        ("chart_chartqa/mova_test_all.jsonl.gz", {}, 2500, 10),
        ("text_llamafactory_demo/glaive_toolcall_en_demo.json.gz", {}, 300, 35),
        ("bench_mvbench/json/action_sequence.json", {}, 200, 29),
    ],
)
def test_exact_duplicates(
    source: str, settings: Mapping[str, Any], records: int, repeated: int, tmp_path: Path
) -> None:
    pool = bind_one(tmp_path, source, **settings)
    found = ids(pool)
    assert (len(found), len(found) - len(set(found))) == (records, repeated)
    assert all(length > 0 for length in column(pool, "length"))
