"""Published selections: what a recipe reproduces exactly, and the facts that keep it from reproducing the rest.

`recipes/README.md`, section "Published selections", says in words what these tests show.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.real.reading import bind_pools, column, ids, needs_data
from tests.support import SHARED_DATA, compile_text, draws

pytestmark = needs_data

ALPACA = "text_alpaca_52k_en_zh/原始英文数据/*.json.gz"
SELECTIONS = {
    "claude_t45": ("text_alpaca_selections/filtered/claude_t45.json.gz", 5305),
    "helpfulness_t45": ("text_alpaca_selections/filtered/helpfulness_t45.json.gz", 2022),
    "random_9k": ("text_alpaca_selections/random/random_9k.json.gz", 9229),
    "cherry": ("text_alpaca_selections/cherry_alpaca_5_percent.json.gz", 3111),
}
LEVELS = {"dedupe-only": 7673, "similarity-0.9": 5959, "similarity-0.8": 4709, "similarity-0.7": 3487}
LEVELS["similarity-0.6"] = 2396
TOOLFORMER = "text_gpteacher/Toolformer/toolformer-{}-dataset.json.gz"
INSTRUCTION_GPT4 = "scores_instructiongpt4"


def load(name: str) -> Any:
    path = SHARED_DATA / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return json.loads(data.decode("utf-8"))


def root_with(folder: Path, *names: str) -> Path:
    """A folder with links to data sets, beside which a table can lie."""
    root = folder / "root"
    root.mkdir()
    for name in names:
        (root / name).mkdir()
        for path in (SHARED_DATA / name).rglob("*"):
            if path.is_file():
                target = root / name / path.relative_to(SHARED_DATA / name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    return root


def hexadecimal(one: tuple[int, int]) -> str:
    return f"{one[0]:016x}{one[1]:016x}"


# Alpaca


@pytest.fixture(scope="module")
def alpaca(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, set[str]]]:
    """A root with Alpaca and a table that says who chose which sample; and the ids of each published file."""
    folder = tmp_path_factory.mktemp("alpaca")
    root = root_with(folder, "text_alpaca_52k_en_zh")
    files = {name: {"source": path} for name, (path, _) in SELECTIONS.items()}
    pools = bind_pools(folder, **files)
    chosen = {name: {hexadecimal(one) for one in ids(pool)} for name, pool in pools.items()}
    everyone = sorted(set.union(*chosen.values()))
    table = {"sample_id": everyone} | {name: [one in members for one in everyone] for name, members in chosen.items()}
    pl.DataFrame(table).write_parquet(root / "published.parquet")
    return root, chosen


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_published_selection_of_alpaca_is_compiled_exactly(
    name: str, alpaca: tuple[Path, dict[str, set[str]]], tmp_path: Path
) -> None:
    """Every row of it is a row of Alpaca, so that a table of who was chosen gives it back, sample for sample."""
    root, chosen = alpaca
    recipe = {
        "recipe": 1,
        "name": name,
        "pools": {"alpaca": {"source": ALPACA}},
        "annotations": [{"source": "published.parquet", "columns": {name: name}}],
        "filter": [name],
    }
    compile_text(tmp_path, json.dumps(recipe, ensure_ascii=False), root=root)
    rows = draws(tmp_path / "out")
    published = load(SELECTIONS[name][0])
    assert rows.height == len(published) == SELECTIONS[name][1]
    assert {sample.hex() for sample in rows["sample_id"]} == chosen[name]
    assert rows["sample_id"].n_unique() == len({tuple(sorted(row.items())) for row in published})


@pytest.mark.parametrize("name", SELECTIONS)
def test_no_score_is_published_with_it(name: str) -> None:
    """Ratings of a judge and losses are what chose; neither is there to choose by again."""
    assert {tuple(row) for row in load(SELECTIONS[name][0])} == {("instruction", "input", "output")}


@pytest.mark.parametrize("name", ["claude_t45", "helpfulness_t45", "cherry"])
def test_no_border_in_what_can_be_measured_gives_it(
    name: str, alpaca: tuple[Path, dict[str, set[str]]], tmp_path: Path
) -> None:
    """On both sides of any border of length there are samples that were chosen and samples that were not."""
    _, chosen = alpaca
    pool = bind_pools(tmp_path, alpaca={"source": ALPACA})["alpaca"]
    inside = pl.Series([hexadecimal(one) in chosen[name] for one in ids(pool)])
    for measure in ("characters", "answer_characters", "text_tokens"):
        values = pl.Series(column(pool, measure))
        low, high = values.filter(inside), values.filter(~inside)
        assert low.min() < high.max() and high.min() < low.max(), measure  # type: ignore[operator]


def test_the_five_per_cent_of_cherry_are_six() -> None:
    """5% of the 52,002 samples are 2,600: the published file is no share of them that its name says."""
    count = len(load(SELECTIONS["cherry"][0]))
    assert int(52_002 * 0.05) == 2600 < count
    assert f"{count / 52_002:.1%}" == "6.0%"


def place_of(row: dict[str, str]) -> tuple[str, ...]:
    return row["instruction"], row["input"], row["output"]


def test_only_the_thresholds_keep_the_order_of_alpaca() -> None:
    """What a threshold chose stands in Alpaca's order; the two others stand in orders of their own."""
    files = sorted(SHARED_DATA.glob(ALPACA), key=lambda path: int(re.findall(r"data-(\d+)", path.name)[0]))
    rows = [place_of(row) for path in files for row in load(path.relative_to(SHARED_DATA).as_posix())]
    places = {row: place for place, row in enumerate(rows)}
    assert len(places) == len(rows) == 52_002
    sorted_ones = set()
    for name, (path, _) in SELECTIONS.items():
        found = [places[place_of(row)] for row in load(path)]
        if found == sorted(found):
            sorted_ones.add(name)
    assert sorted_ones == {"claude_t45", "helpfulness_t45"}


