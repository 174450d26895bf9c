"""`recipe explain`, as a user reads it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import Ran, questions, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: mix
seed: 7
pools:
  general: {source: data/general.jsonl, group: general, fields: {columns: {level: level}}}
  ocr: {source: data/ocr.jsonl, media: data/img, missing_media: drop, group: ocr}
  exam: {source: data/exam.jsonl, role: holdout}
filter: [answer_characters >= 8]
dedup: {exact: true}
select: {budget: {count: 12}, repeat: {max: 2}, method: stratified, by: pool, caps: [{by: level, max: {count: 3}}]}
stages:
  - {name: first, where: group == "general" and level > 0, draws: {count: 3}}
  - {name: second, where: group == "ocr", mix: {by: pool, weights: equal}, replay: {first: 25%}, repeat: {max: any}}
"""


@pytest.fixture
def release(tmp_path: Path, recipe: Callable[..., Ran]) -> Callable[..., Ran]:
    """The command `recipe` in a folder with the manifest `out`."""
    general = [{**row, "level": number % 4} for number, row in enumerate(questions("general", 12))]
    general[2] |= {"answer": "Short."}
    write_jsonl(tmp_path / "data/general.jsonl", [*general, {**general[0], "id": "general-copy"}])
    write_jsonl(tmp_path / "data/ocr.jsonl", [picture(number) for number in range(4)])
    write_jsonl(tmp_path / "data/exam.jsonl", questions("exam", 2))
    (tmp_path / "data/img").mkdir()
    for number in range(3):
        (tmp_path / f"data/img/{number}.png").write_bytes(b"")
    write_recipe(tmp_path, RECIPE)
    assert recipe("compile", "recipe.yaml", "--out", "out", "-q").code == 0
    return recipe


def picture(number: int) -> dict[str, Any]:
    turns = [{"from": "human", "value": f"<image>\nRead “{number}”."}, {"from": "gpt", "value": f"It says {number}."}]
    return {"id": f"ocr-{number}", "image": f"{number}.png", "conversations": turns}


def explained(recipe: Callable[..., Ran], *arguments: str) -> list[dict[str, Any]]:
    ran = recipe("explain", "out", *arguments, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    samples: list[dict[str, Any]] = json.loads(ran.out)["samples"]
    return samples


def last(sample: dict[str, Any]) -> tuple[str, ...]:
    """What the last rule did, why, and where the recipe says so."""
    rule = sample["rules"][-1]
    return sample["verdict"], rule["rule"].split()[0], rule["verdict"], rule["note"], rule["line"]


def test_a_sample_is_found_by_every_name_it_has(release: Callable[..., Ran]) -> None:
    (by_key,) = explained(release, "ocr-1")
    digits = by_key["sample_id"]
    for name, way in {
        digits: "id",
        digits[:8].upper(): "id",
        "1.png": "media",
        "data/img/1.png": "media",
        "./data/img/1.png": "media",
        "Read “1”": "text",
    }.items():
        (found,) = explained(release, name)
        assert found == {**by_key, "found_by": way}, name
        assert explained(release, name, "--by", way) == [found]


def test_what_keeps_a_sample_out(release: Callable[..., Ran]) -> None:
    """Every way out but those of ranks, each with the line that asks for it."""
    (short,) = explained(release, "general-2")
    assert last(short) == ("out", "filter", "dropped", "", "recipe.yaml:8")
    assert short["rules"][-1]["values"] == {"answer_characters": 6}
    (copy,) = explained(release, "general-copy")
    same = "the same as `general general-0`, which is kept"
    assert last(copy) == ("out", "drop", "dropped", same, "recipe.yaml:9")
    assert last(*explained(release, "3.png")) == ("out", "media", "dropped", "`3.png` is missing", "recipe.yaml:6")
    assert last(*explained(release, "exam-1")) == (
        "out",
        "pool",
        "held out",
        "a holdout is never drawn",
        "recipe.yaml:7",
    )


def test_the_text_has_positions_ranks_and_lines(release: Callable[..., Ran]) -> None:
    out = """\
in  general general-5
    adecca926f5801da392a95bc94966dc9, found by key
    data/general.jsonl, byte 438
    drawn in stage first at position 0
    drawn in stage second (replay first in second) at position 5
    rule                                                     verdict  value                       rank                        recipe
    filter answer_characters >= 8                            kept     answer_characters = 8                                   recipe.yaml:8
    drop exact duplicates                                    kept                                                             recipe.yaml:9
    select 12 by pool (proportional), at most 3 of each      taken    pool = general              4 of 22; up to 9 are taken  recipe.yaml:10
    level
    stage first: group == "general" and level > 0            taken    group = general, level = 1                              recipe.yaml:12
    draws of first                                           drawn                                3 of 7; up to 3 are taken   recipe.yaml:12
    draws of replay first                                    drawn                                1 of 7; up to 1 are taken   recipe.yaml:13
"""
    for talk in ([], ["--quiet"], ["--format", "concise"]):
        assert release("explain", "out", "general-5", *talk) == Ran(0, out, "")


BUDGETS = {
    # A cap: which one, and the value it counts.
    "{budget: {count: 8}, caps: [{by: level, max: {count: 2}}]}": ("at most 2 of each level is reached", {"level"}),
    "{budget: {count: 7}, caps: [{where: level > 0, max: {count: 4}}]}": (
        "at most 4 of level > 0 is reached",
        {"level"},
    ),
    "{budget: {tokens: 100}}": ("the budget is used up", {"tokens"}),
    "{budget: {count: 3}, method: stratified, by: level}": ("its stratum has its share", {"level"}),
    "{budget: {count: 8}, method: stratified, by: [pool, level]}": ("its stratum has its share", {"pool, level"}),
}


@pytest.mark.parametrize("select", BUDGETS)
def test_what_a_sample_that_is_left_lost_to(select: str, tmp_path: Path, recipe: Callable[..., Ran]) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{**row, "level": at % 4} for at, row in enumerate(questions("a", 12))])
    pool = "{source: a.jsonl, fields: {columns: {level: level}}}"
    write_recipe(tmp_path, f"recipe: 1\nname: mix\npools: {{a: {pool}}}\nselect: {select}\n")
    ran = recipe("compile", "recipe.yaml", "--out", "out", "-q")
    assert ran.code == 0, ran.err
    note, values = BUDGETS[select]
    samples = explained(recipe, "It is", "--limit", "100")
    left = [rule for sample in samples for rule in sample["rules"] if rule["verdict"] == "left out"]
    assert {sample["verdict"] for sample in samples} == {"in", "out"}
    assert len(left) == sum(sample["verdict"] == "out" for sample in samples)
    assert (note, values) in [(rule["note"], set(rule["values"])) for rule in left], left


