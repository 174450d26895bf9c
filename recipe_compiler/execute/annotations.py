"""Joins a table of scores or labels to the samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import polars as pl

from recipe_compiler.diagnostics import Findings, Span
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.model.columns import TAKEN
from recipe_compiler.plan import nodes
from recipe_compiler.resolve.bind import BoundAnnotation

_HEX_DIGITS = 16


def annotate(
    frame: pl.DataFrame,
    operation: nodes.Annotate,
    bound: BoundAnnotation,
    annotated: set[str],
    checked: CheckedRecipe,
    findings: Findings,
) -> pl.DataFrame:
    """The table with the annotation's columns. `annotated` are columns that came from earlier annotations."""
    span = checked.span(*bound.node.at)
    table = read_table(bound, findings, checked.span(*bound.node.at, "source"))
    if table is None:
        return frame
    wanted = operation.columns or {name: name for name in table.columns if name != operation.column}
    lacking = [name for name in (operation.column, *wanted.values()) if name not in table.columns]
    if lacking:
        findings.error(
            "execute.annotation",
            f"`{bound.path}` has no column {', '.join(f'`{name}`' for name in lacking)}",
            span,
            notes=[f"its columns are {', '.join(table.columns)}"],
        )
        return frame
    clash = sorted(
        name
        for name in wanted
        if name in TAKEN or name.startswith("@") or (name in frame.columns and name not in annotated)
    )
    if clash:
        exact = f"; exact counts are named with `tokens: {{counts: {bound.path}}}`" if "tokens" in clash else ""
        findings.error(
            "execute.column-clash",
            f"`{bound.path}` would replace the column {', '.join(f'`{name}`' for name in clash)}",
            span,
            help=f"rename it with `columns: {{my_{clash[0]}: {wanted[clash[0]]}}}`{exact}",
        )
        return frame
    table = table.select(pl.col(operation.column).cast(pl.String).alias("@match"), *_renamed(table, wanted))
    table = table.filter(pl.col("@match").is_not_null())
    repeated = table.filter(pl.col("@match").is_duplicated())
    if repeated.height:
        findings.error(
            "execute.annotation",
            f"`{bound.path}` has several rows for one {operation.match.replace('_', ' ')}",
            span,
            notes=[f"for example `{_short(repeated['@match'].min())}`; {repeated.height:,} rows in all are affected"],
        )
        return frame
    joined, matched = _join(frame, table, operation)
    _tell_unmatched(frame, table, matched, operation, bound, findings)
    if operation.match == "key":
        _tell_shared(frame.filter(matched), bound, findings)
    for name in wanted:
        if name in frame.columns:
            both = joined.filter(pl.col(name).is_not_null() & pl.col(f"{name}@new").is_not_null()).height
            if both:
                headline = f"two annotations give `{name}` for the same {both:,} samples"
                findings.error("execute.column-clash", headline, span)
            joined = joined.with_columns(pl.coalesce(name, f"{name}@new").alias(name)).drop(f"{name}@new")
    annotated.update(wanted)
    return joined