# Toolformer


def mended(text: str) -> str:
    """UTF-8 that was read as something else and written again, as often as that happened."""
    for _ in range(3):
        for encoding in ("cp1252", "latin-1"):
            try:
                text = text.encode(encoding).decode("utf-8")
                break
            except UnicodeError:
                continue
    return text


def levels(of: Callable[[str], str]) -> list[set[tuple[str, ...]]]:
    found = []
    for name, count in LEVELS.items():
        rows = load(TOOLFORMER.format(name))
        assert len(rows) == count
        found.append({tuple(of(str(row[key])) for key in ("instruction", "input", "response")) for row in rows})
    return found


def test_levels_of_toolformer_are_of_the_first_and_not_of_each_other() -> None:
    """Each level is drawn from the deduplicated one, but not from the level before it: no order of samples and no score
    that is cut at four thresholds gives all of them."""
    first, *others = levels(mended)
    assert [len(first & level) for level in others] == [5959, 4709, 3487, 2396]
    assert [len(one & other) for one, other in pairwise(others)] == [4643, 3371, 2245]


def test_levels_of_toolformer_are_damaged_in_places() -> None:
    """Some rows were decoded wrongly on the way, so that they are other samples than those they were chosen from."""
    first, *others = levels(str)
    assert [len(level - first) for level in others] == [17, 17, 12, 9]


def test_the_first_level_of_toolformer_holds_no_exact_duplicate(tmp_path: Path) -> None:
    """Exact deduplication leaves it as it is; what it was made from is not published."""
    recipe = {
        "recipe": 1,
        "name": "toolformer",
        "pools": {"toolformer": {"source": TOOLFORMER.format("dedupe-only")}},
        "dedup": {"exact": True},
    }
    compile_text(tmp_path, json.dumps(recipe), root=SHARED_DATA)
    assert draws(tmp_path / "out").height == 7673


# InstructionGPT-4


def test_scores_of_instructiongpt4_have_no_selection_beside_them() -> None:
    """Scores of all 3,439 samples are there, and groupings of them; the 200 that were trained on are not."""
    scores = load(f"{INSTRUCTION_GPT4}/scores.json.gz")
    assert {name: len(values) for name, values in scores.items()} == dict.fromkeys(
        ("clip", "reward", "length", "gpt"), 3439
    )
    sizes = {}
    for path in sorted((SHARED_DATA / INSTRUCTION_GPT4).rglob("*.json")):
        groups = json.loads(path.read_text())
        sizes[path.relative_to(SHARED_DATA / INSTRUCTION_GPT4).as_posix()] = sum(map(len, groups.values()))
    assert sizes == {
        "cluster_kmeans/clustering_results.json": 3439,
        "cluster_kmeans/modified.json": 3420,
        "cluster_spectral/clustering_results.json": 3439,
    }


def test_the_3420_of_instructiongpt4_are_a_matter_of_places_and_not_of_scores() -> None:
    """30 clusters were made equal, 114 each: what large ones had too many of was handed to small ones in order, and the 19
    that remained were left out. Their scores are spread over the whole range."""
    before = load(f"{INSTRUCTION_GPT4}/cluster_kmeans/clustering_results.json")
    after = load(f"{INSTRUCTION_GPT4}/cluster_kmeans/modified.json")
    assert {len(group) for group in after.values()} == {114}
    surplus = [one for group in before.values() if len(group) > 114 for one in group[:-114]]
    moved = [one for name, group in before.items() if len(group) <= 114 for one in after[name][len(group) :]]
    assert moved == surplus[:-19]
    left = {one for group in before.values() for one in group} - {one for group in after.values() for one in group}
    assert len(left) == 19
    full = load(f"{INSTRUCTION_GPT4}/full_score_data.json.gz")["annotations"]
    for name in ("clip_score", "reward_score", "length_score"):
        out = [row[name] for row in full if row["image_id"] in left]
        inside = [row[name] for row in full if row["image_id"] not in left]
        assert min(inside) < min(out) and max(out) < max(inside)


def test_a_recipe_takes_the_best_of_instructiongpt4_as_a_sort_does(tmp_path: Path) -> None:
    """The scores choose as they would have: the 200 with the largest sum of reward and a third of the CLIP score."""
    source = f"{INSTRUCTION_GPT4}/full_score_data.json.gz"
    carried = {"clip": "clip_score", "reward": "reward_score"}
    recipe = {
        "recipe": 1,
        "name": "instructiongpt4",
        "pools": {
            "captions": {
                "source": source,
                "fields": {"key": "image_id", "assistant": "caption", "columns": carried},
            }
        },
        "select": {"method": "top", "budget": {"count": 200}, "score": "reward + clip / 3"},
    }
    compile_text(tmp_path, json.dumps(recipe), root=SHARED_DATA)
    full = load(source)["annotations"]
    pool = bind_pools(tmp_path, captions=recipe["pools"]["captions"])["captions"]  # type: ignore[index]
    assert column(pool, "key") == [row["image_id"] for row in full]
    scored = sorted(
        (-(row["reward_score"] + row["clip_score"] / 3), hexadecimal(one))
        for row, one in zip(full, ids(pool), strict=True)
    )
    assert scored[199][0] < scored[200][0]
    assert {sample.hex() for sample in draws(tmp_path / "out")["sample_id"]} == {one for _, one in scored[:200]}
