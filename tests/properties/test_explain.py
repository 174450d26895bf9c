"""What `explain` says of a sample is what the manifest holds: for every sample of every pool of any small recipe."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import HealthCheck, assume, given, settings

from recipe_compiler.diagnostics import Findings, Rejected
from recipe_compiler.manifest import store
from recipe_compiler.pipeline import compile_recipe
from recipe_compiler.report.explanation import Explanation, RuleMet
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.review.explain import Explainer
from tests.mixes import Mix, mixes
from tests.support import draws

#: Verdicts after which a sample is out, unless a later stage replays it.
_OUT = ("dropped", "held out", "left out", "not taken", "not drawn")


@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])
@given(mixes())
def test_explain_says_of_every_sample_what_the_manifest_does(mix: Mix) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        place = Workspace(root=folder, cache=folder / ".recipe")
        path = mix.write(folder)
        try:
            compile_recipe(path, place, folder / "out")
        except Rejected:
            assume(False)
        # Every record answers with these words, so one replay explains them all.
        answer = Explainer(folder / "out", place, Findings()).samples("It is", by="text", limit=10_000)
        assert answer.found == len(answer.explanations) == sum(map(len, mix.records.values()))
        rows = draws(folder / "out")
        sources = [source.path for source in store.read(folder / "out").sources]
        capped = "caps" in mix.recipe.get("select", {})
        lines = path.read_text().splitlines()
        for found in answer.explanations:
            of_sample = (pl.col("source") == sources.index(found.file)) & (pl.col("offset") == found.offset)
            wanted = rows.filter(of_sample).select("position", "stage", "rule").rows()
            assert [(draw.position, draw.stage, draw.rule) for draw in found.draws] == wanted
            assert found.verdict == ("in" if wanted else "out")
            assert_rules_lead_there(found, capped=capped)
            for rule in found.rules:
                assert any(word in lines[int(rule.line.partition(":")[2]) - 1] for word in _KEYS[rule.rule.split()[0]])


#: For the first word of a rule, what stands on the line of the recipe that it comes from.
_KEYS = {
    "filter": ('"filter"', "filter:"),
    "drop": ("dedup:",),
    "select": ("select:",),
    "stage": ("stages:", "recipe:"),
    "draws": ("stages:",),
    "full": ("batch:",),
    "pool": ('"role"',),
}


def assert_rules_lead_there(found: Explanation, *, capped: bool) -> None:
    *before, last = found.rules
    assert (last.verdict in _OUT) or found.draws, found
    if found.draws:
        assert not [rule for rule in found.rules if rule.verdict in ("dropped", "held out", "left out")]
    for rule in before:
        # A stage that does not take a sample leaves it to the next one, and one that does not draw it may be replayed.
        assert rule.verdict not in ("dropped", "held out", "left out"), found
    for rule in found.rules:
        if rule.rank is not None and not (capped and rule.rule.startswith("select")):
            begins = re.search(r"begins at rank ([0-9,]+)", rule.note)
            first = int(begins[1].replace(",", "")) if begins else 1
            assert taken(rule) == (first <= rule.rank <= (rule.threshold or 0)), rule
        if rule.rank is not None and rule.of is not None:
            assert 1 <= rule.rank <= rule.of


def taken(rule: RuleMet) -> bool:
    return rule.verdict not in _OUT
