"""What a run saw: for each training step the positions it read, and what befell them. Needs no torch.

`ledger.jsonl` is only ever appended to, a line for each thing that happened:

    {"kind": "begin", "ledger": 1, "manifest": ID, "folder": PATH, "world": 2, "global_batch": 64, "step": 0, "start": 0}
    {"kind": "step", "step": 0, "start": 0, "stop": 64, "tombstones": [[17, "WHY"]]}
    {"kind": "checkpoint", "step": 400}

Steps count from 0, so that the checkpoint of step 400 has seen the steps 0 to 399. A run that is resumed begins again at
its checkpoint's step: the steps from there on that stand before are undone, and stay in the file as that.
`folder` leads from the run's folder to the manifest's. A line that a kill cut short is told and left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runtime.errors import LedgerError

FILE = "ledger.jsonl"
LEDGER_VERSION = 1


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A draw that could not be read: it took its place in the step and taught nothing."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """The run began, or went on, at a step: with a manifest, and as so many ranks."""

    manifest: str
    folder: str
    world: int
    global_batch: int
    step: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the weights as they are: positions `start` to `stop` of `begin.manifest`."""

    step: int
    start: int
    stop: int
    begin: Begin
    tombstones: tuple[Tombstone, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A ledger, read. `steps` are those that count, one after another; `undone` counts those that do not any more.

    `torn` says that the last line was cut short by a kill; it is no part of the rest.
    """

    path: Path
    begins: tuple[Begin, ...]
    steps: tuple[Step, ...]
    checkpoints: tuple[int, ...]
    undone: int
    torn: bool

    def step(self, number: int) -> Step:
        """A step by its number, from 0. Raises `LedgerError` where the run has none of it."""
        if not 0 <= number < len(self.steps):
            have = f"it has steps 0 to {len(self.steps) - 1:,}" if self.steps else "it has no step yet"
            raise LedgerError(str(self.path), f"there is no step {number:,}; {have}")
        return self.steps[number]

    def seen_by(self, checkpoint: int) -> tuple[Step, ...]:
        """The steps that a checkpoint has seen. Raises `LedgerError` where the run kept no such checkpoint."""
        if checkpoint not in self.checkpoints:
            known = ", ".join(f"{number:,}" for number in self.checkpoints) or "none"
            raise LedgerError(str(self.path), f"there is no checkpoint {checkpoint:,}; it has {known}")
        return self.steps[:checkpoint]


class Ledger:
    """The ledger of a run that trains. One process writes it.

    What a call wrote survives the process at once, and the machine from the next `checkpoint` on.
    """

    def __init__(self, folder: Path, begin: Begin) -> None:
        """Begins, or goes on at a checkpoint. Whatever the ledger of the folder says from that step on is undone."""
        path = folder / FILE
        if not path.exists() and begin.step:
            raise LedgerError(str(path), f"there is none that says what came before step {begin.step:,}")
        if path.exists():
            _cut_torn_line(path)
            reached = len(read(folder).steps)
            if begin.step > reached:
                reason = f"it knows {reached:,} steps, and the run goes on after {begin.step:,}"
                raise LedgerError(str(path), reason)
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._write(
            {
                "kind": "begin",
                "ledger": LEDGER_VERSION,
                **{name: getattr(begin, name) for name in ("manifest", "folder", "world", "global_batch")},
                "step": begin.step,
                "start": begin.start,
            }
        )

    def step(self, step: int, start: int, stop: int, tombstones: Iterable[Tombstone] = ()) -> None:
        """Notes that a step was taken: the weights have seen its draws."""
        record: dict[str, Any] = {"kind": "step", "step": step, "start": start, "stop": stop}
        if listed := [[found.position, found.reason] for found in tombstones]:
            record["tombstones"] = listed
        self._write(record)

    def checkpoint(self, step: int) -> None:
        """Notes that the weights after `step` steps were kept."""
        self._write({"kind": "checkpoint", "step": step})
        self.sync()

    def sync(self) -> None:
        """Brings what was noted to the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Ends the ledger."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        written = os.write(self._handle, line)
        if written != len(line):
            raise LedgerError(str(FILE), "the disk is full")


def _cut_torn_line(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def read(folder: Path) -> History:
    """The ledger of a run's folder. Raises `LedgerError` where there is none or not one of ours."""
    path = folder / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LedgerError(str(path), f"{error.strerror}; a run's folder is one that was trained into") from None
    *lines, rest = data.split(b"\n")
    begins: list[Begin] = []
    steps: list[Step] = []
    checkpoints: set[int] = set()
    undone = 0
    for number, line in enumerate(lines, 1):
        try:
            match record := json.loads(line):
                case {"kind": "begin", "ledger": 1}:
                    begin = Begin(**{name: record[name] for name in Begin.__slots__})
                    _expect(0 <= begin.step <= len(steps))
                    undone += len(steps) - begin.step
                    del steps[begin.step :]
                    checkpoints = {found for found in checkpoints if found <= begin.step}
                    # It goes on from there, so the weights of that step were kept, whether or not there was time to say so.
                    checkpoints |= {begin.step} if begin.step else set()
                    begins.append(begin)
                case {"kind": "begin"}:
                    raise LedgerError(str(path), f"line {number:,} is of a version that is not read")
                case {"kind": "step"}:
                    _expect(record["step"] == len(steps))
                    found = tuple(Tombstone(position, why) for position, why in record.get("tombstones", ()))
                    at = {name: int(record[name]) for name in ("step", "start", "stop")}
                    steps.append(Step(**at, begin=begins[-1], tombstones=found))
                case {"kind": "checkpoint"}:
                    _expect(0 <= record["step"] <= len(steps))
                    checkpoints.add(int(record["step"]))
                case _:
                    _expect(False)
        except (ValueError, KeyError, TypeError, IndexError):
            raise LedgerError(str(path), f"line {number:,} is not one that a run writes") from None
    return History(
        path=path,
        begins=tuple(begins),
        steps=tuple(steps),
        checkpoints=tuple(sorted(checkpoints)),
        undone=undone,
        torn=bool(rest),
    )


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError
