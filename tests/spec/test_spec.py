"""The language, as its own tests: every heading of `*.md` beside this file that has a recipe is a case. So is every
explanation of a code in `recipe_compiler/diagnostics/explanations`. `--update-spec` writes what is said anew.

Blocks of a case, by the first words of their info string:

    yaml                the recipe; it is checked, and compiled where the case has files of data
    yaml begun NUMBER   a recipe whose manifest was begun: the recipe of the case goes on after so many of its draws
    yaml mended         the recipe with its mistake mended; nothing is said about it any more
    LANGUAGE FILE       a file beside the recipe, by its name; under a heading above cases it is there for all of them;
                        with `recipe.lock` the recipe is compiled `--locked`
    diagnostic          all that is said about the recipe, as `render.full` says it; without the block, nothing is
    json                settings as they are understood; keys that are not named are not compared
    plan                a line for each operation
    funnel              STEP: POOL SAMPLES, ...; gone: POOL SAMPLES, ...
    selection           RULE  requested AMOUNT  realised NUMBER UNIT
                          STRATUM  requested P/Q  available NUMBER  realised NUMBER
    stages              STAGE  draws NUMBER  samples NUMBER
                          SOURCE  requested P/Q  available NUMBER  [had before NUMBER]  realised NUMBER
    order               STAGE: the `id` of each draw
    packs               STAGE PACK: the `id` of each draw  (TOKENS)

A recipe that names `http://127.0.0.1:40404/` finds its case's files there, but for those below `denied/`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import recipe_compiler
from recipe_compiler.diagnostics import Findings, Rejected, render
from recipe_compiler.diagnostics.codes import CODES
from recipe_compiler.emit.build import Built
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.manifest.schema import Manifest, Portion, Share
from recipe_compiler.pipeline import Checked, build_manifest, check_recipe, compile_recipe
from recipe_compiler.plan.explain import describe
from recipe_compiler.resolve import lock
from recipe_compiler.resolve.workspace import Workspace
from tests.remote.web import Web

HERE = Path(__file__).parent
EXPLANATIONS = Path(recipe_compiler.__file__).parent / "diagnostics" / "explanations"
_PART = re.compile(
    r"^(?P<level>#+) (?P<heading>[^\n]+)$|^```(?P<info>\S[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_EXPECTED = ("diagnostic", "json", "plan", "funnel", "selection", "stages", "order", "packs")
#: Codes that no recipe raises, each with the reason.
NEVER_RAISED: Mapping[str, str] = {}


@dataclass(slots=True)
class Section:
    """A heading with its blocks; `files` are also those of the headings above it."""

    page: Path
    heading: str
    level: int
    files: dict[str, str]
    recipe: str | None = None
    mended: str | None = None
    begun: tuple[str, int] | None = None
    expected: dict[str, str] = field(default_factory=dict)


def sections(path: Path) -> Iterator[Section]:
    """The sections of a page."""
    above: list[Section] = [Section(path, path.stem, 0, {})]
    for part in _PART.finditer(path.read_text(encoding="utf-8")):
        if part["heading"] is not None:
            level = len(part["level"])
            above = [section for section in above if section.level < level]
            above.append(Section(path, part["heading"], level, dict(above[-1].files)))
            yield above[-1]
            continue
        here, body = above[-1], part["body"]
        match part["info"].split():
            case ["yaml"]:
                assert here.recipe is None, f"{path.name}, {here.heading}: two recipes"
                here.recipe = body
            case ["yaml", "mended"]:
                here.mended = body
            case ["yaml", "begun", position]:
                here.begun = body, int(position)
            case [kind] if kind in _EXPECTED:
                here.expected[kind] = body
            case [_, name]:
                here.files[name] = body
            case _:
                raise AssertionError(f"{path.name}, {here.heading}: what is a block `{part['info']}`?")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a recipe."""

    said: str
    checked: Checked | None
    built: Built | None


#: Stands for the address of a server of these files; every port that a system gives out has as many digits.
SERVER = "127.0.0.1:40404"


def outcome(recipe: str, *, compiled: bool, begun: tuple[str, int] | None = None) -> Outcome:
    """Checks or compiles a recipe in the working folder; `begun` is the one before it, and where it goes on."""
    if SERVER not in recipe:
        return _outcome(recipe, compiled=compiled, begun=begun)
    files = {f"/{path}": path.read_bytes() for path in Path().rglob("*.*") if path.is_file()}
    web = Web(files, lambda _number, _method, path: "403" if path.startswith("/denied/") else None).start()
    try:
        address = f"127.0.0.1:{web.port}"
        assert len(address) == len(SERVER)
        result = _outcome(recipe.replace(SERVER, address), compiled=compiled, begun=begun)
        return Outcome(result.said.replace(address, SERVER), result.checked, result.built)
    finally:
        web.stop()


def _outcome(recipe: str, *, compiled: bool, begun: tuple[str, int] | None) -> Outcome:
    prefix = None
    if begun is not None:
        prefix = _prefix(*begun)
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    findings, checked, built = Findings(), None, None
    try:
        checked = check_recipe(Path("recipe.yaml"), findings)
        if compiled:
            pins = lock.read(Path("recipe.lock"))
            built = build_manifest(checked, PLACE, findings, lock=pins, prefix=prefix)
    except Rejected as rejected:
        assert rejected.findings is findings
    return Outcome(render.full(findings.diagnostics, colour=False), checked, built)


