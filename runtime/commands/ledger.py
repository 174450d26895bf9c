"""What a run saw: a step, a checkpoint, a sample; asked of its ledger and its manifest, without reading a pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler.manifest import rows, store
from recipe_compiler.manifest.schema import Manifest
from runtime.errors import LedgerError
from runtime.ledger import History, Step, read


@dataclass(frozen=True, slots=True)
class _Draws:
    """Rows of a manifest, side by side: positions and what they are of."""

    manifest: Manifest
    step: NDArray[np.int64]
    position: NDArray[np.int64]
    sample: NDArray[Any]
    pool: NDArray[np.int64]
    stage: NDArray[np.int64]
    repeat: NDArray[np.int64]

    def document(self, at: int) -> dict[str, Any]:
        pool = self.manifest.pools[int(self.pool[at])]
        return {
            "step": int(self.step[at]),
            "position": int(self.position[at]),
            "sample_id": bytes(self.sample[at]).hex(),
            "pool": pool.name,
            "group": pool.group,
            "stage": self.manifest.stages[int(self.stage[at])].name,
            "repeat": int(self.repeat[at]),
        }


def overview(run: Path) -> tuple[str, dict[str, Any]]:
    """How far a run came: its steps, draws, checkpoints, lives, tombstones."""
    history = read(run)
    stop = history.steps[-1].stop if history.steps else 0
    draws = sum(step.stop - step.start for step in history.steps)
    tombstones = sum(len(step.tombstones) for step in history.steps)
    lines = [f"{len(history.steps):,} steps took {draws:,} draws, up to position {stop:,}"]
    for begin in history.begins:
        ranks = f"{begin.world} rank{'s' * (begin.world != 1)}"
        went = f"went on at step {begin.step:,}" if begin.step else "began"
        lines.append(f"{went}: {ranks}, {begin.global_batch:,} a step, manifest {begin.manifest[:12]}")
    if history.undone:
        lines.append(f"{history.undone:,} steps were taken and undone, because the run went on from before them")
    if tombstones:
        lines.append(f"{tombstones:,} draw{'s' * (tombstones != 1)} could not be read and taught nothing")
    lines.append(f"checkpoints: {', '.join(f'{step:,}' for step in history.checkpoints) or 'none'}")
    document = {
        "steps": len(history.steps),
        "draws": draws,
        "stop": stop,
        "checkpoints": list(history.checkpoints),
        "undone": history.undone,
        "tombstones": tombstones,
        "begins": [{name: getattr(begin, name) for name in begin.__slots__} for begin in history.begins],
    }
    return _told(history, lines), {**document, "torn": history.torn}


def step(run: Path, number: int, manifest: Path | None) -> tuple[str, dict[str, Any]]:
    """What was in a step: every draw with its pool, group and id."""
    history = read(run)
    found = history.step(number)
    draws = [item.document(at) for item in _draws(run, [found], manifest) for at in range(len(item.position))]
    why = {tombstone.position: tombstone.reason for tombstone in found.tombstones}
    for draw in draws:
        draw["tombstone"] = why.get(draw["position"])
    ranks = found.begin.world
    head = f"step {number:,}: positions {found.start:,} to {found.stop:,}, {ranks} rank{'s' * (ranks != 1)}"
    lines = [head] + [_line(draw) + (f"  tombstone: {draw['tombstone']}" * bool(draw["tombstone"])) for draw in draws]
    document = {"step": number, "start": found.start, "stop": found.stop, "world": ranks, "draws": draws}
    return _told(history, lines), document


def checkpoint(run: Path, number: int, manifest: Path | None, *, listed: bool) -> tuple[str, dict[str, Any]]:
    """What a checkpoint has seen: counts by stage, group, category and pool; with `listed`, every draw."""
    history = read(run)
    steps = history.seen_by(number)
    parts = _draws(run, steps, manifest)
    seen = {name: _counts(parts, name) for name in ("stage", "group", "category", "pool")}
    total = sum(len(part.position) for part in parts)
    samples = len(np.unique(np.concatenate([part.sample for part in parts]))) if parts else 0
    lost = sum(len(step.tombstones) for step in steps)
    lines = [f"checkpoint {number:,} has seen {total:,} draws of {samples:,} samples in {len(steps):,} steps"]
    if lost:
        lines.append(f"{lost:,} of them could not be read and taught nothing")
    width = max((len(key) for counts in seen.values() for key in counts), default=0)
    for name, counts in seen.items():
        lines.append(f"by {name}")
        lines += [f"  {key:<{width}}  {count:>12,}  {count / total:6.1%}" for key, count in counts.items()]
    document: dict[str, Any] = {"checkpoint": number, "draws": total, "samples": samples, "tombstones": lost, **seen}
    if listed:
        document["list"] = [part.document(at) for part in parts for at in range(len(part.position))]
        lines += [_line(draw) for draw in document["list"]]
    return _told(history, lines), document


def sample(run: Path, wanted: str, manifest: Path | None) -> tuple[str, dict[str, Any]]:
    """In which steps the run saw a sample, by its id or how that begins."""
    history = read(run)
    try:
        prefix = np.frombuffer(bytes.fromhex(wanted[: len(wanted) // 2 * 2]), dtype=np.uint8)
        last = int(wanted[-1], 16) if len(wanted) % 2 else None
    except ValueError:
        raise LedgerError(
            str(history.path), f"`{wanted}` is no sample id: those are 32 digits and letters a to f"
        ) from None
    draws = []
    for part in _draws(run, history.steps, manifest):
        digits = part.sample.view(np.uint8).reshape(-1, 16)
        hit = (digits[:, : len(prefix)] == prefix).all(axis=1)
        if last is not None:
            hit &= digits[:, len(prefix)] >> 4 == last
        draws += [part.document(int(at)) for at in np.flatnonzero(hit)]
    if not draws:
        raise LedgerError(str(history.path), f"the run has not seen a sample whose id begins with `{wanted}`")
    return _told(history, [_line(draw) for draw in draws]), {"sample": wanted, "draws": draws}


def _told(history: History, lines: list[str]) -> str:
    torn = [f"the last line of {history.path} was cut short by a kill, and is left out"] if history.torn else []
    return "\n".join([*lines, *torn])


def _line(draw: dict[str, Any]) -> str:
    group = f", group {draw['group']}" if draw["group"] else ""
    repeat = f", draw {draw['repeat'] + 1} of it" if draw["repeat"] else ""
    where = f"step {draw['step']:>7,}  position {draw['position']:>9,}  {draw['sample_id']}"
    return f"  {where}  pool {draw['pool']}{group}, stage {draw['stage']}{repeat}"


def _counts(parts: Iterable[_Draws], name: str) -> dict[str, int]:
    """How many draws of each stage, group, category or pool, in the order in which the manifest names them."""
    counts: dict[str, int] = {}
    for part in parts:
        if name == "stage":
            names, column = [stage.name for stage in part.manifest.stages], part.stage
        else:
            column = part.pool
            attribute = "name" if name == "pool" else name
            names = [getattr(pool, attribute) or f"(no {name})" for pool in part.manifest.pools]
        for key, count in zip(names, np.bincount(column, minlength=len(names)).tolist(), strict=True):
            if count:
                counts[key] = counts.get(key, 0) + count
    return counts


def _draws(run: Path, steps: Sequence[Step], given: Path | None) -> list[_Draws]:
    """The rows that steps read, for each manifest that the run was begun with."""
    parts = []
    for name in dict.fromkeys(step.begin.manifest for step in steps):
        own = [step for step in steps if step.begin.manifest == name]
        folder = given or run / own[0].begin.folder
        manifest = store.read(folder)
        if manifest.ids.manifest != name:
            found = manifest.ids.manifest[:12]
            reason = f"is manifest {found}, and the run read {name[:12]}; name that one's folder with `--manifest`"
            raise LedgerError(str(folder), reason)
        starts = np.array([step.start for step in own], dtype=np.int64)
        stops = np.array([step.stop for step in own], dtype=np.int64)
        positions = np.concatenate([np.arange(start, stop) for start, stop in zip(starts, stops, strict=True)])
        numbers = np.repeat(np.array([step.step for step in own], dtype=np.int64), stops - starts)
        columns: dict[str, list[NDArray[Any]]] = {column: [] for column in ("sample_id", "pool", "stage", "repeat")}
        for shard in manifest.shards:
            inside = positions[(positions >= shard.start) & (positions < shard.start + shard.rows)] - shard.start
            if len(inside):
                table = store.read_shard(folder, shard)
                for column, cells in columns.items():
                    cells.append(rows.cells(table, column)[inside])
        whole = {column: np.concatenate(cells) for column, cells in columns.items()}
        sizes = whole["pool"].astype(np.int64), whole["stage"].astype(np.int64), whole["repeat"].astype(np.int64)
        parts.append(_Draws(manifest, numbers, positions, whole["sample_id"], *sizes))
    return parts
