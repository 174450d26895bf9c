"""What goal-driven selection looks at in a sample: its kind, its lengths, its fields, its stratum (papers, section b.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.execute import frames
from recipe_compiler.execute.expressions import usable_columns
from recipe_compiler.execute.task import Task
from recipe_compiler.plan import nodes

_KINDS = ("image", "video", "text")
_TEMPORAL = ("Static", "Mixed", "Temporal")
_DURATIONS = ("image", "very_short", "short", "medium", "long", "very_long", "none")
_FRAMES = (8, 24, 64, 160)
_QUESTIONS = ("q_tiny", "q_short", "q_medium", "q_long", "q_very_long")
_QUESTION_WORDS = (6, 14, 30, 60)
_ANSWERS = ("a_tiny", "a_short", "a_medium", "a_long", "a_very_long")
_ANSWER_WORDS = (2, 8, 24, 64)
_IMAGE, _VIDEO, _TEXT = range(3)
#: What the texts say (`rust_core/src/wording.rs`).
_SPEAKS_OF_TIME, _OFFERS_CHOICES, _HAS_QUESTION, _HAS_ANSWER = 1, 2, 4, 8
_NO_VIDEO = np.iinfo(np.uint32).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """A value for each row; those of rows that are not `able` mean nothing.

    `kind` is 0 for a picture, 1 for a video and 2 for text alone; `temporal` 0 for static, 1 for mixed and 2 for
    temporal. `question` and `answer` are words, the mean of a conversation's exchanges, and `distinct` the part of the
    latter that is different. `fields` are duration, temporal category, form, length of question and of answer, and
    group of sources, as numbers. `stratum` numbers their combinations in the order of `names`.
    """

    able: kernels.Bools
    kind: kernels.U8
    temporal: kernels.U8
    question: kernels.F64
    answer: kernels.F64
    distinct: kernels.F64
    fields: tuple[kernels.U32, ...]
    source: kernels.U32
    groups: list[str]
    stratum: kernels.U32
    names: list[tuple[str, ...]]
    text: kernels.U64
    video: kernels.U32

    @property
    def group(self) -> kernels.U32:
        """The number of each row's group of sources."""
        return self.fields[-1]


def traits(task: Task, operation: nodes.GoalDriven) -> Traits | None:
    """The traits of all samples that can be chosen; None where the findings say why."""
    frame, columns = task.frame, operation.columns
    for setting, name in columns.items():
        task.has_column(name, "columns", setting)
    if task.findings.errors:
        return None
    marks = frame["@marks"].to_numpy()
    needed = _HAS_QUESTION | _HAS_ANSWER
    able = task.alive & (marks & needed == needed)
    without = int(task.alive.sum() - able.sum())
    if without:
        noun = "sample has" if without == 1 else "samples have"
        headline = f"{without:,} {noun} no question or no answer and cannot be taken"
        task.findings.warn("note.unscored", headline, task.span())
    exchanges = np.maximum(frame["answers"].to_numpy(), 1).astype(np.float64)
    measured = {name: frame[f"@{name}"].to_numpy() / exchanges for name in ("question_words", "answer_words")}
    measured["answer_distinct"] = frame["@answer_distinct"].to_numpy() / exchanges
    lengths = {name: _given(task, operation, name, there) for name, there in measured.items()}
    frames_shown = number(task, columns.get("frames"), "frames")
    kind, shown = _kinds(frame, frames_shown, operation.frames)
    temporal = _temporal(task, operation, kind, marks & _SPEAKS_OF_TIME > 0)
    duration = np.where(kind == _TEXT, len(_DURATIONS) - 1, np.where(kind == _IMAGE, 0, 1 + _bucket(shown, _FRAMES)))
    form, forms = _forms(frame, columns.get("form"), marks & _OFFERS_CHOICES > 0, able)
    source, sources = frames.numbered(frame[columns.get("source", "pool")], able)
    groups = sorted({group_of(name) for name in sources})
    of_source = np.array([groups.index(group_of(name)) for name in sources], dtype=np.uint32)
    fields = (
        duration.astype(np.uint32),
        temporal.astype(np.uint32),
        form,
        _bucket(lengths["question_words"], _QUESTION_WORDS).astype(np.uint32),
        _bucket(lengths["answer_words"], _ANSWER_WORDS).astype(np.uint32),
        of_source[source] if len(sources) else source,
    )
    labels = (_KINDS, _DURATIONS, _TEMPORAL, forms, _QUESTIONS, _ANSWERS, groups)
    stratum, names = _strata((kind.astype(np.uint32), *fields), labels, able)
    return Traits(
        able=able,
        kind=kind,
        temporal=temporal,
        question=lengths["question_words"],
        answer=lengths["answer_words"],
        distinct=lengths["answer_distinct"] / np.maximum(lengths["answer_words"], 1.0),
        fields=fields,
        source=source,
        groups=groups,
        stratum=stratum,
        names=names,
        text=np.ascontiguousarray(frame["@text"].to_numpy()),
        video=_videos(frame, columns.get("video"), kind, able),
    )


