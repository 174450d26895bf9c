"""A run on disk: JSON Lines, first what was run, then one line for each draw, in order.

A line is whole or it is not there: a run that was killed goes on after its last whole line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from recipe_compiler.manifest.files import hold
from runtime.errors import StreamError
from runtime.evaluate.questions import Question

VERSION: Final = 1
_MAX_LINE = 16 << 20


class RunError(StreamError):
    """A file of predictions cannot be read, or is of something else."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line of a run. `pools` are the benchmarks: name -> group and category. `model` is a digest, empty for
    predictions made elsewhere; `settings` are what else decides the answers."""

    evaluation: int
    manifest: str
    draws: int
    pools: Mapping[str, Mapping[str, str | None]]
    model: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A line of a run. `score` and `metric` are None where there is nothing to judge by, and `capabilities` are None, and
    not in the file, where no table of scores was given."""

    position: int
    sample_id: str
    pool: str
    prompt: str
    answers: list[str]
    prediction: str
    metric: str | None
    read: str | None
    score: float | None
    columns: Mapping[str, str | None]
    capabilities: list[str] | None = None

    @staticmethod
    def of(question: Question, answer: str) -> Prediction:
        """An answer, judged."""
        verdict = question.judge(answer)
        sample = question.sample
        return Prediction(
            position=sample.position,
            sample_id=sample.sample_id,
            pool=sample.pool,
            prompt=question.prompt,
            answers=list(question.reference.answers),
            prediction=answer,
            metric=question.metric,
            read=None if verdict is None else verdict.read,
            score=None if verdict is None else verdict.score,
            columns=question.columns,
            capabilities=None if question.capabilities is None else list(question.capabilities),
        )


class RunFile:
    """A run that is being written, by one process. Opening one that exists goes on after its last whole line, if it is the
    same run."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.done = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = path.open("a+b")
        try:
            hold(self._handle, RunError(path, "another eval is writing here; nothing was changed by this one"))
            end = self._go_on(header)
            self._handle.truncate(end)
            self._handle.seek(end)
            if end == 0:
                self._write([_values(header)])
        except BaseException:
            self._handle.close()
            raise

    def _go_on(self, header: Header) -> int:
        """Where the last whole line ends."""
        self._handle.seek(0)
        end = 0
        for number, line in enumerate(self._handle):
            if not line.endswith(b"\n"):
                break
            if number == 0 and _header(self.path, line) != header:
                raise RunError(self.path, "is a run of something else; name another file with `--out`, or remove it")
            if number and _prediction(self.path, number, line).position != number - 1:
                raise RunError(self.path, f"line {number + 1:,} is not the prediction of position {number - 1:,}")
            end += len(line)
            self.done = number
        return end

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Adds predictions, which are on the disk when this returns."""
        lines = [_values(prediction) for prediction in predictions]
        self._write(lines)
        self.done += len(lines)

    def _write(self, documents: Iterable[Mapping[str, Any]]) -> None:
        self._handle.write(b"".join(_line(document) for document in documents))
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._handle.close()


def read_run(path: Path) -> tuple[Header, Iterator[Prediction]]:
    """A whole run. Raises `RunError` where it is none, or ends before its last draw."""
    lines = _lines(path)
    first = next(lines, b"")
    header = _header(path, first)

    def predictions() -> Iterator[Prediction]:
        number = 0
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                raise _cut_short(path, number - 1, header)
            prediction = _prediction(path, number, line)
            if prediction.position != number - 1 or prediction.pool not in header.pools:
                raise RunError(path, f"line {number + 1:,} is not the prediction of position {number - 1:,}")
            yield prediction
        if number != header.draws:
            raise _cut_short(path, number, header)

    return header, predictions()


def _cut_short(path: Path, number: int, header: Header) -> RunError:
    return RunError(path, f"has {number:,} of {header.draws:,} predictions; go on with the `recipe eval` that wrote it")


