"""A stratified tenth of 10 million rows in 37 pools, shuffled: our stages against hand-tuned peers.

All start from the same index files, mapped and warm: ours from the cache as `bind` leaves it, peers from four of their
columns. All end with the chosen ids in order, and take exactly as many of each pool. Peers hash as they like.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import pools
from tests.bench.bench import Bench
from tests.bench.figures import Line
from tests.bench.peers import duckdb, numpy, polars
from tests.bench.processes import Variant, fresh, recipe, round_robin, seconds


def measure(bench: Bench) -> list[Line]:
    folder = pools.place(bench)
    recipe("index", folder / "tenth.yaml")
    columns = str(folder / "columns.arrow")
    fresh(export, str(folder), columns)
    variants = {
        "ours": partial(fresh, ours, str(folder)),
        "whole": partial(fresh, whole, str(folder)),
        "numpy, 1 thread": partial(fresh, numpy, columns, 1),
        "numpy, 4 threads": partial(fresh, numpy, columns, 4),
        "polars": partial(fresh, polars, columns),
        "duckdb": partial(fresh, duckdb, columns),
    }
    runs = round_robin(variants, bench.repeats)
    counts = {name: ran.found for name, found in runs.items() for ran in found}
    wrong = [name for name, found in counts.items() if found != counts["ours"]]
    if wrong:
        raise AssertionError(f"not as many of each pool: {', '.join(wrong)}")
    mine, stages = seconds(runs.pop("ours")), seconds(runs.pop("whole"))
    assert mine is not None and stages is not None
    what = f"a tenth of {bench.size(10_000_000):,} rows, in order"
    times = {name: seconds(ran) for name, ran in runs.items()}
    best = min((found for found in times.values() if found is not None), key=lambda found: found.median)
    return [
        *(Line(what=what, ours=mine, against=name, theirs=found, unit="s") for name, found in times.items()),
        Line(what=what, ours=mine, against="the best of these", theirs=best, unit="s", target=1),
        Line(
            what="the same, with ids, funnel, warnings", ours=stages, against="the best of these", theirs=best, unit="s"
        ),
    ]


def export(folder: str, target: str) -> Variant:
    """Writes the columns that peers need, out of the cached indexes."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import ipc

    yield
    parts = []
    for number, pool in enumerate(_bound(Path(folder), "tenth")[1].pools):
        index = pa.concat_tables([file.index.table for file in pool.files])
        columns = {name: index[name] for name in ("id_high", "id_low")}
        columns["pool"] = pa.array(np.full(index.num_rows, number, dtype=np.uint16))
        columns["tokens"] = index["text_tokens"].cast(pa.uint32())
        parts.append(pa.table(columns))
    table = pa.concat_tables(parts).combine_chunks()
    with ipc.new_file(target, table.schema) as writer:
        writer.write_table(table)
    yield


def ours(folder: str) -> Variant:
    """`select` and `order`, from the table that `run` has united to the draws."""
    import polars as pl

    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.emit.order import order
    from recipe_compiler.execute.run import run
    from recipe_compiler.execute.select import select
    from recipe_compiler.plan import nodes

    findings = Findings()
    checked, bound = _bound(Path(folder), "all")
    united = run(bound, checked.recipe, findings)
    frame = united.frame.drop("times", "stage")
    checked, _ = _bound(Path(folder), "tenth")
    ((node, operation),) = checked.plan.select(nodes.Select)
    yield
    chosen = select(frame, node, operation, checked.recipe, findings)
    stage = pl.lit(0, dtype=pl.UInt32).alias("stage")
    ordered = order(dataclasses.replace(united, frame=chosen.frame.with_columns(stage)), checked.recipe, findings)
    yield
    yield _counts(ordered.draws)


def whole(folder: str) -> Variant:
    """`run` and `order`: also the union of the pools, their digests, duplicates and the funnel."""
    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.emit.order import order
    from recipe_compiler.execute.run import run

    checked, bound = _bound(Path(folder), "tenth")
    findings = Findings()
    yield
    ordered = order(run(bound, checked.recipe, findings), checked.recipe, findings)
    yield
    yield _counts(ordered.draws)


def _bound(folder: Path, name: str) -> Any:
    """A recipe, checked, and its bound plan out of the cache."""
    from recipe_compiler import pipeline
    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.resolve.workspace import Workspace

    findings = Findings()
    checked = pipeline.check_recipe(folder / f"{name}.yaml", findings)
    place = Workspace(root=folder, cache=folder / ".recipe")
    return checked, pipeline.bind_recipe(checked, place, findings)


def _counts(draws: Any) -> list[int]:
    return [count for _, count in sorted(draws.group_by("pool").len().rows())]