def read_table(bound: BoundAnnotation, findings: Findings, span: Span) -> pl.DataFrame | None:
    """A table as a whole, or None where the findings say why not."""
    try:
        match PurePosixPath(bound.path).suffix:
            case ".parquet":
                return pl.read_parquet(bound.file)
            case ".csv":
                return pl.read_csv(bound.file, infer_schema_length=None)
            case ".jsonl" | ".ndjson":
                return pl.read_ndjson(bound.file, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = _short(str(error).splitlines()[0]) if str(error) else type(error).__name__
        findings.error("resolve.unreadable", f"`{bound.path}`: {reason}", span)
        return None
    findings.error("resolve.unreadable", f"`{bound.path}`: an annotation is a .parquet, .csv or .jsonl file", span)
    return None


def _short(text: object) -> str:
    """As much of what a file holds as belongs into a message."""
    longest = 200
    shown = str(text)
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def _renamed(table: pl.DataFrame, wanted: Mapping[str, str]) -> list[pl.Expr]:
    return [
        pl.col(column).cast(pl.String).alias(name)
        if table.schema[column] in (pl.Categorical, pl.Enum)
        # Not a number is no value: it would be larger than every number.
        else pl.col(column).fill_nan(None).alias(name)
        if table.schema[column].is_float()
        # However many numbers a file's type promises, they are a list.
        else pl.col(column).arr.to_list().alias(name)
        if isinstance(table.schema[column], pl.Array)
        else pl.col(column).alias(name)
        for name, column in wanted.items()
    ]


def _join(frame: pl.DataFrame, table: pl.DataFrame, operation: nodes.Annotate) -> tuple[pl.DataFrame, pl.Series]:
    """(the joined table in the same order, which rows of it matched)."""
    speaks = pl.lit(True) if operation.pools is None else pl.col("pool").cast(pl.String).is_in(list(operation.pools))
    if operation.match == "sample_id":
        halves = [
            pl.col("@match")
            .str.slice(start, _HEX_DIGITS)
            .str.to_integer(base=16, dtype=pl.UInt64, strict=False)
            .alias(name)
            for start, name in ((0, "@high"), (_HEX_DIGITS, "@low"))
        ]
        table = table.with_columns(*halves).drop("@match")
        left, right = ["@left_high", "@left_low"], ["@high", "@low"]
        frame = frame.with_columns(
            pl.when(speaks).then(pl.col(name)).alias(f"@left_{name.removeprefix('id_')}")
            for name in ("id_high", "id_low")
        )
    else:
        left, right = ["@left"], ["@match"]
        frame = frame.with_columns(pl.when(speaks).then(pl.col("key")).alias("@left"))
    table = table.with_columns(pl.lit(True).alias("@matched"))
    joined = frame.join(table, left_on=left, right_on=right, how="left", suffix="@new", maintain_order="left")
    return joined.drop([*left, "@matched"]), joined["@matched"].fill_null(False)


def _tell_shared(matched: pl.DataFrame, bound: BoundAnnotation, findings: Findings) -> None:
    # Equal samples share their keys by right; different samples do not.
    shared = matched.unique(["key", "id_high", "id_low"]).group_by("key").len().filter(pl.col("len") > 1)
    if shared.height:
        most = shared.sort("len", "key", descending=[True, False]).row(0, named=True)
        said = "1 key names" if shared.height == 1 else f"{shared.height:,} keys name"
        findings.warn(
            "note.shared-key",
            f"`{bound.path}`: {said} several samples; `{most['key']}` names {most['len']:,}",
            help="make keys unique with `fields: {key: [...]}`, or name the pools that the table is about with `pools`",
        )


def _tell_unmatched(
    frame: pl.DataFrame,
    table: pl.DataFrame,
    matched: pl.Series,
    operation: nodes.Annotate,
    bound: BoundAnnotation,
    findings: Findings,
) -> None:
    """Counts samples without a row among the pools the table is about, and rows that speak of no sample at hand."""
    about = frame.with_columns(matched.alias("@matched"))
    if operation.pools is not None:
        about = about.filter(pl.col("pool").cast(pl.String).is_in(list(operation.pools)))
    without = about.filter(~pl.col("@matched")).height
    if operation.match == "key":
        used = about.filter("@matched")["key"].n_unique()
    else:
        used = about.filter("@matched").select(pl.struct("id_high", "id_low").n_unique()).item()
    idle = table.height - used
    told = [f"{without:,} of {about.height:,} samples {'has' if without == 1 else 'have'} no row"] * bool(without)
    told += [f"{idle:,} of its {table.height:,} rows {'matches' if idle == 1 else 'match'} no sample"] * bool(idle)
    if told:
        findings.warn("note.unmatched", f"`{bound.path}`: {'; '.join(told)}")
