"""Choosing among 10 million samples in memory, 37 pools, 14 capabilities, 9 styles: joint quotas, mmSSR, explanations.

The table is made by chance; scores are whole numbers from 0 to 5 that say nothing of each other, so that almost every
combination of values occurs and quotas have as many cells as there can be. The peer of mmSSR is numpy by hand with four
threads: for each capability and style, a histogram of the scores gives the threshold, a partition of hashes the ties. It
knows no turns and hands nothing on from small styles to large ones, and so does less.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from tests.bench import pools
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Variant, fresh, held, round_robin, seconds

CAPABILITIES, STYLES, POOLS = 14, 9, 37
_QUOTAS_MOST, _REFUSED_MOST, _EXPLAIN_MOST = 2.0, 10.0, 0.1
_BOUNDS = "\n".join(f"    - {{where: c{number} >= 4, min: {36 + number % 5}%}}" for number in range(CAPABILITIES))
_QUOTAS = f"  quotas:\n    - {{by: pool, max: 20%}}\n    - {{by: style, min: 8%}}\n{_BOUNDS}\n"
# Six tenths and six tenths with a fifth of both fill the budget: less than a fifth of both cannot be.
_BOTH = "".join(f"    - {{where: c{number} >= 4, min: 60%}}\n" for number in range(2))
_BOTH += "    - {where: c0 >= 4 and c1 >= 4, max: MOST}\n"
RECIPES = {
    "random": "  budget: 10%\n",
    "quotas": f"  budget: 10%\n{_QUOTAS}",
    "quotas, largest scores": f"  budget: 10%\n  method: top\n  score: quality\n{_QUOTAS}",
    "a conflict": f"  budget: 10%\n{_QUOTAS}    - {{where: c0 <= 3, min: 70%}}\n",
    "a conflict by a hair": f"  budget: 10%\n{_QUOTAS}{_BOTH.replace('MOST', '19.9999%')}",
    "met by a hair": f"  budget: 10%\n{_QUOTAS}{_BOTH.replace('MOST', '20%')}",
    "mmssr": "  budget: 10%\n  method: mmssr\n  bin_by: style\n  capabilities: "
    f"[{', '.join(f'c{number}' for number in range(CAPABILITIES))}]\n",
}


def measure(bench: Bench) -> list[Line]:
    rows = bench.size(10_000_000)
    variants = {name: partial(fresh, ours, name, rows) for name in RECIPES}
    runs = round_robin({**variants, "numpy, 4 threads": partial(fresh, numpy, rows)}, bench.repeats)
    plain, by_hand = seconds(runs["random"]), seconds(runs["numpy, 4 threads"])
    assert plain is not None
    lines = []
    for name in ("quotas", "quotas, largest scores"):
        took = seconds(runs[name])
        assert took is not None
        more = Spread.of([max(took.median - plain.median, 1e-9)])
        what = f"16 joint {name} over {rows:,} samples, beyond a random draw"
        lines.append(Line(what=what, ours=more, against="limit", theirs=limit(_QUOTAS_MOST), unit="s", target=1))
    for name, what in (
        ("a conflict", "a conflict among 17 joint quotas over {rows:,} samples, with ways out that were tried"),
        (
            "a conflict by a hair",
            "a conflict by one of {tenth:,} among 19 joint quotas over {rows:,} samples, likewise",
        ),
        ("met by a hair", "19 joint quotas over {rows:,} samples that leave no room for one sample"),
    ):
        took = seconds(runs[name])
        assert took is not None
        told = what.format(rows=rows, tenth=rows // 10)
        lines.append(Line(what=told, ours=took, against="limit", theirs=limit(_REFUSED_MOST), unit="s", target=1))
    mine = seconds(runs["mmssr"])
    assert mine is not None
    what = f"mmSSR to a tenth of {rows:,} samples, in memory"
    lines.append(Line(what=what, ours=mine, against="numpy, 4 threads", theirs=by_hand, unit="s"))
    peak = Spread.of([max(ran.found["peak"] for ran in runs["mmssr"])])
    lines.append(Line(what="its peak memory, with the table", ours=peak, against="limit", theirs=limit(16), unit="GiB"))
    manifest = str(pools.manifest(bench, "tenth"))
    answers = [took for ran in [fresh(explain, manifest)] for took in ran.found["answers"]]
    what = f"an explanation from {rows:,} compiled samples, once opened"
    slowest = Spread.of(answers)
    lines.append(Line(what=what, ours=slowest, against="limit", theirs=limit(_EXPLAIN_MOST), unit="s", target=1))
    return lines


def _table(rows: int) -> Any:
    """The columns of the samples: chance with a seed."""
    import numpy as np
    import polars as pl

    chance = np.random.default_rng(17)
    shares = 1 / np.arange(3, POOLS + 3)
    pool = np.sort(chance.choice(POOLS, rows, p=shares / shares.sum())).astype(np.uint32)
    names, styles = [f"p{number:02}" for number in range(POOLS)], [f"s{number}" for number in range(STYLES)]
    style = chance.integers(0, STYLES, rows).astype(np.uint8)
    columns = {
        "id_high": chance.integers(0, 2**63, rows, dtype=np.uint64),
        "id_low": chance.integers(0, 2**63, rows, dtype=np.uint64),
        "occurrence": np.zeros(rows, dtype=np.uint32),
        "tokens": np.clip(chance.lognormal(6, 0.7, rows), 16, 16_384).astype(np.uint32),
        "quality": chance.random(rows),
        **{f"c{number}": chance.integers(0, 6, rows).astype(np.int8) for number in range(CAPABILITIES)},
    }
    return (
        pool,
        style,
        pl.DataFrame(columns).with_columns(
            pool=pl.Series(names).cast(pl.Enum(names)).gather(pool),
            style=pl.Series(styles).cast(pl.Enum(styles)).gather(style),
            key=pl.lit(None, dtype=pl.String),
        ),
    )


def ours(name: str, rows: int) -> Variant:
    """One selection, from the table of samples to who is taken."""
    import numpy as np

    from recipe_compiler import kernels, pipeline
    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.execute.methods import take
    from recipe_compiler.execute.task import Samples, Task
    from recipe_compiler.resolve.texts import KeptTexts

    pool, _, frame = _table(rows)
    findings = Findings()
    text = f"recipe: 1\nname: bench\npools: {{p: {{source: p.jsonl}}}}\nselect:\n{RECIPES[name]}"
    checked = pipeline.check_texts(KeptTexts({"recipe.yaml": text}), "recipe.yaml", findings)
    (node,) = (node for node in checked.plan.nodes if node.at[0] == "select")
    high, low, occurrence = (
        np.ascontiguousarray(frame[name].to_numpy()) for name in ("id_high", "id_low", "occurrence")
    )
    keys = kernels.Keys(high=[high], low=[low], occurrence=occurrence, pool=pool)
    samples = Samples(frame=frame, keys=keys, alive=np.ones(rows, dtype=np.bool_))
    task = Task(samples=samples, node=node, checked=checked.recipe, findings=findings, watch=None)
    if "quotas" in RECIPES[name]:
        import recipe_compiler.execute.quotas  # noqa: F401
    yield
    chosen = take(task, node.operation)  # type: ignore[arg-type]
    yield
    if "conflict" in name:
        (told,) = findings.errors
        assert (told.help or "").startswith("ask for")
    else:
        # Of samples as few as in the tests of this file, some pool may have more than a fifth.
        assert int((chosen.times > 0).sum()) == rows // 10 or rows < 100_000
    yield {"peak": held("VmHWM") / 2**30}


def numpy(rows: int) -> Variant:
    """The largest scores of each capability and style, ties by a hash, four capabilities at a time; then all together."""
    import numpy as np

    _, style, frame = _table(rows)
    high = frame["id_high"].to_numpy()
    scores = [frame[f"c{number}"].to_numpy().astype(np.uint8) for number in range(CAPABILITIES)]
    threads = ThreadPoolExecutor(4)
    yield
    hashes = high * np.uint64(0x9E3779B97F4A7C15)
    each = max(rows // 10 // (CAPABILITIES * STYLES), 1)

    def best(number: int) -> Any:
        score = scores[number]
        sizes = np.bincount(style.astype(np.uint16) * 6 + score, minlength=6 * STYLES).reshape(STYLES, 6)
        above = sizes[:, ::-1].cumsum(axis=1)[:, ::-1]
        found = []
        for kind in range(STYLES):
            level = max((level for level in range(1, 6) if above[kind, level] >= each), default=1)
            inside = style == kind
            found.append(np.flatnonzero(inside & (score > level)))
            ties = np.flatnonzero(inside & (score == level))
            left = each - len(found[-1])
            if 0 < left < len(ties):
                ties = ties[np.argpartition(hashes[ties], left)[:left]]
            found.append(ties)
        return np.concatenate(found)

    taken = np.zeros(rows, dtype=np.bool_)
    for part in threads.map(best, range(CAPABILITIES)):
        taken[part] = True
    yield
    yield int(taken.sum())


def explain(manifest: str) -> Variant:
    """Twenty samples by id, each answered by itself, after the manifest was opened."""
    import time
    from pathlib import Path

    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.resolve.workspace import Workspace
    from recipe_compiler.review.explain import Explainer

    folder = Path(manifest).parent
    yield
    explainer = Explainer(Path(manifest), Workspace(root=folder, cache=folder / ".recipe"), Findings())
    yield
    answers = []
    rows = range(0, explainer.frame.height, max(explainer.frame.height // 20, 1))
    for high, low in zip(*(explainer.frame[name].gather(rows) for name in ("id_high", "id_low")), strict=True):
        start = time.perf_counter()
        answer = explainer.samples(f"{high:016x}{low:016x}", by="id", limit=1)
        answers.append(time.perf_counter() - start)
        assert answer.explanations[0].rules
    yield {"answers": answers}
