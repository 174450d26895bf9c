"""`recipe diff` of two large manifests, one with a tenth of the samples gone."""

from __future__ import annotations

from functools import partial

from tests.bench import pools
from tests.bench.bench import Bench
from tests.bench.figures import Line, limit
from tests.bench.processes import recipe, round_robin, seconds, warm


def measure(bench: Bench) -> list[Line]:
    before, after = pools.manifest(bench, "all"), pools.manifest(bench, "most")
    warm(*before.rglob("*.*"), *after.rglob("*.*"))
    runs = round_robin({"diff": partial(recipe, "diff", before, after)}, bench.repeats)
    ours = seconds(runs["diff"])
    assert ours is not None
    what = f"recipe diff, {bench.size(10_000_000):,} draws, a tenth gone"
    return [Line(what=what, ours=ours, against="limit", theirs=limit(5), unit="s", target=1)]
