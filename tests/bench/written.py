"""Ten million scored samples to a written manifest: mmSSR to a tenth, exact duplicates dropped, in order.

Peers read the columns of one Parquet file, take of each capability and style those with the largest scores (`score_peers`),
and write the rows as Parquet. A native kernel makes the same choice over columns in memory, and writes nothing
(`score_kernel`). They know no turns, hand nothing on, drop duplicates only of what they took, and so
come to a few per cent less than the budget.

Ours is the compiler from a bound plan on: `run`, `order`, `build`, `store.write`. No command reads ids out of a Parquet
file; an index stands for them, with the scores as columns that the pools carry. So ours runs twice: with its indexes made
of the same Parquet columns within the time that is measured, which is what peers do, and with them mapped from the files
that indexing left. A table of scores beside the pools would be joined by id first, which peers need not do either. Both
give the same manifest, which is verified; digests of shards and rows, the funnel and what each capability took are in it.
"""

from __future__ import annotations

import shutil
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from tests.bench import scored
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Variant, fresh, held, ready, round_robin, seconds
from tests.bench.score_kernel import compiled, kernel
from tests.bench.score_peers import duckdb, numpy, polars

#: How many times as long as the kernel alone we may take.
_TIMES = 4
_MOST_MEMORY = 16
_STYLES = [f"s{number}" for number in range(scored.STYLES)]
_RECIPE = "\n".join(
    [
        "recipe: 1\nname: written\nseed: 17\npools:",
        *(f"  p{number:02}: {{source: p{number:02}.parquet}}" for number in range(scored.POOLS)),
        "dedup: {exact: true}",
        f"select: {{budget: 10%, method: mmssr, bin_by: style, capabilities: [{', '.join(scored.SCORES)}]}}",
        "stages: [{name: train}]\n",
    ]
)


