"""Exact tokens of samples, counted by a processor, in place of the estimate."""

from __future__ import annotations

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute import frames
from recipe_compiler.execute.annotations import read_table
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.resolve.bind import BoundAnnotation

#: The column of a table that names who counted; the same in every row.
COUNTED_BY = "processor"
_MOST = np.iinfo(np.uint32).max
_HEX = "^[0-9a-fA-F]{32}$"


def recount(
    frame: pl.DataFrame, codes: kernels.U32, bound: BoundAnnotation, checked: CheckedRecipe, findings: Findings
) -> tuple[pl.DataFrame, str]:
    """The table of samples with exact `tokens`, and who counted them. `codes` are the numbers of the samples' pools.

    Where a sample has no count, or a count cannot be one, the findings say so.
    """
    span = checked.span(*bound.node.at, "counts")
    table = read_table(bound, findings, span)
    if table is None:
        return frame, ""
    lacking = [name for name in ("sample_id", "tokens") if name not in table.columns]
    if lacking or not table["tokens"].dtype.is_integer():
        reason = f"has no column `{lacking[0]}`" if lacking else "has `tokens` that are no whole numbers"
        notes = [f"its columns are {', '.join(table.columns)}"]
        findings.error("execute.annotation", f"`{bound.path}` {reason}", span, notes=notes)
        return frame, ""
    counts = table.filter(pl.col("sample_id").is_not_null(), pl.col("tokens").is_not_null())
    wrong = counts.filter(~pl.col("tokens").is_between(0, _MOST))
    wrong = pl.concat([wrong, counts.filter(~pl.col("sample_id").cast(pl.String).str.contains(_HEX))])
    repeated = counts.filter(pl.col("sample_id").is_duplicated())
    for rows, what in ((wrong, "no count of a sample"), (repeated, "one of several for a sample")):
        if rows.height:
            number, example = (
                f"{rows.height:,} of its rows {'is' if rows.height == 1 else 'are'}",
                rows.row(0, named=True),
            )
            notes = [f"for example {example['tokens']} for `{str(example['sample_id'])[:200]}`"]
            findings.error("execute.annotation", f"`{bound.path}`: {number} {what}", span, notes=notes)
    if findings.errors:
        return frame, ""
    halves = [
        pl.col("sample_id").str.slice(start, 16).str.to_integer(base=16, dtype=pl.UInt64).alias(name)
        for start, name in ((0, "id_high"), (16, "id_low"))
    ]
    exact = counts.select(*halves, pl.col("tokens").cast(pl.UInt32).alias("@exact"))
    joined = frame.join(exact, on=["id_high", "id_low"], how="left", maintain_order="left")
    without = joined["@exact"].is_null().to_numpy()
    if without.any():
        pools = ", ".join(f"{pool} {num:,}" for pool, num in frames.counts_of(frame, codes, without).items())
        findings.error(
            "execute.uncounted",
            f"`{bound.path}` has no count for {int(without.sum()):,} of {frame.height:,} samples ({pools})",
            span,
            help="count them with `recipe count`, or leave `counts` out and go by the estimate",
        )
        return frame, ""
    return joined.with_columns(tokens=pl.col("@exact")).drop("@exact"), _counted_by(table, bound)


def _counted_by(table: pl.DataFrame, bound: BoundAnnotation) -> str:
    """Who counted: what the table says of itself, else its path."""
    named = table[COUNTED_BY].drop_nulls().unique().sort().to_list() if COUNTED_BY in table.columns else []
    return ", ".join(map(str, named[:3])) or bound.path
