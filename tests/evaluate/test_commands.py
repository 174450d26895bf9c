"""`recipe holdouts`, `recipe eval --predictions` and `recipe eval-compare` as a user runs them."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evaluate.helpers import NUM, lines, right, run_here, write_exam, write_predictions, write_run
from tests.support import Ran, compile_text, write_jsonl


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    write_exam(tmp_path)
    return tmp_path


def judged(exam: Path, *arguments: str) -> Ran:
    return run_here("eval", "--manifest", "out", "--predictions", "p.jsonl", "--out", "run.jsonl", *arguments, cwd=exam)


def some(position: int) -> str:
    """Right, but wrong for the first chart, malformed for the next colour, and empty for the first doubt."""
    return {0: "999", NUM + 1: "A or B", 2 * NUM: ""}.get(position, right(position))


def test_scores_are_told_by_capability_group_and_benchmark(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", some)
    ran = judged(exam, "--format", "json")
    assert (ran.code, ran.err) == (0, "wrote run.jsonl\n")
    rows = {(row["level"], row["name"]): row for row in json.loads(ran.out)["rows"]}
    assert [(level, name) for level, name in rows] == [
        ("capability", "chart"),
        ("capability", "scene"),
        ("group", "general"),
        ("group", "reasoning"),
        ("benchmark", "charts"),
        ("benchmark", "colours"),
        ("benchmark", "doubts"),
        ("all", "all"),
    ]
    assert rows["benchmark", "charts"]["metrics"] == {"relaxed": NUM}
    assert rows["benchmark", "charts"]["score"] == pytest.approx(11 / 12)
    assert (rows["benchmark", "charts"]["malformed"], rows["benchmark", "charts"]["empty"]) == (0, 0)
    assert (rows["benchmark", "colours"]["malformed"], rows["benchmark", "colours"]["empty"]) == (1, 0)
    assert (rows["benchmark", "doubts"]["malformed"], rows["benchmark", "doubts"]["empty"]) == (1, 1)
    assert rows["benchmark", "doubts"]["figures"]["recall"] == pytest.approx(5 / 6)
    assert rows["capability", "scene"]["score"] == pytest.approx(22 / 24)
    assert rows["all", "all"]["score"] == pytest.approx(33 / 36)
    assert all(row["low"] <= row["score"] <= row["high"] for row in rows.values())
    first = lines(exam / "run.jsonl")[1]
    assert first["prompt"] == "How high is bar 0?" and first["answers"] == ["10"] and first["score"] == 0.0


def test_the_same_predictions_give_the_same_bytes_and_the_table_can_be_shown_again(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", some)
    first, run = judged(exam), (exam / "run.jsonl").read_bytes()
    again = judged(exam)
    assert (first.out, first.code) == (again.out, again.code) and (exam / "run.jsonl").read_bytes() == run
    (exam / "run.jsonl").write_bytes(run[: len(run) // 2])
    assert judged(exam).out == first.out and (exam / "run.jsonl").read_bytes() == run
    assert "charts   relaxed" in first.out and "malformed" in first.out
    assert judged(exam, "--format", "md").out.startswith("### capability\n\n|  | metric | samples | score |")


def test_any_seed_does(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", some)
    told = [json.loads(judged(exam, "--seed", seed, "--format", "json").out) for seed in ("7", "9" * 30)]
    assert told[0]["rows"] != told[1]["rows"] and told[1]["interval"]["seed"] == int("9" * 30)


def test_predictions_by_sample_id_are_those_by_position(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", some)
    by_position = judged(exam, "--format", "json")
    by_id = [
        {"sample_id": line["sample_id"], "prediction": line["prediction"]} for line in lines(exam / "run.jsonl")[1:]
    ]
    (exam / "run.jsonl").unlink()
    write_jsonl(exam / "p.jsonl", reversed(by_id))
    told = json.loads(judged(exam, "--format", "json").out)
    assert told["rows"] == json.loads(by_position.out)["rows"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            [{"position": 0, "prediction": "a"}],
            "p.jsonl: has no prediction for 35 of 36 draws, the first is position 1",
        ),
        ([{"position": 3, "prediction": "a"}] * 2, "p.jsonl: line 2 is a second prediction of position 3"),
        ([{"position": 36, "prediction": "a"}], "p.jsonl: line 1 is of position 36, and the manifest has 36 draws"),
        ([{"sample_id": "00", "prediction": "a"}], "the manifest has no sample 00; it is of another manifest"),
        ([{"position": 0, "sample_id": "00", "prediction": "a"}], "position 0 is not sample 00 here"),
        ([{"position": 0}], "p.jsonl: line 1 has no text `prediction`"),
        ([{"prediction": "a"}], "p.jsonl: line 1 has neither a `position` nor a `sample_id`"),
        ([], "has no prediction for 36 of 36 draws"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(exam: Path, lines: list[dict[str, object]], reason: str) -> None:
    write_jsonl(exam / "p.jsonl", lines)
    ran = judged(exam)
    assert (ran.code, ran.out) == (1, "") and reason in ran.err
    assert not (exam / "run.jsonl").exists()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: "not json\n", "p.jsonl: line 1 is no JSON object"),
        (lambda text: "[1]\n", "p.jsonl: line 1 is no JSON object"),
        (lambda text: "[" * 100_000 + "\n", "p.jsonl: line 1 is no JSON object"),
    ],
)
def test_what_is_no_json_is_refused(exam: Path, spoil: Callable[[str], str], reason: str) -> None:
    (exam / "p.jsonl").write_text(spoil(""))
    ran = judged(exam)
    assert (ran.code, ran.out) == (1, "") and reason in ran.err


def test_a_run_of_something_else_is_not_gone_on_with(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", right)
    assert judged(exam).code == 0
    write_predictions(exam / "p.jsonl", some)
    ran = judged(exam)
    assert ran.code == 1 and "run.jsonl: is a run of something else; name another file with `--out`" in ran.err


def test_a_second_writer_of_a_run_is_refused_and_changes_nothing(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", right)
    assert judged(exam).code == 0
    whole = (exam / "run.jsonl").read_bytes()
    (exam / "run.jsonl").write_bytes(whole[: len(whole) // 2])
    with (exam / "run.jsonl").open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        ran = judged(exam)
    told = "error: run.jsonl: another eval is writing here; nothing was changed by this one\n"
    assert (ran.code, ran.out, ran.err) == (1, "", told)
    assert (exam / "run.jsonl").read_bytes() == whole[: len(whole) // 2]
    assert judged(exam).code == 0 and (exam / "run.jsonl").read_bytes() == whole


def test_metrics_are_asked_for_by_pool(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", right)
    told = json.loads(judged(exam, "--metric", "exact", "--metric", "charts=anls", "--format", "json").out)
    metrics = {row["name"]: row["metrics"] for row in told["rows"] if row["level"] == "benchmark"}
    assert metrics == {"charts": {"anls": NUM}, "colours": {"exact": NUM}, "doubts": {"exact": NUM}}
    ran = judged(exam, "--metric", "bleu")
    assert ran.code == 1 and "there is no metric `bleu`; there are exact, relaxed, anls, vqa, choice, yesno" in ran.err
    ran = judged(exam, "--metric", "maps=exact")
    assert ran.code == 1 and "the manifest has no pool `maps`; it has charts, colours, doubts" in ran.err


def test_questions_without_answers_are_counted_and_not_scored(exam: Path) -> None:
    write_jsonl(exam / "data" / "charts.jsonl", ({"question_id": n, "text": f"Say {n}."} for n in range(3)))
    compile_text(exam, "{recipe: 1, name: ask, pools: {charts: {source: data/charts.jsonl, format: prompt}}}")
    write_predictions(exam / "p.jsonl", str, range(3))
    ran = judged(exam, "--format", "json")
    row = json.loads(ran.out)["rows"][-1]
    assert (row["samples"], row["score"], row["unscored"]) == (0, None, 3)
    assert judged(exam).out.splitlines()[-1].split() == ["all", "-", "0", "-", "-", "0", "0", "3"]


@pytest.mark.parametrize(("metric", "scored"), [("choice", "colours"), ("yesno", "doubts")])
def test_a_metric_that_cannot_read_the_references_judges_no_answer(exam: Path, metric: str, scored: str) -> None:
    write_predictions(exam / "p.jsonl", right)
    rows = json.loads(judged(exam, "--metric", metric, "--format", "json").out)["rows"]
    told = {row["name"]: row for row in rows if row["level"] == "benchmark"}
    for name, row in told.items():
        counts = (row["samples"], row["score"], row["malformed"], row["unscored"])
        assert counts == ((NUM, 1.0, 0, 0) if name == scored else (0, None, 0, NUM))
    assert all(line["metric"] is None for line in lines(exam / "run.jsonl")[1:] if line["pool"] != scored)


def write_scores(exam: Path) -> dict[int, dict[str, int]]:
    """Scores of most questions by position, and their table."""
    write_predictions(exam / "p.jsonl", some)
    assert judged(exam).code == 0
    ids = [str(line["sample_id"]) for line in lines(exam / "run.jsonl")[1:]]
    scores = {at: {"ocr": at % 5, "maths": at % 3} for at in range(3 * NUM) if at % 7}
    rows = [f"{ids[at]},{row['ocr']},{row['maths']}" for at, row in scores.items()]
    (exam / "s.csv").write_text("\n".join(["sample_id,ocr,maths", *rows]) + "\n")
    return scores


ASKED = ("--scores", "s.csv", "--capability", "ocr=3", "--capability", "maths=2")


def test_capabilities_are_columns_of_a_table_of_scores(exam: Path) -> None:
    scores = write_scores(exam)
    before = json.loads(judged(exam, "--format", "json").out)["rows"]
    again = ("eval", "--manifest", "out", "--predictions", "run.jsonl", "--out", "caps.jsonl", *ASKED)
    ran = run_here(*again, "--format", "json", cwd=exam)
    assert (ran.code, ran.err) == (0, "wrote caps.jsonl\n")
    document = json.loads(ran.out)
    assert document["settings"]["capabilities"]["levels"] == {"ocr": 3.0, "maths": 2.0}
    rows = {(row["level"], row["name"]): row for row in document["rows"]}
    told = {name for level, name in rows if level == "capability"}
    assert told == {"ocr", "maths"}
    for name, least in (("ocr", 3), ("maths", 2)):
        those = [at for at, row in scores.items() if row[name] >= least]
        row = rows["capability", name]
        assert row["samples"] == len(those)
        assert row["score"] == pytest.approx(sum(some(at) == right(at) for at in those) / len(those))
        assert row["low"] <= row["score"] <= row["high"]
    # What is no capability is told as without the table, to the last digit of its interval.
    others = [row for row in before if row["level"] != "capability"]
    assert [row for row in document["rows"] if row["level"] != "capability"] == others


def test_runs_are_compared_by_capability_where_both_have_the_same(exam: Path) -> None:
    write_scores(exam)
    for name, answer in (("one", some), ("two", right)):
        write_predictions(exam / f"{name}.p", answer)
        asked = ("eval", "--manifest", "out", "--predictions", f"{name}.p", "--out", f"{name}.jsonl", *ASKED)
        assert run_here(*asked, cwd=exam).code == 0
    compared = ("eval-compare", "one.jsonl", "two.jsonl", "--full", "two.jsonl", "--random", "one.jsonl")
    document = json.loads(run_here(*compared, "--format", "json", cwd=exam).out)
    rows = {row["name"]: row for row in document["rows"] if row["level"] == "capability"}
    assert rows.keys() == {"ocr", "maths"} and rows["ocr"]["runs"][1]["difference"] > 0
    assert [summary["benchmarks"] for summary in document["summaries"]] == [3, 3]
    write_run(exam, "three", right)
    refused = run_here("eval-compare", "one.jsonl", "three.jsonl", cwd=exam)
    assert refused.code == 1
    assert "three.jsonl: has other capabilities than one.jsonl; judge both with the same `--scores`" in refused.err


def test_what_is_said_of_capabilities_must_make_sense(exam: Path) -> None:
    write_scores(exam)
    (exam / "run.jsonl").unlink()
    ran = judged(exam, "--scores", "s.csv", "--capability", "ocr=9")
    assert ran.code == 0 and "no question has a `ocr` of at least 9 in s.csv\n" in ran.err
    ran = judged(exam, *ASKED)
    assert ran.code == 1 and "run.jsonl: is a run of something else" in ran.err
    for options, reason in (
        (("--scores", "s.csv"), "--scores needs a --capability"),
        (("--capability", "ocr=3"), "a --capability its --scores"),
        (("--scores", "s.csv", "--capability", "ocr"), "`ocr` is no COLUMN=LEVEL, such as capability.ocr=3"),
        (
            ("--scores", "s.csv", "--capability", "art=3"),
            "s.csv: has no column `art`; it has `maths`, `ocr`, `sample_id`",
        ),
        (("--scores", "t.csv", "--capability", "art=3"), "t.csv: there is no such file"),
    ):
        ran = judged(exam, *options)
        assert (ran.code, ran.out) == (1, "") and reason in ran.err


def test_a_model_or_its_predictions(exam: Path) -> None:
    ran = run_here("eval", "--manifest", "out", "--out", "run.jsonl", cwd=exam)
    assert ran.code == 1 and "say which MODEL answers, or give its --predictions" in ran.err


def test_options_that_would_mean_nothing_are_refused(exam: Path) -> None:
    write_predictions(exam / "p.jsonl", right)
    ran = judged(exam, "--video-frames", "4", "--max-new-tokens", "32")
    assert ran.code == 1 and "--max-new-tokens, --video-frames go with a MODEL" in ran.err
    ran = judged(exam, "--match", "sample_id")
    assert ran.code == 1 and "--match goes with --scores" in ran.err
    assert not (exam / "run.jsonl").exists() and judged(exam).code == 0
    asked = ("score", "data", "--manifest", "out", "--out", "s.parquet")
    ran = run_here(*asked, "--trials", "5", "--metric", "nope=foo", "--seed", "4", cwd=exam)
    assert ran.code == 1 and "--trials, --metric, --seed go with --pism" in ran.err
    ran = run_here("verify", "out", "--deep", "--rows-only", cwd=exam)
    assert ran.code == 1 and "--rows-only looks at no file, and --deep at every one: say one of them" in ran.err


def test_holdouts_make_a_recipe_that_compiles(exam: Path) -> None:
    (exam / "recipe.yaml").write_text(
        "recipe: 1\nname: mix\nversion: 1.4\npools:\n"
        "  colours: {source: data/colours.jsonl, format: qa}\n"
        "  charts: {source: data/charts.jsonl, format: qa, role: holdout, category: chart, tags: ['metric:exact']}\n"
        "filter: [answers > 5]\n"
    )
    ran = run_here("holdouts", "recipe.yaml", cwd=exam)
    assert (ran.code, ran.err) == (0, "")
    (exam / "exam.yaml").write_text(ran.out)
    made = run_here("compile", "exam.yaml", "--out", "held", "--format", "json", cwd=exam)
    assert made.code == 0
    manifest = json.loads(made.out)
    assert (manifest["name"], manifest["version"]) == ("mix-holdouts", "1.4")
    assert [(stage["name"], stage["draws"]) for stage in manifest["stages"]] == [("charts", NUM)]
    write_predictions(exam / "p.jsonl", right, range(NUM))
    told = run_here("eval", "--manifest", "held", "--predictions", "p.jsonl", "--out", "h.jsonl", cwd=exam)
    assert told.code == 0 and "charts  exact" in told.out
    (exam / "exam.yaml").write_text(ran.out.replace("charts", "colours"))
    assert run_here("holdouts", "exam.yaml", cwd=exam).err.startswith("error: exam.yaml: no pool is a holdout")


def test_runs_are_set_side_by_side(exam: Path) -> None:
    full = write_run(exam, "full", right)
    base = write_run(exam, "random", lambda position: right(position) if position % 2 else "")
    ours = write_run(exam, "ours", some)
    asked = [run.name for run in (base, ours)]
    ran = run_here("eval-compare", *asked, "--full", full.name, "--random", base.name, "--format", "json", cwd=exam)
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert told["runs"] == ["random", "ours", "full"]
    everything = told["rows"][-1]
    assert everything["name"] == "all" and everything["samples"] == 36
    first, second, _ = everything["runs"]
    assert first["score"] == 0.5 and second["difference"] == pytest.approx(33 / 36 - 0.5)
    assert second["difference_low"] < second["difference"] < second["difference_high"]
    summaries = {summary["run"]: summary for summary in told["summaries"]}
    assert summaries["full"]["of_full"] == 1.0 and summaries["full"]["above_random"] == 3
    assert summaries["ours"]["of_full"] == pytest.approx((11 / 12) * 3 / 3) and summaries["ours"]["above_random"] == 3
    assert summaries["random"]["above_random"] == 0
    text = run_here("eval-compare", *asked, "--full", full.name, "--random", base.name, cwd=exam).out
    assert "/FULL" in text and "3/3" in text and "+41.67" in text


def test_samples_to_match_are_read_off_a_curve(exam: Path) -> None:
    def upto(num: int) -> Callable[[int], str]:
        return lambda position: right(position) if position % NUM < num else "?"

    runs = {num: write_run(exam, f"c{num}", upto(num)) for num in (3, 6, 9)}
    uniform = write_run(exam, "uniform", upto(7))
    curve = [part for num, run in runs.items() for part in ("--curve", f"{num}000={run.name}")]
    asked = ("eval-compare", uniform.name, *curve, "--reference", f"70000={uniform.name}")
    told = json.loads(run_here(*asked, "--format", "json", cwd=exam).out)
    found = {entry["benchmark"]: entry for entry in told["curve"]}
    assert found["colours"]["samples_to_match"] == pytest.approx(7000)
    assert found["colours"]["reduction"] == pytest.approx(10)
    shown = run_here(*asked, cwd=exam).out
    assert "samples to match" in shown and "10.0x" in shown
    ran = run_here("eval-compare", uniform.name, "--curve", "12k=x.jsonl", cwd=exam)
    assert ran.code == 1 and "`12k=x.jsonl` is no SAMPLES=RUN" in ran.err
    ran = run_here("eval-compare", uniform.name, *curve, cwd=exam)
    assert ran.code == 1 and "a curve needs a reference to reach" in ran.err


def test_runs_of_other_manifests_or_cut_short_are_refused(exam: Path) -> None:
    ours = write_run(exam, "ours", right)
    other = exam / "other"
    write_exam(other)
    compile_text(other, (other / "recipe.yaml").read_text().replace("name: exam", "name: another"))
    foreign = write_run(other, "foreign", right)
    ran = run_here("eval-compare", ours, foreign, cwd=exam)
    assert ran.code == 1 and "foreign.jsonl: answers manifest" in ran.err
    short = exam / "short.jsonl"
    short.write_bytes(b"".join(ours.read_bytes().splitlines(keepends=True)[:-1]))
    ran = run_here("eval-compare", ours, short, cwd=exam)
    assert ran.code == 1 and "short.jsonl: has 35 of 36 predictions; go on with the `recipe eval`" in ran.err
    short.write_bytes(short.read_bytes()[:-9])
    ran = run_here("eval-compare", ours, short, cwd=exam)
    assert ran.code == 1 and "short.jsonl: has 34 of 36 predictions; go on with the `recipe eval`" in ran.err
    ran = run_here("eval-compare", exam / "ours.predictions.jsonl", cwd=exam)
    assert ran.code == 1 and "does not begin with the line that `recipe eval` writes first" in ran.err
    ran = run_here("eval-compare", "nowhere.jsonl", cwd=exam)
    assert ran.code == 1 and "nowhere.jsonl: No such file or directory" in ran.err


@pytest.mark.parametrize(
    ("line", "field", "value", "reason"),
    [
        (0, "evaluation", 2, "does not begin with the line that `recipe eval` writes first"),
        (0, "pools", {"charts": "x"}, "does not begin with the line"),
        (0, "settings", None, "does not begin with the line"),
        (1, "score", 1.5, "line 2 has a score that is not between 0 and 1"),
        (1, "score", float("nan"), "line 2 has a score that is not between 0 and 1"),
        (1, "score", "1", "line 2 is no prediction that `recipe eval` writes"),
        (1, "answers", [], "line 2 has a score that is not between 0 and 1, or nothing it is judged by"),
        (1, "answers", [1], "line 2 is no prediction"),
        (1, "columns", [], "line 2 is no prediction"),
        (1, "position", 7, "line 2 is not the prediction of position 0"),
        (3, "pool", "maps", "line 4 is not the prediction of position 2"),
        (3, "extra", 1, "line 4 is no prediction"),
        (3, "capabilities", [1], "line 4 is no prediction"),
        (3, "capabilities", ["ocr"], "has other capabilities than"),
    ],
)
def test_runs_that_were_tampered_with_are_refused(
    exam: Path, line: int, field: str, value: object, reason: str
) -> None:
    run = write_run(exam, "ours", right)
    documents = lines(run)
    documents[line][field] = value
    write_jsonl(run, documents)
    ran = run_here("eval-compare", write_run(exam, "other", right), run, cwd=exam)
    assert ran.code == 1 and ran.out == "" and reason in ran.err
