"""Every command, as a user runs it: a process, its exit code, and all that it prints."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from recipe_compiler import __version__
from recipe_compiler.cli.main import run
from tests.cli.mix import RECIPE, expect, shown
from tests.support import REPOSITORY, compile_text, questions, run_recipe, write_jsonl, write_recipe

SUMMARY = """\
mix 1.0  7 draws in 1 shard, seed 7
pools      <digest>
selection  <digest>
order      <digest>
manifest   <digest>

pools
pool     samples    group  format   role
general        4  general      qa  train
ocr            2      ocr      qa  train

funnel
step                             samples  dropped  mostly from
read                                   6
select 5 by pool (proportional)        5        1    general 1

stages
stage   source        available  requested  realised  positions
first   first                 3          3         3      0 - 2
second  second                2          2         2      3 - 6
        replay first          3          2         2

requests
rule    requested  available  realised     unit
select          5          6         5  samples

strata
stratum  available  requested  realised
general          4       3.33         3
ocr              2       1.67         2
"""
COMMANDS = (
    "init",
    "check",
    "tree",
    "schema",
    "index",
    "lock",
    "plan",
    "compile",
    "count",
    "verify",
    "show",
    "explain",
    "diff",
    "bench",
    "materialize",
    "tiny",
    "train",
    "ledger",
    "holdouts",
    "eval",
    "eval-compare",
    "export-lmms",
    "score",
)


# check and schema


def test_check_tells_the_plan(mix: Path) -> None:
    out = """\
<digest>  read general (data/general.jsonl; auto)
<digest>  read ocr (data/ocr.jsonl; auto)
<digest>  unite the pools
<digest>  select 5 by pool (proportional)
<digest>  stage first: group == "general", shuffled
<digest>  stage second: all that is left, shuffled, replaying 50% of first
<digest>  cut into shards of 65,536
"""
    expect(run_recipe("check", "recipe.yaml", cwd=mix), 0, out, "recipe.yaml: 2 pools, 2 stages, nothing wrong\n")
    expect(run_recipe("check", "recipe.yaml", "--quiet", cwd=mix), 0, out)


def test_check_as_json(mix: Path) -> None:
    ran = run_recipe("check", "recipe.yaml", "--format", "json", "-q", cwd=mix)
    document = json.loads(ran.out)
    assert (ran.code, ran.err, document["name"], document["version"]) == (0, "", "mix", "1.0")
    assert document["nodes"][-1] == {"digest": document["plan"], "does": "cut into shards of 65,536"}


def test_check_tells_a_mistake_in_three_ways(mix: Path) -> None:
    write_recipe(mix, RECIPE.replace("seed", "sead"))
    full = """\
error[model.unknown-field]: `sead` is not a setting
 --> recipe.yaml:4:1
  |
4 | sead: 7
  | ^^^^
  = help: did you mean `seed`?
  |
4 - sead: 7
4 + seed: 7

