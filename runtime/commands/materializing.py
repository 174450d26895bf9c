"""A manifest's samples copied into files of their own, and such a copy verified."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recipe_compiler.manifest import store
from runtime import copies
from runtime.materialize.encoding import Task
from runtime.materialize.verify import VerifiedCopy, verify
from runtime.materialize.write import materialize

Progress = Callable[[str, int, int], None]


def write(
    folder: Path,
    out: Path,
    kind: str,
    *,
    shard_bytes: int,
    workers: int | None,
    root: Path | None,
    cache: Path | None,
    progress: Progress,
) -> tuple[str, dict[str, Any]]:
    """Writes a copy, or completes one, and says what is there now."""
    task = Task(folder=folder, root=root, cache=cache, kind=kind, out=out)
    num_processes = len(os.sched_getaffinity(0)) if workers is None else workers
    written = materialize(task, shard_bytes=shard_bytes, num_processes=num_processes, progress=progress)
    copy = written.copy
    draws, num_files = sum(file.draws for file in copy.files), len(copy.files)
    kept = f", {written.kept:,} of them from an earlier run" if written.kept else ""
    text = (
        f"{draws:,} draws in {num_files:,} file{'' if num_files == 1 else 's'} ({copy.num_bytes / 1e6:,.1f} MB){kept}"
    )
    document = {
        "manifest": copy.manifest,
        "kind": copy.kind,
        "draws": draws,
        "files": [
            {"file": f"{copies.DATA}/{file.name}", "draws": file.draws, "bytes": file.size} for file in copy.files
        ],
        "kept": written.kept,
    }
    return text, document


def verify_copy(folder: Path, progress: Progress) -> VerifiedCopy | None:
    """What is wrong with the files of a copy; None where a folder is a manifest and no copy."""
    copy = copies.read(folder, store.read(folder))
    return None if copy is None else verify(folder, copy, progress)
