"""`recipe diff` and `plan --against`, as a user reads them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import Ran, questions, write_jsonl, write_recipe

RECIPE = """\
recipe: 1
name: mix
version: "1.0"
seed: 7
pools:
  general: {source: data/general.jsonl, group: general}
  ocr: {source: data/ocr.jsonl, group: ocr}
annotations: [{source: scores.csv, match: key}]
select: {budget: {count: 5}, method: stratified, by: pool}
stages:
  - {name: first, where: group == "general"}
  - {name: second, replay: {first: 50%}}
"""


@pytest.fixture
def release(tmp_path: Path, recipe: Callable[..., Ran]) -> Callable[..., Ran]:
    """The command `recipe` in a folder with the manifest `out` of `recipe.yaml`."""
    write_jsonl(tmp_path / "data/general.jsonl", questions("general", 4))
    write_jsonl(tmp_path / "data/ocr.jsonl", questions("ocr", 2))
    rows = [f"{name}-{at},{at / 4},{name[0]}\n" for name, num in (("general", 4), ("ocr", 2)) for at in range(num)]
    (tmp_path / "scores.csv").write_text("key,score,letter\n" + "".join(rows))
    write_recipe(tmp_path, RECIPE)
    assert recipe("compile", "recipe.yaml", "--out", "out", "-q").code == 0
    return recipe


def edited(folder: Path, old: str, new: str, name: str = "recipe.yaml") -> None:
    assert old in RECIPE
    write_recipe(folder, RECIPE.replace(old, new), name=name)


def document(recipe: Callable[..., Ran], *arguments: str) -> dict[str, Any]:
    ran = recipe("diff", *arguments, "--format", "json", "-q")
    assert (ran.code, ran.err) == (0, "")
    found: dict[str, Any] = json.loads(ran.out)
    return found


def shown(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12}\b", "<digest>", text)


DIFFERENCE = """\
mix 1.0 (<digest>)  ->  mix 1.0 (<digest>)
changed: selection, order, manifest; the same: pools
1 sample added, 0 removed, 5 kept (of these 0 in another order, 0 in another stage, 0 drawn more or less often)
suggested version: minor (1.1.0), for all samples are kept and 1 is added

recipe
setting              before  after  line
select.budget.count  5       6      recipe.yaml:9

why samples came and went
     samples  because                                                             mostly in  line
[1]       +1  select 5 by pool (proportional) -> select 6 by pool (proportional)  general 1  recipe.yaml:9

draws
       before  after  change
draws       7      8      +1

draws by pool (1 without a change)
pool     draws before  after  change    share  added  removed  because  line
general             5      6      +1  +3.6 pp      1           [1] +1   recipe.yaml:6

draws by group (1 without a change)
group    draws before  after  change    share  added  removed  because
general             5      6      +1  +3.6 pp      1           [1] +1

draws by stage (1 without a change)
stage  draws before  after  change    share  added  removed  because  line
first             3      4      +1  +7.1 pp      1           [1] +1   recipe.yaml:11