def read_foreign(path: Path, num_draws: int, positions: Mapping[str, list[int]]) -> list[str]:
    """Predictions made elsewhere, by position: lines with `prediction` and `position` or `sample_id`, or those of a run.

    `positions` are those of each sample id; a prediction by id is that of all draws of the sample. Raises `RunError` where
    one is there twice, is missing, or is of another manifest.
    """
    found: list[str | None] = [None] * num_draws
    for number, line in enumerate(_lines(path), 1):
        document = _document(path, number, line)
        if number == 1 and "evaluation" in document:
            continue  # A run: its answers are judged again.
        answer, position, sample_id = (document.get(name) for name in ("prediction", "position", "sample_id"))
        if not isinstance(answer, str):
            raise RunError(path, f"line {number:,} has no text `prediction`")
        if type(position) is int:
            if not 0 <= position < num_draws:
                raise RunError(
                    path, f"line {number:,} is of position {position:,}, and the manifest has {num_draws:,} draws"
                )
            if sample_id is not None and position not in positions.get(str(sample_id), ()):
                raise RunError(
                    path,
                    f"line {number:,}: position {position:,} is not sample {sample_id} here; it is of another manifest",
                )
            places = [position]
        elif isinstance(sample_id, str):
            places = positions.get(sample_id, [])
            if not places:
                raise RunError(
                    path, f"line {number:,}: the manifest has no sample {sample_id}; it is of another manifest"
                )
        else:
            raise RunError(path, f"line {number:,} has neither a `position` nor a `sample_id`")
        for place in places:
            if found[place] is not None:
                raise RunError(path, f"line {number:,} is a second prediction of position {place:,}")
            found[place] = answer
    missing = [position for position, answer in enumerate(found) if answer is None]
    if missing:
        raise RunError(
            path,
            f"has no prediction for {len(missing):,} of {num_draws:,} draws, the first is position {missing[0]:,}; "
            "give an empty text where the model said nothing",
        )
    return [answer for answer in found if answer is not None]


def _values(value: Header | Prediction) -> dict[str, Any]:
    whole = {field.name: getattr(value, field.name) for field in fields(value)}
    if whole.get("capabilities", ()) is None:
        del whole["capabilities"]
    return whole


def _line(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8", errors="replace")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as handle:
            number = 0
            while line := handle.readline(_MAX_LINE + 1):
                number += 1
                if len(line) > _MAX_LINE:
                    raise RunError(path, f"line {number:,} is longer than {_MAX_LINE >> 20} MiB")
                yield line
    except OSError as error:
        raise RunError(path, error.strerror or "cannot be read") from None


def _document(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RunError(path, f"line {number:,} is no JSON object")
    return document


def _header(path: Path, line: bytes) -> Header:
    document = _document(path, 1, line)
    kinds: dict[str, type] = {
        "evaluation": int,
        "manifest": str,
        "draws": int,
        "pools": dict,
        "model": str,
        "settings": dict,
    }
    if (
        not _has(document, kinds)
        or document["evaluation"] != VERSION
        or not all(
            isinstance(pool, dict) and pool.keys() == {"group", "category"} for pool in document["pools"].values()
        )
    ):
        raise RunError(path, "does not begin with the line that `recipe eval` writes first")
    return Header(**document)


def _prediction(path: Path, number: int, line: bytes) -> Prediction:
    document = _document(path, number + 1, line)
    text = str, type(None)
    kinds: dict[str, type | tuple[type, ...]] = {
        "position": int,
        "sample_id": str,
        "pool": str,
        "prompt": str,
        "answers": list,
        "prediction": str,
        "metric": text,
        "read": text,
        "score": (int, float, type(None)),
        "columns": dict,
    }
    if "capabilities" in document:
        kinds["capabilities"] = list
    if not _has(document, kinds) or not all(
        isinstance(item, str) for item in [*document["answers"], *document.get("capabilities", ())]
    ):
        raise RunError(path, f"line {number + 1:,} is no prediction that `recipe eval` writes")
    score = document["score"]
    if score is not None and not (0 <= score <= 1 and document["answers"] and document["metric"]):
        raise RunError(path, f"line {number + 1:,} has a score that is not between 0 and 1, or nothing it is judged by")
    return Prediction(**document)


def _has(document: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]) -> bool:
    return document.keys() == kinds.keys() and all(isinstance(document[name], kind) for name, kind in kinds.items())
