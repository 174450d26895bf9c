"""Exact tokens of samples, counted by a processor, in place of the estimate."""

from __future__ import annotations

import json

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute import frames
from recipe_compiler.execute.annotations import read_table
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.resolve.bind import BoundAnnotation

#: Libraries that are told beside a processor.
_TOLD = 4
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
    return joined.with_columns(tokens=pl.col("@exact")).drop("@exact"), _counted_by(bound)


def _counted_by(bound: BoundAnnotation) -> str:
    """Who counted: what `recipe count` notes in its table, else the table."""
    if bound.file.suffix != ".parquet":
        return bound.path
    try:
        noted = json.loads(pl.read_parquet_metadata(bound.file).get("recipe", "{}"))
        who = {str(name): str(value) for name, value in noted.items()}
    except (ValueError, AttributeError, RecursionError):
        return bound.path
    with_ = ", ".join(f"{name} {value[:40]}" for name, value in sorted(who.items())[:_TOLD] if name != "processor")
    return f"processor {who['processor'][:12]}{f' with {with_}' if with_ else ''}" if "processor" in who else bound.path
