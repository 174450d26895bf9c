"""What the texts of a file say, beside its index: measured once, and only for recipes that ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from recipe_compiler import scanning
from recipe_compiler.manifest import rows
from recipe_compiler.plan import nodes
from recipe_compiler.plan.lower import Plan
from recipe_compiler.resolve.index import FileIndex, cached_index, index_file, intact, keep, place, read_table
from recipe_compiler.resolve.workspace import Workspace

#: The prefix of columns that are not for rules.
MEASURED = "@"


def wanted(plan: Plan) -> bool:
    """Whether a plan asks what texts say."""
    return any(True for _ in plan.select(nodes.GoalDriven))


def worded_file(
    workspace: Workspace,
    stream: Path,
    *,
    digest: str,
    layout: Mapping[str, Any],
    fields: Mapping[str, Any],
    worded: bool,
) -> FileIndex:
    """The index of a record stream, if `worded` with what its texts say."""
    index = index_file(workspace, stream, digest=digest, layout=layout, fields=fields)
    if not worded:
        return index
    path = place(workspace, "wording", digest, layout, fields)
    if not intact(path):
        found = scanning.wording(stream, layout=layout, fields=fields)
        keep(pa.table({name: rows.column(values) for name, values in found.items()}), path)
    return _beside(index, path)


def cached_worded(
    workspace: Workspace, *, digest: str, layout: Mapping[str, Any], fields: Mapping[str, Any], worded: bool
) -> FileIndex | None:
    """The same from the cache; the file need not be there any more."""
    index = cached_index(workspace, digest=digest, layout=layout, fields=fields)
    path = place(workspace, "wording", digest, layout, fields)
    if index is None or not worded:
        return index
    return _beside(index, path) if intact(path) else None


def _beside(index: FileIndex, path: Path) -> FileIndex:
    table, measured = index.table, read_table(path)
    for name in measured.column_names:
        table = table.append_column(f"{MEASURED}{name}", measured[name])
    return replace(index, table=table)