PLACE = Workspace(root=Path(), cache=Path(".recipe"))


def _prefix(recipe: str, position: int) -> Prefix:
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    compile_recipe(Path("recipe.yaml"), PLACE, Path("begun"))
    return Prefix.of(Path("begun"), position)


def found(kind: str, result: Outcome, expected: str) -> str:
    """The text of a block, as it came out."""
    if kind == "diagnostic":
        return result.said
    assert result.checked is not None, result.said
    if kind == "json":
        recipe = result.checked.plan.recipe
        return json.dumps({name: recipe.get(name) for name in json.loads(expected)}, indent=2) + "\n"
    if kind == "plan":
        return "".join(f"{describe(node.operation)}\n" for node in result.checked.plan.nodes)
    assert result.built is not None, result.said or "a case that compiles has files of data"
    return "".join(f"{line}\n" for line in _LINES[kind](result.built))


def _funnel(built: Built) -> Iterator[str]:
    for step in built.manifest.funnel:
        gone = f"; gone: {_counts(step.dropped)}" if step.dropped else ""
        yield f"{step.what}: {_counts(step.kept)}{gone}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{pool} {number}" for pool, number in sorted(counts.items())) or "none"


def _selection(built: Built) -> Iterator[str]:
    for request in built.manifest.requests:
        yield f"{request.what}  requested {request.requested}  realised {request.realised} {request.unit}"
    yield from _shares(built.manifest.strata)


def _stages(built: Built) -> Iterator[str]:
    for stage in built.manifest.stages:
        yield f"{stage.name}  draws {stage.draws}  samples {stage.samples}"
        yield from _shares(stage.shares)


def _shares(shares: Iterable[Share | Portion]) -> Iterator[str]:
    for share in shares:
        had = f"  had before {share.earlier}" if isinstance(share, Portion) and share.earlier else ""
        yield f"  {share.name}  requested {share.requested}  available {share.available}{had}  realised {share.realised}"


def _order(built: Built) -> Iterator[str]:
    ids = list(_ids(built.manifest, built))
    for stage in built.manifest.stages:
        yield f"{stage.name}: {' '.join(ids[stage.start : stage.start + stage.draws])}"


def _ids(manifest: Manifest, built: Built) -> Iterator[str]:
    for row in built.table.to_pylist():
        data = Path(manifest.sources[row["source"]].path).read_bytes()
        yield json.loads(data[row["offset"] : row["offset"] + row["length"]])["id"]


def _packs(built: Built) -> Iterator[str]:
    draws = zip(_ids(built.manifest, built), built.table.to_pylist(), strict=True)
    for (stage, unit), group in itertools.groupby(draws, key=lambda draw: (draw[1]["stage"], draw[1]["unit"])):
        members = list(group)
        ids, tokens = " ".join(name for name, _ in members), sum(row["tokens"] for _, row in members)
        yield f"{built.manifest.stages[stage].name} {unit}: {ids}  ({tokens})"


_LINES = {"funnel": _funnel, "selection": _selection, "stages": _stages, "order": _order, "packs": _packs}
PAGES = [*sorted(HERE.glob("*.md")), *sorted(EXPLANATIONS.glob("*.md"))]
SECTIONS = [section for path in PAGES for section in sections(path)]
CASES = [section for section in SECTIONS if section.recipe is not None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.page.stem}: {case.heading}")
def test_spec(case: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    assert case.recipe is not None
    folder = tmp_path / "mix"
    for name, text in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    compiled = any(not name.endswith(".yaml") for name in case.files)
    result = outcome(case.recipe, compiled=compiled, begun=case.begun)
    for kind, expected in {"diagnostic": "", **case.expected}.items():
        text = found(kind, result, expected)
        if expected and kind != "json" and text != expected and request.config.getoption("--update-spec"):
            page = case.page.read_text(encoding="utf-8")
            before, heading, after = page.partition(f" {case.heading}\n")
            case.page.write_text(before + heading + after.replace(expected, text, 1), encoding="utf-8")
            continue
        same = text == expected if kind != "json" else json.loads(text) == json.loads(expected)
        assert same, f"{case.page.name}, {case.heading}: `{kind}` expected\n\n{expected}\nfound\n\n{text}"
    if "error[" in case.expected.get("diagnostic", ""):
        assert case.mended is not None, "a case with an error shows the recipe mended"
    if case.mended is not None:
        assert not outcome(case.mended, compiled=compiled, begun=case.begun).said


def test_a_heading_names_one_case() -> None:
    names = [(case.page, case.heading) for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_every_code_is_explained() -> None:
    explained = [case for case in CASES if case.page.parent == EXPLANATIONS]
    assert sorted(case.heading for case in explained) == sorted(CODES)
    for case in explained:
        assert case.page.stem == case.heading.partition(".")[0]
        assert f"[{case.heading}]" in case.expected["diagnostic"]
        assert case.mended is not None


def test_every_code_is_shown() -> None:
    shown = {
        code
        for case in CASES
        for code in re.findall(r"^(?:error|warning)\[(.+?)\]", case.expected.get("diagnostic", ""), re.MULTILINE)
    }
    assert shown == CODES.keys() - NEVER_RAISED.keys()
