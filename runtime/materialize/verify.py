"""A copy looked at as a whole: every file, every locator, every one of its media."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recipe_compiler.errors import DataError
from runtime.copies import DATA, LAYOUTS, Copy, WrittenFile, read_locators
from runtime.materialize.shards import difference
from runtime.reader import Reader

_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCopy:
    """How many files were looked at, and how those that are wrong differ from what was written."""

    files: int
    num_bytes: int
    changed: tuple[tuple[str, str], ...]


def verify(folder: Path, copy: Copy, progress: Callable[[str, int, int], None]) -> VerifiedCopy:
    """Compares each file with its digest, sees that its locators lie inside it, and reads media in files of their own."""
    changed, done = [], 0
    files = (*copy.files, *copy.others)
    total = sum(file.size for file in files)
    for file in files:
        progress("verify files", done, total)
        reason = difference(folder, file) or (_outside(folder, copy, file) if file.draws else None)
        if reason is not None:
            changed.append((f"{DATA}/{file.name}", reason))
        done += file.size
    if copy.kind == "jsonl" and not changed:
        changed += _media(folder, copy, progress)
    return VerifiedCopy(files=len(files), num_bytes=total, changed=tuple(changed))


def _outside(folder: Path, copy: Copy, file: WrittenFile) -> str | None:
    if LAYOUTS[copy.kind] is None:
        try:
            found = pq.read_metadata(folder / DATA / file.name).num_rows
        except (OSError, pa.ArrowException) as error:
            return f"cannot be read ({str(error).splitlines()[0]})"
        return None if found == file.draws else f"{found:,} rows where {file.draws:,} were written"
    rows = read_locators(folder, file)
    ends = rows[:, 0] + rows[:, 1]
    inside = file.draws == 0 or (int(ends[-1]) <= file.size and bool(np.all(rows[1:, 0] == ends[:-1])))
    return None if inside else "its locators do not follow one another"


def _media(folder: Path, copy: Copy, progress: Callable[[str, int, int], None]) -> list[tuple[str, str]]:
    """The media that are not what their names say, each told once."""
    reader = Reader(folder)
    wrong: dict[str, str] = {}

    def look(position: int) -> None:
        for media in reader.sample(position).media:
            try:
                media.read()
            except DataError as error:
                assert media.path is not None
                wrong[media.path.relative_to(folder).as_posix()] = error.reason

    with ThreadPoolExecutor(_THREADS) as threads:
        for position, _ in enumerate(threads.map(look, range(len(reader)))):
            progress("verify media", position + 1, len(reader))
    return sorted(wrong.items())