drift of tokens: 3.6% of the draws would have to change
tokens  before  after    share
17       28.6%  25.0%  -3.6 pp
18       71.4%  75.0%  +3.6 pp
"""


def test_the_text_of_an_edit(tmp_path: Path, release: Callable[..., Ran]) -> None:
    edited(tmp_path, "count: 5", "count: 6")
    ran = release("diff", "out", "recipe.yaml", "--quiet")
    assert (ran.code, shown(ran.out), ran.err) == (0, DIFFERENCE, "")


def test_a_comment_is_no_change(tmp_path: Path, release: Callable[..., Ran]) -> None:
    edited(tmp_path, "seed: 7", "seed: 7  # chosen by dice")
    out = "mix 1.0 (<digest>)  ->  mix 1.0 (<digest>)\nthe same manifest; its recipe is written otherwise\n"
    ran = release("diff", "out", "recipe.yaml", "--exit-code")
    assert (ran.code, shown(ran.out), ran.err) == (0, out, "")
    ran = release("plan", "recipe.yaml", "--against", "out")
    assert (ran.code, shown(ran.out), ran.err) == (0, out, "")


def test_the_exit_code_says_that_something_changed(tmp_path: Path, release: Callable[..., Ran]) -> None:
    edited(tmp_path, "count: 5", "count: 6")
    text = release("diff", "out", "recipe.yaml")
    assert (text.code, text.err) == (0, "")
    for arguments in (("diff", "out", "recipe.yaml", "--exit-code"), ("plan", "recipe.yaml", "--against", "out")):
        assert release(*arguments, "-q", "--format", "concise") == Ran(3, text.out, "")
    assert not (tmp_path / "build").exists()


def test_warnings_are_of_the_recipe_that_is_planned(tmp_path: Path, release: Callable[..., Ran]) -> None:
    """`plan --against` warns of what it plans, and not of what it compares with."""
    twice = [*questions("ocr", 2), *questions("ocr", 2)]
    write_jsonl(tmp_path / "data/twice.jsonl", twice)
    edited(tmp_path, "data/ocr.jsonl", "data/twice.jsonl", name="twice.yaml")
    assert release("plan", "recipe.yaml", "--against", "twice.yaml").err == ""
    assert release("plan", "twice.yaml", "--against", "recipe.yaml").err.startswith("warning[note.duplicates]: ")


def test_the_version_that_a_change_asks_for(tmp_path: Path, release: Callable[..., Ran]) -> None:
    cases = {
        ("seed: 7", "seed: 7"): ("none", "1.0"),
        ("group: ocr}", "group: ocr, license: mit}"): ("patch", "1.0.1"),
        ("{name: first, where: ", "{name: first, order: listed, where: "): ("patch", "1.0.1"),
        ("first: 50%", "first: 20%"): ("minor", "1.1.0"),
        ("count: 5", "count: 6"): ("minor", "1.1.0"),
        ("count: 5", "count: 4"): ("major", "2.0.0"),
    }
    for edit, (part, version) in cases.items():
        edited(tmp_path, *edit)
        bump = document(release, "out", "recipe.yaml")["bump"]
        assert (bump["part"], bump["version"]) == (part, version), edit
    edited(tmp_path, '"1.0"', "spring", name="spring.yaml")
    assert document(release, "spring.yaml", "recipe.yaml")["bump"]["version"] is None


def test_drift_of_a_column(tmp_path: Path, release: Callable[..., Ran]) -> None:
    edited(tmp_path, "count: 5", "count: 6")
    ran = release("diff", "out", "recipe.yaml", "--by", "score", "--by", "letter", "--by", "answer_characters")
    titles = re.findall(r"^drift of (\w+): (.*) of the draws would have to change$", ran.out, re.MULTILINE)
    assert [name for name, _ in titles] == ["tokens", "score", "letter"]
    found = {drift["column"]: drift for drift in document(release, "out", "recipe.yaml", "--by", "letter")["drift"]}
    (general, ocr) = found["letter"]["bins"]
    assert (general["value"], ocr["value"]) == ("g", "o")
    assert general["before"] == pytest.approx(5 / 7)
    assert general["after"] == pytest.approx(6 / 8)
    assert found["letter"]["distance"] == pytest.approx(6 / 8 - 5 / 7)
    unknown = "error: there is no column `nope` on both sides to compare\n"
    assert release("diff", "out", "recipe.yaml", "--by", "nope") == Ran(1, "", unknown)
    assert "`--by` goes with `--against`" in release("plan", "recipe.yaml", "--by", "score").err


def test_pool_contents_name_the_files(tmp_path: Path, release: Callable[..., Ran]) -> None:
    write_jsonl(tmp_path / "data/ocr.jsonl", questions("ocr", 3))
    ran = release("diff", "out", "recipe.yaml")
    # What is worth knowing of the recipe that is being written is said.
    assert (ran.code, ran.err) == (0, "warning[note.unmatched]: `scores.csv`: 1 of 7 samples has no row\n\n")
    contents = ran.out.partition("\npool contents\n")[2].partition("\n\n")[0].splitlines()
    assert contents[1].split("  ")[0] == "ocr"
    assert contents[1].endswith("  data/ocr.jsonl (2 -> 3 samples)")


def git(folder: Path, *arguments: str) -> None:
    identity = {f"GIT_{who}_{what}": "nobody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env=environment)


def test_revisions_of_git(tmp_path: Path, release: Callable[..., Ran]) -> None:
    git(tmp_path, "init")
    git(tmp_path, "add", "recipe.yaml")
    git(tmp_path, "commit", "-m", "without a lock")
    release("lock", "recipe.yaml")
    git(tmp_path, "add", "recipe.lock")
    git(tmp_path, "commit", "-m", "with a lock")
    write_jsonl(tmp_path / "data/ocr.jsonl", questions("ocr", 3))
    edited(tmp_path, "count: 5", "count: 6")
    # With a lock: from the pools as they were then.
    then = document(release, "HEAD:recipe.yaml", "recipe.yaml")
    assert then["settings"][0]["line_before"] == "HEAD:recipe.yaml:9"
    then["settings"][0]["line_before"] = "recipe.yaml:9"
    assert then == document(release, "out", "recipe.yaml")
    assert [pool["samples_before"] for pool in then["pool_contents"]] == [4, 2]
    # Without one: from the pools as they are, which is said.
    ran = release("diff", "HEAD~1:recipe.yaml", "recipe.yaml", "--format", "json")
    remark = "HEAD~1:recipe.yaml has no lock beside it, so it is compiled from the pools as they are now\n"
    assert (ran.code, ran.err.startswith(remark)) == (0, True)
    assert [pool["samples_before"] for pool in json.loads(ran.out)["pool_contents"]] == [4, 3]
    assert release("diff", "HEAD~1:recipe.yaml", "recipe.yaml", "-q").err == ""
    back = release("diff", "recipe.yaml", "HEAD:recipe.yaml").out
    assert "  HEAD:recipe.yaml:9\n" in back
    # Nothing of the past that can be had: the file, or the revision.
    shutil.rmtree(tmp_path / ".recipe")
    reason = "is not the file that was compiled, and its index is not in the cache"
    said = release("diff", "HEAD:recipe.yaml", "recipe.yaml").err
    assert said.startswith(f"HEAD:recipe.yaml cannot be compiled from its lock (data/ocr.jsonl: {reason}), so it is")
    for side, told in {
        "HEAD~9:recipe.yaml": "HEAD~9:recipe.yaml: git knows no revision `HEAD~9` here",
        "HEAD:other.yaml": "HEAD:other.yaml: there is no such recipe",
        "--upload-pack=x:recipe.yaml": "No such option",
        "nothing": "nothing: neither a manifest, a recipe, nor `REV:recipe.yaml` in git",
    }.items():
        ran = release("diff", side, "recipe.yaml")
        assert (ran.code, ran.out, told in ran.err) == (1, "", True), ran.err


def test_a_release_that_cannot_be_compiled_again(tmp_path: Path, release: Callable[..., Ran]) -> None:
    """Why samples came and went is not known then, and is said; what did is."""
    edited(tmp_path, "count: 5", "count: 6", name="next.yaml")
    assert release("compile", "next.yaml", "--out", "next", "-q").code == 0
    known = document(release, "out", "next")
    assert known["causes"]
    # Another answer: the sample is another one. The cache alone still knows the old one.
    path = tmp_path / "data/ocr.jsonl"
    path.write_text(path.read_text().replace("It is 0.", "It is 9."))
    assert document(release, "out", "next") == known
    shutil.rmtree(tmp_path / ".recipe")
    reasons = ["data/ocr.jsonl: is not the file that was compiled, and its index is not in the cache"]
    unknown = document(release, "out", "next")
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / ".recipe")
    reasons.append("data/general.jsonl: is not the file that was compiled, and its index is not in the cache")
    for found, reason in zip((unknown, document(release, "out", "next")), reasons, strict=True):
        assert (found["causes"], found["unexplained"]) == ([], reason)
        for name in ("added", "removed", "kept", "moved", "restaged", "repeats_changed", "examples_added", "bump"):
            assert found[name] == known[name], name
        assert [row["added"] for row in found["counts"]["pool"]] == [1, 0]
    text = release("diff", "out", "next").out
    assert f"\nwhy samples came and went is not known: {reasons[1]}\n" in text


def test_markdown_for_a_pull_request(tmp_path: Path, release: Callable[..., Ran]) -> None:
    edited(tmp_path, "where: group ==", "where: tokens < 1000 and group ==")
    ran = release("diff", "out", "recipe.yaml", "--format", "md")
    lines = shown(ran.out).splitlines()
    assert (ran.code, ran.err, lines[0]) == (0, "", "### mix 1.0 (<digest>)  ->  mix 1.0 (<digest>)")
    settings = lines[lines.index("**recipe**") + 2 :][:3]
    assert settings[:2] == ["| setting | before | after | line |", "|---|---|---|---|"]
    assert settings[2].startswith('| stages[first].where | group == "general" | tokens \\< 1000 and group == ')
    for number, line in enumerate(lines):
        if line.startswith("|") and not lines[number - 1].startswith("|"):
            # A table: a blank line before it, and as many cells in each row.
            assert lines[number - 1] == ""
            rows = []
            for row in lines[number:]:
                if not row.startswith("|"):
                    break
                rows.append(len(re.findall(r"(?<!\\)\|", row)))
            assert len(set(rows)) == 1
