"""A stratified tenth of 10 million rows in 37 pools, deduplicated and shuffled: our stages against hand-tuned peers.

All start from the same index files, mapped and warm: ours from the cache as `bind` leaves it, peers from those of their
columns that a manifest needs. All drop exact duplicates of the 128-bit ids, take exactly as many of each pool, and end
with the columns of a manifest's rows, in order, in memory. Peers hash as they like, and know that pools lie one after
another.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import pools
from tests.bench.bench import Bench
from tests.bench.figures import Line
from tests.bench.peers import NEEDED, duckdb, numpy, polars
from tests.bench.processes import Variant, fresh, recipe, round_robin, seconds


def measure(bench: Bench) -> list[Line]:
    folder = pools.place(bench)
    recipe("index", folder / "tenth.yaml")
    columns = str(folder / "columns.arrow")
    fresh(export, str(folder), columns)
    variants = {
        "ours": partial(fresh, ours, str(folder)),
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
    mine = seconds(runs.pop("ours"))
    assert mine is not None
    what = f"a tenth of {bench.size(10_000_000):,} rows, in order"
    times = {name: seconds(ran) for name, ran in runs.items()}
    best = min((found for found in times.values() if found is not None), key=lambda found: found.median)
    return [
        *(Line(what=what, ours=mine, against=name, theirs=found, unit="s") for name, found in times.items()),
        Line(what=what, ours=mine, against="the best of these", theirs=best, unit="s", target=1),
    ]


def export(folder: str, target: str) -> Variant:
    """Writes the columns that peers need, out of the cached indexes."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import ipc

    yield
    parts = []
    for number, pool in enumerate(_bound(Path(folder))[1].pools):
        index = pa.concat_tables([file.index.table for file in pool.files])
        columns = {name: index[name] for name in ("id_high", "id_low", *NEEDED)}
        columns["pool"] = pa.array(np.full(index.num_rows, number, dtype=np.uint16))
        parts.append(pa.table(columns))
    table = pa.concat_tables(parts).combine_chunks()
    with ipc.new_file(target, table.schema) as writer:
        writer.write_table(table)
    yield


def ours(folder: str) -> Variant:
    """The compiler from a bound plan to the rows of the manifest: also the funnel, what each rule dropped, warnings."""
    from recipe_compiler import kernels
    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.emit.build import rows_of
    from recipe_compiler.emit.order import order
    from recipe_compiler.execute.run import run

    checked, bound = _bound(Path(folder))
    findings = Findings()
    yield
    selection = run(bound, checked.recipe, findings)
    pools, sources = list(range(len(bound.pools))), list(range(sum(len(pool.files) for pool in bound.pools)))
    ordered = order(selection, checked.recipe, findings)
    table = rows_of(ordered, selection, kernels.sample_ids(selection.keys, ordered.rows), pools, sources)
    yield
    yield [counted["counts"] for counted in sorted(table["pool"].value_counts().to_pylist(), key=lambda c: c["values"])]


def _bound(folder: Path) -> Any:
    """The recipe, checked, and its bound plan out of the cache."""
    from recipe_compiler import pipeline
    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.resolve.workspace import Workspace

    findings = Findings()
    checked = pipeline.check_recipe(folder / "tenth.yaml", findings)
    place = Workspace(root=folder, cache=folder / ".recipe")
    return checked, pipeline.bind_recipe(checked, place, findings)
