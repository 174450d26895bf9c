"""`recipe check` as a user waits for it, beside what Python and its libraries take by themselves."""

from __future__ import annotations

from functools import partial

from tests.bench.bench import Bench
from tests.bench.figures import Line, limit
from tests.bench.processes import command, recipe, round_robin, seconds

_RECIPE = """\
recipe: 1
name: bench
seed: 17
pools:
  charts: {source: charts/*.jsonl, group: reasoning}
  scenes: {source: scenes/*.jsonl, group: general}
filter: [tokens <= 4096 and images <= 8]
select: {budget: 30%, method: stratified, by: pool}
stages:
  - {name: general, where: group == "general"}
  - {name: reasoning, where: group == "reasoning", replay: {general: 10%}}
"""


def measure(bench: Bench) -> list[Line]:
    path = bench.folder / "check.yaml"
    path.write_text(_RECIPE)
    libraries = 'python -c "import pydantic, click"'
    variants = {
        "check": partial(recipe, "check", path),
        "python -c pass": partial(command, "-c", "pass"),
        libraries: partial(command, "-c", "import pydantic, click"),
    }
    round_robin(variants, 1)
    runs = round_robin(variants, 2 * bench.repeats + 1)
    ours = seconds(runs.pop("check"))
    assert ours is not None
    lines = [Line(what="recipe check", ours=ours, against="limit", theirs=limit(0.5), unit="s", target=1)]
    return lines + [
        Line(what="recipe check", ours=ours, against=name, theirs=seconds(ran), unit="s") for name, ran in runs.items()
    ]