"""
    expect(run_recipe("check", "recipe.yaml", cwd=mix), 1, err=full)
    concise = "recipe.yaml:4:1: error[model.unknown-field] `sead` is not a setting\n"
    expect(run_recipe("check", "recipe.yaml", "--format", "concise", "--quiet", cwd=mix), 1, err=concise)
    ran = run_recipe("check", "recipe.yaml", "--format", "json", cwd=mix)
    place = {"file": "recipe.yaml", "line": 4, "column": 1, "end_line": 4, "end_column": 5, "label": None}
    found = {
        "code": "model.unknown-field",
        "severity": "error",
        "headline": "`sead` is not a setting",
        "place": place,
        "places": [],
        "records": [],
        "notes": [],
        "help": "did you mean `seed`?",
        "mended": {**place, "text": "seed", "before": "sead: 7", "after": "seed: 7"},
    }
    assert (ran.code, ran.out, json.loads(ran.err)) == (1, "", [found])


def test_schema_describes_every_setting(tmp_path: Path) -> None:
    ran = run_recipe("schema", cwd=tmp_path)
    schema = json.loads(ran.out)
    assert (ran.code, ran.err, schema["$schema"]) == (0, "", "https://json-schema.org/draft/2020-12/schema")
    assert schema["required"] == ["recipe", "name"]
    assert schema["anyOf"] == [{"required": ["pools"]}, {"required": ["extends"]}]
    silent = [name for name, part in _properties(schema) if not part.get("description")]
    assert silent == []
    unknown = set(re.findall(r'"#/\$defs/(\w+)"', ran.out)) ^ schema["$defs"].keys()
    assert unknown == set()


def _properties(part: Any) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    if isinstance(part, dict):
        found += part.get("properties", {}).items()
        found += [inner for value in part.values() for inner in _properties(value)]
    if isinstance(part, list):
        found += [inner for value in part for inner in _properties(value)]
    return found


# index, plan and compile


def test_index_tells_what_each_file_is(mix: Path) -> None:
    out = """\
files
file                   pool       shape  read as  samples  malformed
data/general.jsonl  general  json-lines       qa        4          0
data/ocr.jsonl          ocr  json-lines       qa        2          0
"""
    expect(run_recipe("index", "recipe.yaml", cwd=mix), 0, out)
    ran = run_recipe("index", "recipe.yaml", "--format", "json", cwd=mix)
    assert (ran.code, ran.err) == (0, "")
    assert [(file["file"], file["why"]) for file in json.loads(ran.out)] == [
        ("data/general.jsonl", "qa: 4 of the first 4 records fit"),
        ("data/ocr.jsonl", "qa: 2 of the first 2 records fit"),
    ]


def test_a_folder_is_no_recipe(mix: Path) -> None:
    expect(run_recipe("check", ".", cwd=mix), 1, err="error: .: is a folder; name the recipe in it\n")


def test_the_folder_of_a_manifest_is_found_and_not_beside_a_recipe(mix: Path) -> None:
    for command in ("verify", "show", "bench", "materialize", "eval", "score", "explain"):
        said = " ".join(run_recipe(command, "--help", cwd=mix).out.split())
        assert "[default: the nearest above it that holds a source]" in said
    said = " ".join(run_recipe("plan", "--help", cwd=mix).out.split())
    assert "[default: the recipe's folder]" in said


def test_a_malformed_record_of_a_table_is_shown_to_the_end_of_its_line(mix: Path) -> None:
    (mix / "table.csv").write_text("id,question,answer\n1,What?,A cat.\n2,short\n3,a,b\n")
    write_recipe(mix, "recipe: 1\nname: mix\npools: {t: {source: table.csv}}\n", name="table.yaml")
    ran = run_recipe("index", "table.yaml", cwd=mix)
    assert ran.code == 1
    assert "2,short" in ran.err and "3,a,b" not in ran.err


def test_index_lists_malformed_records(mix: Path) -> None:
    with (mix / "data/ocr.jsonl").open("a") as file:
        file.write('{"id": "torn"\n')
    ran = run_recipe("index", "recipe.yaml", cwd=mix)
    table, _, listed = shown(ran.out).partition("\nmalformed\n")
    assert (ran.code, table.splitlines()[-1].split()) == (
        1,
        ["data/ocr.jsonl", "ocr", "json-lines", "qa", "2", "1"],
    )
    assert listed.startswith("data/ocr.jsonl, record 3 (byte 136): ")
    assert ran.err.startswith("error[resolve.malformed]: pool `ocr`: 1 malformed record beside 2 good ones\n")


def test_index_names_files_as_they_are(tmp_path: Path) -> None:
    """A name is data: brackets in it are no markup of the terminal's."""
    write_jsonl(tmp_path / "[red]/a.jsonl", questions("a", 2))
    write_recipe(tmp_path, 'recipe: 1\nname: mix\npools: {a: {source: "[red]/a.jsonl"}}\n')
    out = """\
files
file           pool       shape  read as  samples  malformed
[red]/a.jsonl     a  json-lines       qa        2          0
"""
    expect(run_recipe("index", "recipe.yaml", cwd=tmp_path), 0, out)