def number(task: Task, name: str | None, setting: str) -> kernels.F64:
    """A column as numbers: not a number where there is no value, or no column. A column of another kind is told."""
    if name is None or name not in task.frame.columns:
        return np.full(task.frame.height, np.nan)
    if usable_columns(task.frame).get(name) not in ("number", "boolean"):
        headline = f"`{name}` is no number, and `columns.{setting}` is one"
        way_out = f"name another column with `columns: {{{setting}: ...}}`"
        task.findings.error("execute.column-type", headline, task.span("columns", setting), help=way_out)
        return np.full(task.frame.height, np.nan)
    values = task.frame[name].cast(pl.Float64)
    return np.ascontiguousarray(values.set(~values.is_finite(), None).fill_null(float("nan")).to_numpy())


def group_of(source: str) -> str:
    """The group of a source: what stands before `(`, or the first four of its parts between `_`."""
    if "(" in source:
        return source.split("(", 1)[0].strip() or "unknown"
    return "_".join(source.split("_")[:4]) or "unknown"


def _given(task: Task, operation: nodes.GoalDriven, setting: str, measured: kernels.F64) -> kernels.F64:
    """A length: the recipe's own where there is a value, as it is measured elsewhere."""
    own = number(task, operation.columns.get(setting), setting)
    return np.ascontiguousarray(np.where(np.isnan(own), measured, own))


def _kinds(frame: pl.DataFrame, shown: kernels.F64, most: int) -> tuple[kernels.U8, kernels.F64]:
    """(the kind of each row, and how many frames training sees of it)."""
    images, videos = frame["images"].to_numpy(), frame["videos"].to_numpy()
    frames_shown = np.minimum(np.where(np.isnan(shown), np.where(videos > 0, most, 1), shown), most)
    is_video = np.where(np.isnan(shown), videos > 0, shown > 1)
    kind = np.where(is_video, _VIDEO, np.where((images > 0) | (videos > 0), _IMAGE, _TEXT)).astype(np.uint8)
    return kind, frames_shown


def _temporal(task: Task, operation: nodes.GoalDriven, kind: kernels.U8, said: kernels.Bools) -> kernels.U8:
    own = number(task, operation.columns.get("temporal"), "temporal")
    temporal = np.where(np.isnan(own), said, own > 0.5)
    return np.where(kind == _VIDEO, np.where(temporal, 2, 1), 0).astype(np.uint8)


def _bucket(values: NDArray[np.generic], bounds: Sequence[int]) -> NDArray[np.intp]:
    """How many bounds a value is beyond."""
    return np.searchsorted(np.array(bounds, dtype=np.float64), values, side="left")


def _forms(
    frame: pl.DataFrame, name: str | None, choices: kernels.Bools, able: kernels.Bools
) -> tuple[kernels.U32, list[str]]:
    measured = pl.Series(choices).replace_strict({True: "MCQ", False: "Open"}, return_dtype=pl.String)
    if name is None:
        return frames.numbered(measured, able)
    own = frame[name].cast(pl.String)
    return frames.numbered(pl.select(pl.coalesce(own, measured)).to_series(), able)


def _strata(
    columns: Sequence[kernels.U32], labels: Sequence[Sequence[str]], able: kernels.Bools
) -> tuple[kernels.U32, list[tuple[str, ...]]]:
    """The number of each row's stratum in the order of their keys, and the keys."""
    cell, firsts = kernels.cells(columns, able)
    keys = [tuple(names[column[row]] for column, names in zip(columns, labels, strict=True)) for row in firsts.tolist()]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    place = np.zeros(max(len(keys), 1), dtype=np.uint32)
    place[order] = np.arange(len(keys), dtype=np.uint32)
    return place[np.minimum(cell, len(place) - 1)], [keys[at] for at in order]


def _videos(frame: pl.DataFrame, name: str | None, kind: kernels.U8, able: kernels.Bools) -> kernels.U32:
    """The number of each row's video. A sample without a value in the recipe's own column is a video of its own."""
    is_video = able & (kind == _VIDEO)
    values = frame["@shown"] if name is None else frame[name].cast(pl.String)
    found = np.full(frame.height, _NO_VIDEO, dtype=np.uint32)
    there = is_video & values.is_not_null().to_numpy()
    _, numbers = np.unique(values.filter(pl.Series(there)).to_numpy(), return_inverse=True)
    found[there] = numbers
    return found