def test_repeats_are_counted(tmp_path: Path, recipe: Callable[..., Ran]) -> None:
    write_jsonl(tmp_path / "a.jsonl", questions("a", 4))
    stage = "{name: s, draws: {count: 15}, repeat: {max: any}}"
    text = "recipe: 1\nname: mix\npools: {a: {source: a.jsonl}}\nselect: {budget: {share: 150%}, repeat: {max: 2}}\n"
    write_recipe(tmp_path, f"{text}stages: [{stage}]\n")
    recipe("compile", "recipe.yaml", "--out", "out")
    samples = explained(recipe, "It is")
    took = [rule["verdict"] for sample in samples for rule in sample["rules"] if rule["rule"] == "select 150%"]
    assert sorted(took) == ["taken", "taken", "taken 2 times", "taken 2 times"]
    for sample in samples:
        assert sample["rules"][-1]["verdict"] == f"drawn {len(sample['draws'])} times"
    assert sum(len(sample["draws"]) for sample in samples) == 15


def test_several_are_found_and_none(release: Callable[..., Ran]) -> None:
    ran = release("explain", "out", "What is", "--limit", "2")
    assert (ran.code, ran.err, ran.out.count("found by text")) == (0, "", 2)
    assert ran.out.endswith("\n\nand 13 more; name one by its id, or show more with `--limit`\n")
    none = "error: no sample of any pool has `Who is`"
    ways = "id, upstream key, media path or piece of text"
    assert release("explain", "out", "Who is") == Ran(1, "", f"{none} as its {ways}\n")
    assert release("explain", "out", "Who is", "--by", "key").err == f"{none} as its upstream key\n"
    hint = "an id is named by its first 8 digits or more"
    assert release("explain", "out", "ab12", "--by", "id").err.endswith(f"as its id; {hint}\n")


