"""What a goal-driven selection says of itself: floors that are not met, requests, strata, and each watched sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from recipe_compiler import kernels
from recipe_compiler.execute.goals.budget import Counts
from recipe_compiler.execute.goals.scores import Scores
from recipe_compiler.execute.goals.traits import Traits
from recipe_compiler.execute.task import Task
from recipe_compiler.manifest.schema import Request, Share

#: How many strata a manifest names; those beyond the largest are told together.
NAMED_STRATA = 500
STAGES = ("temporal videos", "videos", "groups of sources", "quotas of strata", "scores", "chance")
_NO_VIDEO = np.iinfo(np.uint32).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a goal asked for, and the stage that took each row (0 none)."""

    traits: Traits
    marks: kernels.U8
    counts: Counts
    stages: kernels.U8

    @property
    def rows(self) -> kernels.Bools:
        """Which rows are taken."""
        return self.stages > 0


def requests(taken: Taken) -> list[Request]:
    """Floors and bounds beside what came of them, and what each stage took."""
    counts = taken.counts
    videos = _least(taken)[1]
    asked = [_request(f"{what}, at least", *numbers) for what, *numbers in _least(taken)]
    asked.append(_request("videos, at most", counts.most_video, *videos[2:]))
    floors = sum(least for _, least in counts.floors)
    for number, most in enumerate((counts.temporal, counts.video, floors, *(counts.total,) * 3)):
        took = int((taken.stages == number + 1).sum())
        asked.append(_request(f"by {STAGES[number]}", most, int(taken.traits.able.sum()), took))
    return asked


def _request(what: str, wanted: int, available: int, realised: int) -> Request:
    return Request(what=what, requested=f"{wanted:,}", available=available, realised=realised, unit="samples")


def _least(taken: Taken) -> list[tuple[str, int, int, int]]:
    """(of what, at least how many, of how many, how many are taken): temporal videos, videos, groups of sources."""
    traits, counts, rows = taken.traits, taken.counts, taken.rows
    found = []
    for what, least, mark in (("temporal videos", counts.temporal, 2), ("videos", counts.video, 1)):
        of_kind = taken.marks & mark > 0
        found.append((what, least, int(of_kind.sum()), int((of_kind & rows).sum())))
    sizes = kernels.totals(traits.group, len(traits.groups), alive=traits.able)
    got = kernels.totals(traits.group, len(traits.groups), alive=rows)
    return found + [(traits.groups[group], least, int(sizes[group]), int(got[group])) for group, least in counts.floors]


def unmet(taken: Taken) -> list[str]:
    """What is asked for and cannot be had, with what there is."""
    total, realised = taken.counts.total, int(taken.rows.sum())
    asked = [*_least(taken), ("samples", total, int(taken.traits.able.sum()), realised)]
    return [
        f"{what}, at least {least:,}: {got:,} are taken of {available:,}"
        for what, least, available, got in asked
        if got < least
    ]


def shares(taken: Taken) -> tuple[Share, ...]:
    """Each stratum beside its exact share of the selection; the smallest ones together where there are very many."""
    traits, total = taken.traits, taken.counts.total
    sizes = kernels.totals(traits.stratum, len(traits.names), alive=traits.able).tolist()
    got = kernels.totals(traits.stratum, len(traits.names), alive=taken.rows).tolist()
    pool = sum(sizes)
    by_size = sorted(range(len(sizes)), key=lambda stratum: (-sizes[stratum], stratum))
    named, rest = by_size[:NAMED_STRATA], by_size[NAMED_STRATA:]

    def share(name: str, strata: Sequence[int]) -> Share:
        size = sum(sizes[stratum] for stratum in strata)
        requested = str(Fraction(total * size, pool))
        return Share(name=name, requested=requested, available=size, realised=sum(got[stratum] for stratum in strata))

    told = [share(" | ".join(traits.names[stratum]), [stratum]) for stratum in sorted(named)]
    return (*told, *([share(f"{len(rest):,} smaller strata", rest)] if rest else []))


def explain(
    task: Task, preference: tuple[int, kernels.F64 | None], scores: Scores, taken: Taken, per_video: int
) -> None:
    """Lets the watch tell of any sample its stratum, score, rank there, and the stage that took it.

    Ranks are in the order of preference: with scores inside the stratum, and without among all samples.
    """
    if task.watch is None:
        return
    traits, rows, (key, by) = taken.traits, taken.rows, preference

    def reasons(row: int) -> dict[str, Any]:
        stratum = int(traits.stratum[row])
        values = {
            "stratum": " | ".join(traits.names[stratum]),
            "score": float(scores.rho[row]),
            "vds3": float(scores.vds3[row]),
        }
        if by is not None:
            values |= {"quota": taken.counts.quotas[stratum], "candidates": taken.counts.caps[stratum]}
        among = traits.able if by is None else traits.able & (traits.stratum == stratum)
        chosen = among & rows
        rank, threshold = kernels.rank_of(key, task.keys, by, marks=among, row=row) + 1, 0
        if chosen.any():
            last = kernels.last_of(key, task.keys, by, marks=chosen)
            threshold = kernels.rank_of(key, task.keys, by, marks=among, row=last) + 1
        stage, num = int(taken.stages[row]), int(among.sum())
        candidates = taken.counts.caps[stratum] if by is not None else num
        refusal = "" if stage else _refusal(taken, row, rank > candidates, per_video)
        note = f"by {STAGES[stage - 1]}" if stage else refusal
        return {"values": values, "rank": rank, "threshold": threshold, "of": num, "note": note}

    task.watch.judged(task.node, traits.able, rows, reasons)


def _refusal(taken: Taken, row: int, beyond: bool, per_video: int) -> str:
    """What a sample that was left lost to; `beyond` is whether it stands behind the candidates of its stratum."""
    traits, rows, counts = taken.traits, taken.rows, taken.counts
    if (traits.text[rows] == traits.text[row]).any():
        return "another sample of the same texts is taken"
    video = traits.video[row]
    if video != _NO_VIDEO and int((traits.video[rows] == video).sum()) >= per_video:
        return f"its video has its {per_video} samples"
    if taken.marks[row] & 1 and int((taken.marks[rows] & 1).sum()) >= counts.most_video:
        return f"videos have their {counts.most_video:,} samples"
    if beyond:
        return f"its stratum has {counts.caps[int(traits.stratum[row])]:,} candidates"
    return "the budget is used up"
