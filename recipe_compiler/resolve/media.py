"""Which media references of a pool lead to no file."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc


def references(tables: list[pa.Table]) -> set[str]:
    """Every media path that samples refer to."""
    found: set[str] = set()
    for table in tables:
        found.update(pc.unique(pc.list_flatten(table["media"])).to_pylist())
    return found


def missing(folder: Path, tables: list[pa.Table]) -> list[str]:
    """The references, each once and sorted, that name no file below the media folder.

    Folders are listed rather than files asked for, so that a million references cost a few system calls. A reference
    that is absolute, remote or leads out of the folder names no file.
    """
    by_folder: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    gone: list[str] = []
    for reference in references(tables):
        path = PurePosixPath(reference)
        if path.is_absolute() or ".." in path.parts or "://" in reference or "\0" in reference:
            gone.append(reference)
        else:
            by_folder[str(path.parent)].append((path.name, reference))
    for parent, names in by_folder.items():
        try:
            present = set(os.listdir(folder / parent))
        except OSError:
            present = set()
        gone += [reference for name, reference in names if name not in present]
    return sorted(gone)