def test_a_release_is_explained_after_its_pool_was_replaced(tmp_path: Path, release: Callable[..., Ran]) -> None:
    before = explained(release, "general-5")
    write_jsonl(tmp_path / "data/general.jsonl", questions("general", 3))
    assert explained(release, "general-5") == before
    texts = "not there as compiled, so their texts were not looked into: data/general.jsonl"
    ran = release("explain", "out", "It says 1")
    assert (ran.code, ran.err, "ocr ocr-1" in ran.out) == (0, f"{texts}\n", True)
    assert release("explain", "out", "It says 1", "-q").err == ""
    assert release("explain", "out", "Never said", "--by", "text").err.endswith(f" as its piece of text; {texts}\n")
    shutil.rmtree(tmp_path / ".recipe")
    reason = "is not the file that was compiled, and its index is not in the cache"
    assert release("explain", "out", "general-5") == Ran(1, "", f"error: data/general.jsonl: {reason}\n")


def test_a_release_whose_media_changed_is_not_explained_wrongly(tmp_path: Path, release: Callable[..., Ran]) -> None:
    (tmp_path / "data/img/3.png").write_bytes(b"")
    ran = release("explain", "out", "ocr-0")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: mix: does not come out the same again; media were added or removed since")


def test_a_code_and_what_is_neither_code_nor_manifest(release: Callable[..., Ran]) -> None:
    ran = release("explain", "model.wrong-type")
    assert (ran.code, ran.err, ran.out.splitlines()[0].partition(":")[0]) == (0, "", "model.wrong-type")
    assert "\n\n\n" not in ran.out
    document = json.loads(release("explain", "model.wrong-type", "--format", "json").out)
    assert document["explanation"].rstrip() == ran.out.rstrip()
    assert release("explain", "model.wrongtype").err == (
        "error: there is no code `model.wrongtype`; did you mean `model.wrong-type`?\n"
    )
    assert release("explain", "out").err.endswith("Error: say which sample of out: `recipe explain out SAMPLE`\n")
    what = "is no manifest; name the folder that `recipe compile` wrote, and a sample"
    assert release("explain", "recipe.yaml").err == f"error: recipe.yaml {what}\n"
    assert release("explain", "nowhere", "x").err.startswith("error: nowhere/manifest.json: No such file or directory;")


QUOTAS = """recipe: 1
name: mix
pools:
  a: {source: a.jsonl, fields: {columns: {level: level}}}
select:
  method: top
  score: level
  budget: {count: 4}
  quotas:
    - {where: level >= 2, max: 50%}
"""


def test_what_fills_a_quota(tmp_path: Path, recipe: Callable[..., Ran]) -> None:
    rows = [{"id": f"a{n}", "question": f"What is {n}?", "answer": "It is.", "level": n % 4} for n in range(12)]
    write_jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "recipe.yaml").write_text(QUOTAS)
    assert recipe("compile", "recipe.yaml", "--out", "out").code == 0
    ran = recipe("explain", "out", "--quota", "level >= 2", "--format", "json")
    (found,) = json.loads(ran.out)["quotas"]
    assert (found["available"], found["taken"], found["pools"], found["line"]) == (6, 2, {"a": 2}, "recipe.yaml:10")
    inside = {row["id"]: row["level"] for row in rows}
    assert {inside[sample["key"]] for sample in found["first"]} == {3}
    assert inside[found["last_taken"]["key"]] == inside[found["first_left"]["key"]] == 3
    text = recipe("explain", "out", "--quota", "all").out
    assert text.startswith("level >= 2\n    at most 50% at recipe.yaml:10: 2 of 6 are taken\n    by pool: a 2\n")
    wrong = recipe("explain", "out", "--quota", "level >= 3")
    assert wrong == Ran(1, "", "error: there is no quota `level >= 3`; there are `level >= 2`\n")


def test_names_are_answered_one_after_another(release: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    single = [release("explain", "out", name).out for name in ("ocr-1", "general-2")]
    monkeypatch.setattr("sys.stdin", io.StringIO("ocr-1\n\nnobody\ngeneral-2\n"))
    ran = release("explain", "out", "-")
    assert (ran.code, ran.out) == (1, "".join(single))
    assert ran.err.startswith("error: no sample of any pool has `nobody`")
    monkeypatch.setattr("sys.stdin", io.StringIO("ocr-1\nnobody\ngeneral-2\n"))
    ran = release("explain", "out", "-", "--format", "json")
    told = [json.loads(line)["samples"][0]["key"] for line in ran.out.splitlines()]
    assert (ran.code, told) == (1, ["ocr-1", "general-2"])
    assert [found["severity"] for found in json.loads(ran.err)] == ["error"]


def test_what_is_not_proved_of_media_is_data_too(release: Callable[..., Ran]) -> None:
    assert "their files are not looked at\n" in release("verify", "out").out
    assert json.loads(release("verify", "out", "--format", "json").out)["media_proved"] is False
