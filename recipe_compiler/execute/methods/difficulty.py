"""Classes of difficulty: PISM and CMAB (Qi et al., arXiv 2511.06722, sections on both), and their random controls.

Churn: a class is a matter of the sample alone, so that the selection changes by exactly the samples that come, go or change
their class. Of each value of `by` the control is a prefix of the keyed order of all that are offered: it changes by
exactly the changes of the counts, beside samples that are no longer offered and those that take their places.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl

from recipe_compiler import kernels
from recipe_compiler.execute import frames
from recipe_compiler.execute.expressions import usable_columns
from recipe_compiler.execute.ranks import Preference
from recipe_compiler.execute.task import Chosen, Task, order_key
from recipe_compiler.manifest.schema import Request, Share
from recipe_compiler.plan import nodes

CLASSES = ("easy", "medium", "hard", "unsolved")
_NONE = len(CLASSES)
#: How far a level may be from tenths: single precision holds 0.7 as 0.69999999.
_NEAR = 1e-4


def difficulty(task: Task, operation: nodes.Difficulty) -> Chosen:
    """Takes every sample of the classes, or as many at random from all that are offered."""
    codes = _classes(task, operation)
    for position, name in enumerate(operation.by):
        task.has_column(name, "by", position)
    if codes is None or task.findings.errors:
        return task.nothing
    _tell_unclassed(task, operation, codes)
    wanted = task.alive & np.isin(codes, [CLASSES.index(name) for name in operation.keep])
    sizes = _counted(codes, task.alive)
    if operation.control:
        return _control(task, operation, codes, wanted)
    if task.watch is not None:
        task.watch.judged(task.node, task.alive, wanted, lambda row: {"values": _values(task, operation, codes, row)})
    parts = [Fraction(size if name in operation.keep else 0) for name, size in zip(CLASSES, sizes, strict=False)]
    return _chosen(task, operation, codes, wanted, parts)


def _control(task: Task, operation: nodes.Difficulty, codes: kernels.U32, wanted: kernels.Bools) -> Chosen:
    group, names = np.zeros(task.frame.height, dtype=np.uint32), [""]
    if operation.by:
        group, names = frames.combined(task.frame, operation.by, task.alive)
    limits = kernels.totals(group, len(names), alive=wanted)
    key = order_key(operation.seed, "select")
    taken = kernels.best(key, task.keys, alive=task.alive, scores=None, group=group, limits=limits)
    if task.watch is not None:
        strata = (", ".join(operation.by), group, names) if operation.by else None
        shown = {"class": np.array([*CLASSES, "none"])[codes]}
        preference = Preference(key=key, keys=task.keys, scores=None)
        task.watch.ranked(task.node, task.frame, preference, task.alive, taken, strata, shown)
    # What a class has of the control on average over all seeds.
    cells = kernels.totals(group * (_NONE + 1) + codes, len(names) * (_NONE + 1), alive=task.alive)
    parts = [Fraction(0)] * _NONE
    for limit, sizes in zip(limits.tolist(), cells.reshape(-1, _NONE + 1).tolist(), strict=True):
        parts = [part + Fraction(limit * size, max(sum(sizes), 1)) for part, size in zip(parts, sizes, strict=False)]
    return _chosen(task, operation, codes, taken, parts)


def _chosen(
    task: Task, operation: nodes.Difficulty, codes: kernels.U32, taken: kernels.Bools, parts: list[Fraction]
) -> Chosen:
    """What is taken, beside all classes: also those that are not kept."""
    offered, realised = _counted(codes, task.alive), _counted(codes, taken)
    shares = zip(CLASSES, parts, offered, realised, strict=False)
    asked = f"{'as many as ' if operation.control else ''}{', '.join(operation.keep)}"
    available = int(task.alive.sum())
    request = Request(what="select", requested=asked, available=available, realised=int(taken.sum()), unit="samples")
    return Chosen(
        times=taken.astype(np.uint32),
        requests=(request,),
        strata=tuple(
            Share(name=name, requested=str(part), available=available, realised=got)
            for name, part, available, got in shares
        ),
    )


def _counted(codes: kernels.U32, alive: kernels.Bools) -> list[int]:
    counts: list[int] = kernels.totals(codes, _NONE + 1, alive=alive).tolist()
    return counts


def _values(task: Task, operation: nodes.Difficulty, codes: kernels.U32, row: int) -> dict[str, Any]:
    names = [operation.column, *([operation.solved] if operation.solved is not None else [])]
    return task.frame.select(names).row(row, named=True) | {"class": [*CLASSES, "none"][codes[row]]}


def _classes(task: Task, operation: nodes.Difficulty) -> kernels.U32 | None:
    """The class of each row, by its number; None where the findings say why."""
    for name, setting in ((operation.column, operation.kind), (operation.solved, "solved")):
        if name is None or not task.has_column(name, setting):
            continue
        kind = usable_columns(task.frame)[name]
        if kind != "number" and (setting != "solved" or kind != "boolean"):
            expected = "numbers" if setting != "solved" else "true and false, or numbers of right answers"
            headline = f"`{name}` has no {expected}"
            task.findings.error("execute.column-type", headline, task.span(setting))
    if task.findings.errors:
        return None
    solved = pl.lit(None, dtype=pl.Boolean)
    if operation.solved is not None:
        solved = pl.col(operation.solved).cast(pl.Float64) > 0
    found = _pism(task, operation, solved) if operation.kind == "pism" else _cmab(task, operation, solved)
    if found is None:
        return None
    values = task.frame.with_columns(found.fill_null(_NONE).cast(pl.UInt32).alias("@class"))["@class"]
    return np.ascontiguousarray(values.to_numpy())


def _pism(task: Task, operation: nodes.Difficulty, solved: pl.Expr) -> pl.Expr | None:
    """Borders are compared in tenths."""
    level = pl.col(operation.column).cast(pl.Float64) * 10
    tenths = level.round()
    fits = tenths.is_between(0, 10) & ((level - tenths).abs() < _NEAR)
    wrong = task.frame.filter(pl.Series(task.alive) & ~fits)[operation.column]
    if len(wrong):
        task.findings.error(
            "execute.column-type",
            f"`{operation.column}` has {len(wrong):,} levels that are no tenths from 0 to 1, such as {wrong.min()!r}",
            task.span("pism"),
            help="a level is the part of the image that is masked: 0, 0.1, to 0.9",
        )
        return None
    easy = (tenths >= 7) if operation.easy_inclusive else (tenths > 7)
    # Without a level nothing failed, unless it was never tried.
    without = "easy" if operation.solved is None else None
    return (
        pl.when(solved.not_() | (tenths == 0))
        .then(CLASSES.index("unsolved"))
        .when(easy | (tenths.is_null() & solved))
        .then(CLASSES.index("easy"))
        .when(tenths <= 4)
        .then(CLASSES.index("hard"))
        .when(tenths.is_not_null())
        .then(CLASSES.index("medium"))
        .otherwise(None if without is None else CLASSES.index(without))
    )


def _cmab(task: Task, operation: nodes.Difficulty, solved: pl.Expr) -> pl.Expr:
    """Borders are compared as they are written: a number is at 1.6 if it is the one that 1.6 is read as."""
    single = task.frame.schema[operation.column] == pl.Float32
    dtype = pl.Float32 if single else pl.Float64
    rho = pl.col(operation.column).cast(dtype)
    low, hard, medium, high = (pl.lit(border).cast(dtype) for border in (0.1, 0.4, 1.6, 1.9))
    return (
        pl.when(solved.not_())
        .then(CLASSES.index("unsolved"))
        .when(solved.is_null() | rho.is_null())
        .then(None)
        .when((rho < low) | (rho > high))
        .then(CLASSES.index("easy"))
        .when((rho >= hard) & (rho <= medium))
        .then(CLASSES.index("hard"))
        .otherwise(CLASSES.index("medium"))
    )


def _tell_unclassed(task: Task, operation: nodes.Difficulty, codes: kernels.U32) -> None:
    without = _counted(codes, task.alive)[_NONE]
    if without:
        noun = "sample has" if without == 1 else "samples have"
        headline = f"{without:,} {noun} no class of difficulty"
        task.findings.warn("note.unscored", headline, task.span(operation.kind))