def test_plan_writes_nothing_but_its_cache(mix: Path) -> None:
    expect(run_recipe("plan", "recipe.yaml", "--cache", "cache", cwd=mix), 0, SUMMARY)
    assert {path.name for path in mix.iterdir()} == {"cache", "data", "recipe.yaml"}


def test_compile_writes_beside_the_recipe(mix: Path) -> None:
    expect(run_recipe("compile", "recipe.yaml", cwd=mix), 0, SUMMARY, "wrote build/mix-1.0\n")
    assert (mix / "build/mix-1.0/manifest.json").is_file()
    assert len(list((mix / "build/mix-1.0/shards").iterdir())) == 1


def test_compile_from_anywhere_to_anywhere_is_the_same_manifest(release: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(release / "recipe.yaml", elsewhere)
    arguments = ("compile", "recipe.yaml", "--root", release, "--out", "releases/1", "--quiet")
    expect(run_recipe(*arguments, cwd=elsewhere), 0, SUMMARY)
    assert (elsewhere / "releases/1/manifest.json").read_bytes() == (release / "out/manifest.json").read_bytes()


def test_compile_says_what_it_replaces(release: Path) -> None:
    before = json.loads((release / "out/manifest.json").read_bytes())["ids"]["manifest"]
    again = run_recipe("compile", "recipe.yaml", "--out", "out", cwd=release)
    assert (again.code, again.err) == (0, "wrote out\n")
    write_recipe(release, RECIPE.replace("seed: 7", "seed: 8"))
    other = run_recipe("compile", "recipe.yaml", "--out", "out", cwd=release)
    assert other.err == f"out: manifest {before[:12]} was here and is replaced\nwrote out\n"


def test_compile_leaves_a_folder_alone_that_holds_something_else(release: Path) -> None:
    assert run_recipe("materialize", "out", "copy", "--to", "jsonl", cwd=release).code == 0
    before = sorted((path, path.read_bytes()) for path in (release / "copy").rglob("*") if path.is_file())
    ran = run_recipe("compile", "recipe.yaml", "--out", "copy", cwd=release)
    assert (ran.code, ran.out) == (1, "")
    assert re.fullmatch(r"error: copy: holds `.*`, which no compile writes; name a new folder\n", ran.err)
    assert before == sorted((path, path.read_bytes()) for path in (release / "copy").rglob("*") if path.is_file())


def test_compile_as_json_is_the_manifest(mix: Path) -> None:
    ran = run_recipe("compile", "recipe.yaml", "--out", "out", "--format", "json", cwd=mix)
    assert (ran.code, ran.err, ran.out) == (0, "wrote out\n", (mix / "out/manifest.json").read_text())


def test_quiet_leaves_warnings_out(mix: Path) -> None:
    write_jsonl(mix / "data/ocr.jsonl", [*questions("ocr", 2), *questions("ocr", 2)])
    ran = run_recipe("plan", "recipe.yaml", cwd=mix)
    warning = (
        "warning[note.duplicates]: 2 samples repeat another one exactly\n"
        "  = help: drop them with `dedup: {exact: true}`\n\n"
    )
    assert (ran.code, ran.err) == (0, warning)
    quiet = run_recipe("plan", "recipe.yaml", "-q", cwd=mix)
    assert (quiet.code, quiet.err, quiet.out) == (0, "", ran.out)


# show


def test_show_a_manifest(release: Path) -> None:
    expect(run_recipe("show", "out", cwd=release), 0, SUMMARY)


FIRST = """\
position 2  <digest>
  pool general (general-3), stage first, about 18 tokens
       user: What is general 3?
  assistant: It is 3.
"""
SECOND = """\
position 3  <digest>
  pool ocr (ocr-1), stage second, about 17 tokens
       user: What is ocr 1?
  assistant: It is 1.
"""


def test_show_the_draw_of_a_position(release: Path) -> None:
    expect(run_recipe("show", "out", "--position", "2", cwd=release), 0, FIRST)


def test_show_the_draws_of_a_step(release: Path) -> None:
    expect(run_recipe("show", "out", "--step", "1", "--batch", "2", cwd=release), 0, f"{FIRST}\n{SECOND}")


def test_show_a_draw_as_json(release: Path) -> None:
    ran = run_recipe("show", "out", "--position", "3", "--format", "json", cwd=release)
    (draw,) = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert {name: draw[name] for name in ("position", "key", "pool", "group", "stage", "repeat")} == {
        "position": 3,
        "key": "ocr-1",
        "pool": "ocr",
        "group": "ocr",
        "stage": "second",
        "repeat": 0,
    }
    assert draw["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "It is 1."}]}


def test_show_a_position_that_is_not_there(release: Path) -> None:
    beyond = "error: position 7 is beyond the 7 draws of the manifest\n"
    expect(run_recipe("show", "out", "--position", "7", cwd=release), 1, err=beyond)
    unsaid = "error: say how many draws or packs a global batch has: the recipe says nothing of it\n"
    expect(run_recipe("show", "out", "--step", "1", cwd=release), 1, err=unsaid)
    ran = run_recipe("show", "out", "--position", "1", "--batch", "2", cwd=release)
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "Error: say --position, or --step with --batch")


def test_show_a_step_that_is_not_there(release: Path) -> None:
    ran = run_recipe("show", "out", "--step", "99", "--batch", "2", cwd=release)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: step 99 is beyond the last of 4 steps, which are counted from 0\n"


def test_show_prints_what_people_wrote(tmp_path: Path) -> None:
    """Text is data: it holds brackets, colons and long lines, and comes out as it went in."""
    question = "[INST] Is [bold]this[/bold] fine? :smile: [/INST]"
    answer = " ".join(["word"] * 60)
    write_jsonl(tmp_path / "a.jsonl", [{"id": "[x]", "question": question, "answer": answer}])
    compile_text(tmp_path, "recipe: 1\nname: mix\npools: {a: {source: a.jsonl}}\n")
    ran = run_recipe("show", "out", "--position", "0", cwd=tmp_path)
    head, pool, *said = shown(ran.out).splitlines()
    assert (ran.code, ran.err, head) == (0, "", "position 0  <digest>")
    assert pool.startswith("  pool a ([x]), stage mixed, about ")
    assert said == [f"       user: {question}", f"  assistant: {answer}"]


# diff


def test_diff_of_a_manifest_with_itself(release: Path) -> None:
    out = "mix 1.0 (<digest>)  ->  mix 1.0 (<digest>)\nthe same manifest\n"
    expect(run_recipe("diff", "out", "out", "--exit-code", cwd=release), 0, out)


# init and bench


def test_init_writes_a_recipe_that_compiles(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    for number in range(3):
        write_jsonl(folder / f"part-{number}.jsonl", questions(f"p{number}", 2))
    write_jsonl(folder / "pictures/cats.jsonl", [{"image": "images/cat.png", "caption": "A cat."}])
    (folder / "pictures/images").mkdir()
    (folder / "pictures/images/cat.png").write_bytes(b"")
    (folder / "table.csv").write_text("question,answer\nOne?,Yes.\nTwo?,No.\n")
    write_jsonl(folder / "prompts.jsonl", [{"prompt": "Say something."}])
    (folder / "notes.json").write_text("not json")
    left_out = (
        "starts with `n`: neither JSON (`[` or `{`), Parquet nor tar, and its name ends in neither .csv nor .tsv; "
        "convert it to JSON Lines"
    )
    err = f"""\
part: part-0.jsonl, part-1.jsonl, part-2.jsonl: qa: 2 of the first 2 records fit
cats: pictures/cats.jsonl: caption: 1 of the first 1 records fit
table: table.csv: qa: 2 of the first 2 records fit
left out notes.json: {left_out}
left out prompts.jsonl: questions without answers; add it as a holdout if that is what it is
wrote recipe.yaml; try `recipe plan recipe.yaml`
"""
    expect(run_recipe("init", cwd=folder), 0, err=err)
    ran = run_recipe("compile", "recipe.yaml", cwd=folder)
    assert (ran.code, ran.err) == (0, "wrote build/my-data\n")
    assert ran.out.startswith("my-data  9 draws in 1 shard, seed 0\n")
    again = "error: recipe.yaml is there already; name another file with `--out`\n"
    expect(run_recipe("init", cwd=folder), 1, err=again)


def test_init_finds_media_whatever_their_folder_is_called_or_says_so(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "cats.jsonl", [{"image": f"a/{number}.png", "caption": "A cat."} for number in range(3)])
    write_jsonl(tmp_path / "dogs.jsonl", [{"image": "dog.png", "caption": "A dog."}])
    (tmp_path / "shots/a").mkdir(parents=True)
    for number in range(2):
        (tmp_path / f"shots/a/{number}.png").write_bytes(b"")
    ran = run_recipe("init", cwd=tmp_path)
    assert "dogs: none of its 1 media files was found; name their folder with `media:`\n" in ran.err
    assert "cats: none" not in ran.err
    text = (tmp_path / "recipe.yaml").read_text()
    assert "    media: shots\n    missing_media: drop\n" in text
    plan = run_recipe("plan", "recipe.yaml", cwd=tmp_path)
    assert (plan.code, plan.err.count("warning[note.media]"), plan.err.count("warning[note.media-folder]")) == (0, 1, 1)


def test_init_names_pools_apart(tmp_path: Path) -> None:
    """Two numbered files that differ are two pools, by names that are good ones."""
    write_jsonl(tmp_path / "part-0.jsonl", questions("p", 2))
    (tmp_path / "part-1.jsonl").write_text('{"prompt": "p", "answer": "a"}\n')
    ran = run_recipe("init", "--name", "my mix", "--out", "first.yaml", cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "")
    assert [line.split(":")[0] for line in ran.err.splitlines()[:2]] == ["part", "part_2"]
    assert "\nname: my-mix\n" in (tmp_path / "first.yaml").read_text()


def test_init_of_a_folder_without_data(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    expect(run_recipe("init", "empty", cwd=tmp_path), 1, err="error: no data that can be read below empty\n")


def test_bench_streams_an_epoch(release: Path) -> None:
    ran = run_recipe("bench", "out", "--batch", "2", cwd=release)
    # Numbers of seconds are what is measured.
    said = re.sub(r"[\d,.]+ (s|ms|samples/s)\b", r"<number> \1", ran.out)
    wanted = "in <number> s by one process: <number> samples/s; first batch after <number> ms\n"
    assert (ran.code, ran.err, said) == (0, "", f"7 samples with 0 media (0.0 MB) {wanted}")
    document = json.loads(run_recipe("bench", "out", "--format", "json", cwd=release).out)
    assert (document["samples"], document["media"], document["workers"]) == (7, 0, 0)


def test_bench_of_a_changed_pool(release: Path) -> None:
    path = release / "data/ocr.jsonl"
    path.write_text(path.read_text().replace("It is 1", "It is 9"))
    reason = "data/ocr.jsonl: position 3, byte 68: the record is not the one that was compiled"
    expect(run_recipe("bench", "out", cwd=release), 1, err=f"error: the stream stopped: {reason}\n")


# all of them


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(f"Usage: recipe {command} ")
    assert re.search(rf"^  Examples?:\n    .*\brecipe {command}\b", said.out, re.MULTILINE)


def test_help_lists_every_command(tmp_path: Path) -> None:
    ran = run_recipe("--help", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    listed = ran.out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == sorted(COMMANDS)
    expect(run_recipe("--version", cwd=tmp_path), 0, f"recipe, version {__version__}\n")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("recipe exp", "plain,explain\nplain,export-lmms\n"),
        ("recipe compile --lo", "plain,--locked\n"),
        ("recipe explain model.w", "plain,model.wrong-type\n"),
        ("recipe diff HEAD~1:recipe.yaml rec", "file,rec\n"),
    ],
)
def test_the_shell_completes(typed: str, offered: str, tmp_path: Path) -> None:
    environment = {"COMP_WORDS": typed.replace(" ", "\n"), "COMP_CWORD": str(typed.count(" "))}
    # The name that the shell calls: a script beside the interpreter.
    command = [Path(sys.executable).with_name("recipe")]
    environment = {**os.environ, **environment, "PYTHONPATH": str(REPOSITORY), "_RECIPE_COMPLETE": "bash_complete"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, offered, "")


@pytest.mark.parametrize(
    ("arguments", "usage", "reason"),
    [
        (("brew",), "recipe [OPTIONS] COMMAND [ARGS]...", "No such command 'brew'."),
        (("check",), "recipe check [OPTIONS] RECIPE", "Missing argument 'RECIPE'."),
        (("check", "recipe.yaml", "--loud"), "recipe check [OPTIONS] RECIPE", "No such option '--loud'."),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], usage: str, reason: str, tmp_path: Path) -> None:
    help_of = usage.partition(" [")[0]
    err = f"Usage: {usage}\nTry '{help_of} --help' for help.\n\nError: {reason}\n"
    expect(run_recipe(*arguments, cwd=tmp_path), 1, err=err)


@pytest.mark.parametrize("command", ["check", "index", "plan", "compile"])
def test_a_recipe_that_is_not_there(command: str, tmp_path: Path) -> None:
    expect(run_recipe(command, "mix.yaml", cwd=tmp_path), 1, err="error: mix.yaml: there is no such recipe\n")


def test_a_bug_of_ours_says_so(mix: Path) -> None:
    """Broken from outside: this process cannot import the pipeline."""
    write_recipe(mix, 'import sys\nsys.modules["recipe_compiler.pipeline"] = None\n', name="sitecustomize.py")
    ran = run_recipe("check", "recipe.yaml", cwd=mix, environment={"PYTHONPATH": f"{mix}{os.pathsep}{REPOSITORY}"})
    said = f"recipe {__version__} failed; this is a bug in recipe, not in your recipe:"
    assert (ran.code, ran.out, ran.err.splitlines()[0]) == (2, "", said)
    assert "Traceback" in ran.err


@pytest.mark.parametrize("plain", [False, True], ids=["colour", "NO_COLOR"])
def test_a_terminal_is_spoken_to_in_colour_unless_asked_not_to(plain: bool, mix: Path) -> None:
    write_recipe(mix, RECIPE.replace("seed", "sead"))
    near, far = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", **({"NO_COLOR": "1"} if plain else {})}
    command = [sys.executable, "-m", "recipe_compiler", "check", "recipe.yaml"]
    done = subprocess.run(command, cwd=mix, env=environment, stderr=far, check=False, timeout=60)
    said = os.read(near, 4096).decode()
    os.close(near)
    os.close(far)
    start = "error[model.unknown-field]" if plain else "\x1b[1;31merror[model.unknown-field]\x1b[0m"
    assert (done.returncode, said.partition(":")[0]) == (1, start)
    assert ("\x1b[" in said) is not plain


def test_a_reader_that_goes_away_is_no_error(release: Path) -> None:
    script = textwrap.dedent("""\
        set -o pipefail
        "$0" -m recipe_compiler show out --format json | head -n 1
    """)
    command = ["bash", "-c", script, sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=release, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")
