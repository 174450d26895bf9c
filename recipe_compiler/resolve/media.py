"""Which media references of a pool lead to no file."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath

import pyarrow as pa

from recipe_compiler.manifest.files import leads_out


def references(tables: list[pa.Table]) -> set[str]:
    """Every media path that samples refer to."""
    media = [table["media"] for table in tables]
    lists = [chunk.flatten() for column in media if not pa.types.is_null(column.type) for chunk in column.chunks]
    if not any(map(len, lists)):
        return set()
    # Takes time to import, and many pools refer to none.
    import pyarrow.compute as pc

    return {reference for found in lists for reference in pc.unique(found).to_pylist()}


def missing_among(present: set[str], references: set[str]) -> dict[str, str]:
    """The references, sorted, that are not among the names below a remote media folder, and why."""
    gone = {}
    for reference in references:
        path = PurePosixPath(reference)
        if path.is_absolute() or ".." in path.parts or "://" in reference or "\0" in reference:
            gone[reference] = " (leads out of the folder)"
        elif reference not in present:
            gone[reference] = ""
    return dict(sorted(gone.items()))


def missing(root: Path, folder: str, references: set[str]) -> dict[str, str]:
    """The references, sorted, that name no file below the media folder, and why if it is not just missing.

    Folders are listed rather than files asked for, so that a million references cost a few system calls. A reference
    that is absolute, remote or leads out of the folder names no file, nor does a link that leads out of the root.
    """
    by_folder: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    gone: dict[str, str] = {}
    for reference in references:
        path = PurePosixPath(reference)
        if path.is_absolute() or ".." in path.parts or "://" in reference or "\0" in reference:
            gone[reference] = " (leads out of the folder)"
        else:
            by_folder[str(path.parent)].append((path.name, reference))
    for parent, names in by_folder.items():
        place = root / folder / parent
        present, links = _listed(place)
        outside = leads_out(place, root)
        for name, reference in names:
            if outside or (name in links and leads_out(place / name, root)):
                gone[reference] = " (a link that leads out of the root)"
            elif name not in present:
                gone[reference] = ""
    return dict(sorted(gone.items()))


def _listed(folder: Path) -> tuple[set[str], set[str]]:
    """(every name in a folder, those of them that are links)."""
    present, links = set(), set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                present.add(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    except OSError:
        pass
    return present, links
