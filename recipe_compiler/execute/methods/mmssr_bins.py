"""The bins of mmSSR: which styles of which source each sample lies in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recipe_compiler import kernels, table
from recipe_compiler.execute import frames
from recipe_compiler.execute.expressions import require_column, usable_columns
from recipe_compiler.execute.task import Task
from recipe_compiler.plan import nodes

#: More bins or combinations of them than this are no styles but, say, answers.
_MOST_BINS, _MOST_CELLS, _MOST_STYLES = 1 << 16, 1 << 20, 200
#: Between the texts of a list.
_BETWEEN = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """The bins of each row, the name of each bin, and which living rows have one."""

    arrays: kernels.Bins
    names: list[str]
    able: kernels.Bools

    @property
    def cells(self) -> kernels.U32:
        """The cell of each row."""
        return _whole(self.arrays.cell)


def bins_of(task: Task, operation: nodes.Mmssr) -> Bins | None:
    """The bins, numbered by name; None where the findings say why. Samples without a style are counted and told."""
    styles = _styles(task, operation.style)
    source, sources = None, [""]
    if operation.source is not None and task.has_column(operation.source, "source"):
        source, sources = frames.numbered(task.frame[operation.source], task.alive)
    if styles is None or task.findings.errors:
        return None
    style, listed = styles
    if source is None:
        # A style is a cell of its own.
        cell, of_cell = style, [[(name, sources[0]) for name in own] for own in listed]
    else:
        whole = _whole(style)
        cell, firsts = kernels.cells([whole, source], task.alive)
        of_cell = [[(name, sources[source[row]]) for name in listed[whole[row]]] for row in firsts.tolist()]
    most = max(map(len, listed), default=0)
    if len(of_cell) > _MOST_CELLS or most > _MOST_STYLES:
        many = f"{most:,} styles for one sample" if most > _MOST_STYLES else f"{len(of_cell):,} combinations of styles"
        _tell_many(task, operation, many)
        return None
    of_cell = of_cell or [[]]
    pairs = sorted(set(itertools.chain.from_iterable(of_cell)))
    if len(pairs) > _MOST_BINS:
        _tell_many(task, operation, f"{len(pairs):,} bins")
        return None
    number = {pair: at for at, pair in enumerate(pairs)}
    sizes = np.array([len(found) for found in of_cell], dtype=np.uint32)
    able, without = task.alive, 0
    if not sizes.all():
        able = task.alive & (sizes[_whole(cell)] > 0)
        without = int(np.count_nonzero(task.alive) - np.count_nonzero(able))
    if without:
        noun = "sample has" if without == 1 else "samples have"
        headline = f"{without:,} {noun} no `{operation.style}` and cannot be taken by a capability"
        task.findings.warn("note.unscored", headline, task.span("style"))
    arrays = kernels.Bins(
        cell=cell,
        starts=np.concatenate(([0], np.cumsum(sizes))).astype(np.uint32),
        bins=np.array([number[pair] for found in of_cell for pair in found], dtype=np.uint32),
    )
    names = [" / ".join(filter(None, pair)) for pair in pairs]
    return Bins(arrays=arrays, names=names, able=able)


def _tell_many(task: Task, operation: nodes.Mmssr, many: str) -> None:
    headline = f"`{operation.style}` gives {many}, which is more than there can be"
    task.findings.error("execute.too-many", headline, task.span("style"), help="name a column of few values")


def _whole(cell: kernels.U32 | list[kernels.U8]) -> kernels.U32:
    return cell if isinstance(cell, np.ndarray) else table.codes(cell)


def _styles(task: Task, name: str) -> tuple[kernels.U32 | list[kernels.U8], list[tuple[str, ...]]] | None:
    """(the number of each row's list of styles, those lists, each style once); None where the findings say why."""
    kind = usable_columns(task.frame).get(name)
    if kind is None:
        require_column(task.frame, name, task.findings, task.span("style"))
        return None
    if kind not in ("text", "texts"):
        headline = f"`{name}` is {'a number' if kind == 'number' else 'true or false'}, and styles are texts"
        task.findings.error("execute.column-type", headline, task.span("style"))
        return None
    column = task.frame[name]
    between = _BETWEEN if kind == "texts" else ","

    def listed(names: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(dict.fromkeys(filter(None, map(str.strip, name.split(between))))) for name in names]

    if isinstance(column.dtype, pl.Enum) and not column.null_count():
        # Numbered already. Styles that no living row has are bins of nothing; only too many of them need a closer look.
        numbers, all_of_them = column.to_physical(), listed(column.dtype.categories.to_list())
        if numbers.dtype == pl.UInt8 and max(map(len, all_of_them), default=0) <= _MOST_STYLES:
            return frames.pieces(numbers), all_of_them
        number, names = frames.numbered(column, task.alive)
    else:
        texts = column.list.join(_BETWEEN) if kind == "texts" else column.cast(pl.String)
        number, names = frames.numbered(texts, task.alive, missing="")
    return number, listed(names)