def measure(bench: Bench) -> list[Line]:
    rows = bench.size(scored.ROWS)
    path = scored.place(bench)
    folder = bench.folder / f"written-{rows}"
    folder.mkdir(exist_ok=True)
    fresh(export, str(path), str(folder))
    sides = {"numpy, 4 threads": numpy, "polars": polars, "duckdb": duckdb}
    variants = {
        name: partial(fresh, side, str(path), str(folder / f"{side.__name__}.parquet")) for name, side in sides.items()
    }
    variants["kernel"] = partial(fresh, kernel, str(path), str(compiled(bench.folder)))
    variants["ours"] = partial(fresh, ours, str(path), str(folder), False)
    variants["ours, indexed"] = partial(fresh, ours, str(path), str(folder), True)
    runs = round_robin(variants, bench.repeats)
    mine = runs.pop("ours"), runs.pop("ours, indexed")
    took, indexed = (seconds(found) for found in mine)
    assert took is not None and indexed is not None
    assert len({ran.found["manifest"] for found in mine for ran in found}) == 1
    for name, found in runs.items():
        for ran in found:
            if not rows // 10 * 0.9 <= ran.found["rows"] <= rows // 10 and rows >= 100_000:
                raise AssertionError(f"{name} came to {ran.found['rows']:,} rows")
    alone = seconds(runs.pop("kernel"))
    assert alone is not None
    what = f"{rows:,} scored samples in Parquet to a written manifest"
    times = {name: seconds(found) for name, found in runs.items()}
    best = min((found for found in times.values() if found is not None), key=lambda found: found.median)
    peak = Spread.of([max(ran.found["peak"] for found in mine for ran in found)])
    for left in folder.glob("*.parquet"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return [
        *(Line(what=what, ours=took, against=name, theirs=found, unit="s") for name, found in times.items()),
        Line(what=what, ours=took, against="the best of these", theirs=best, unit="s", target=2),
        Line(
            what="the same from our own index",
            ours=indexed,
            against="a native kernel alone, columns in memory",
            theirs=alone,
            unit="s",
            target=1 / _TIMES,
        ),
        Line(what="its peak memory", ours=peak, against="limit", theirs=limit(_MOST_MEMORY), unit="GiB", target=1),
    ]


def export(path: str, folder: str) -> Variant:
    """Writes the indexes, a file for each pool, as indexing leaves them."""
    import pyarrow as pa

    from recipe_compiler.manifest.rows import cells, column
    from recipe_compiler.resolve.columns import narrow
    from recipe_compiler.resolve.index import keep

    yield
    for number, table in enumerate(_tables(path)):
        numbers = narrow({name: cells(table, name) for name in (*scored.SAID, "answers")})
        rest = {name: table[name].combine_chunks() for name in table.column_names if name not in numbers}
        kept = {name: column(values) for name, values in numbers.items()} | rest
        keep(pa.table(kept), Path(folder) / f"p{number:02}.arrow")
    yield


def ours(path: str, folder: str, indexed: bool) -> Variant:
    """The compiler, from Parquet columns or from its own indexes to a manifest on disk."""
    from recipe_compiler.cli import process

    process.begin_short()
    from recipe_compiler import pipeline
    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.emit.build import build
    from recipe_compiler.emit.order import order
    from recipe_compiler.execute.run import run
    from recipe_compiler.manifest import store
    from recipe_compiler.resolve.index import read_table
    from recipe_compiler.resolve.texts import KeptTexts

    findings = Findings()
    checked = pipeline.check_texts(KeptTexts({"written.yaml": _RECIPE}), "written.yaml", findings)
    files = [Path(folder) / f"p{number:02}.arrow" for number in range(scored.POOLS)]
    out = Path(folder) / ("indexed" if indexed else "from-parquet")
    shutil.rmtree(out, ignore_errors=True)
    ready(path, *(files if indexed else [path]))
    yield
    tables = [read_table(file) for file in files] if indexed else _tables(path)
    selection = run(_bound(checked.plan, tables), checked.recipe, findings)
    built = build(selection, order(selection, checked.recipe, findings), checked.texts)
    store.write(built.manifest, built.tables(), out)
    yield
    peak = held("VmHWM") / 2**30
    verified = store.verify(out, None)
    assert verified.rows == sum(selection.funnel[-2].kept.values()) // 10
    yield {"manifest": built.manifest.ids.manifest, "peak": peak}


def _tables(path: str) -> list[Any]:
    """The index of each pool, made of the columns of the Parquet file."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    # Polars decodes whole numbers of few bytes in half the time that Arrow takes.
    read = pl.read_parquet(path, columns=[*scored.SAID, "answers", "style", *scored.SCORES])
    columns = read.rename({"style": "column:style", **{name: f"number:{name}" for name in scored.SCORES}})
    batches = columns.to_arrow(compat_level=pl.CompatLevel.newest()).to_batches()
    # From bytes: of a list Arrow asks pandas, which takes time to import.
    ends = np.cumsum([0, *map(len, _STYLES)], dtype=np.int32)
    styles = pa.StringArray.from_buffers(len(_STYLES), pa.py_buffer(ends), pa.py_buffer("".join(_STYLES).encode()))

    def named(batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = {"column:style": pa.DictionaryArray.from_arrays(batch["column:style"], styles, safe=False)}
        # No sample has a key or media.
        none = dict.fromkeys(("key", "media"), pa.nulls(batch.num_rows))
        return pa.record_batch(dict(zip(batch.schema.names, batch, strict=True)) | texts | none)

    whole = pa.Table.from_batches(map(named, batches))
    sizes = scored.sizes(whole.num_rows)
    return [whole.slice(end - size, size) for end, size in zip(accumulate(sizes), sizes, strict=True)]


def _bound(plan: Any, tables: list[Any]) -> Any:
    """A bound plan as `bind` leaves it, of these indexes."""
    from recipe_compiler.plan import nodes
    from recipe_compiler.resolve.bind import BoundFile, BoundPlan, BoundPool
    from recipe_compiler.resolve.index import FileIndex

    seen = {"style": 8, **dict.fromkeys(scored.SCORES, 2)}
    pools = []
    for (node, scan), table in zip(plan.select(nodes.Scan), tables, strict=True):
        digest = f"{len(pools):064x}"
        index = FileIndex(key=digest, table=table, seen=seen, malformed=())
        file = BoundFile(
            path=scan.source[0],
            size=700 * table.num_rows,
            digest=digest,
            wrapping="plain",
            layout={},
            stream=Path(scan.source[0]),
            index=index,
        )
        pools.append(
            BoundPool(
                scan=scan,
                node=node,
                files=(file,),
                preset="qa",
                fields={},
                why="",
                missing_media=(),
                samples=table.num_rows,
                digest=digest,
                repeats=True,
            )
        )
    return BoundPlan(plan=plan, pools=tuple(pools), annotations=(), repeats=1)
