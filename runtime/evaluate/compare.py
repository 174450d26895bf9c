"""Runs side by side: differences with paired intervals, the summaries of mmSSR, and GDO's samples to match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from runtime.evaluate.bootstrap import F64, interval
from runtime.evaluate.predictions import RunError, read_run
from runtime.evaluate.scores import Benchmark, gather, members, resampled


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A whole run: its benchmarks, and the resampled sums of their scores. `capabilities` says which table of scores tells
    capabilities apart."""

    name: str
    manifest: str
    capabilities: Mapping[str, Any] | None
    benchmarks: Sequence[Benchmark]
    sums: Sequence[F64]


def load(path: Path, name: str, *, seed: int) -> Run:
    """A run from its file."""
    header, predictions = read_run(path)
    benchmarks = gather(header, predictions)
    return Run(
        name=name,
        manifest=header.manifest,
        capabilities=header.settings.get("capabilities"),
        benchmarks=benchmarks,
        sums=resampled(benchmarks, seed),
    )


def check_alike(runs: Mapping[Path, Run]) -> None:
    """Raises `RunError` unless all runs answer the same questions, judged by the same metrics."""
    first, *others = runs.items()
    for path, run in others:
        if run.manifest != first[1].manifest:
            raise RunError(
                path, f"answers manifest {run.manifest[:12]}, and {first[0]} answers manifest {first[1].manifest[:12]}"
            )
        if run.capabilities != first[1].capabilities or _parts(run) != _parts(first[1]):
            reason = f"has other capabilities than {first[0]}; judge both with the same `--scores` and `--capability`"
            raise RunError(path, reason)
        for mine, its in zip(run.benchmarks, first[1].benchmarks, strict=True):
            if mine.metrics != its.metrics:
                raise RunError(
                    path,
                    f"benchmark `{mine.name}` is judged by {dict(mine.metrics)}, and in {first[0]} by {dict(its.metrics)}; "
                    "score both with the same `--metric`",
                )


def _parts(run: Run) -> list[tuple[str, str | None]]:
    return [(benchmark.name, benchmark.capability) for benchmark in run.benchmarks]


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each capability, group and benchmark: each run's score and interval, and its difference to the first.

    Differences are of the same resamples of the same samples, so that their intervals are paired. A row that has no score
    is left out: nothing was there to judge by.
    """
    base = runs[0]
    found = []
    for level, name, numbers in members(base.benchmarks):
        num = sum(len(base.benchmarks[number].scores) for number in numbers)
        if not num:
            continue
        scores = {run.name: _score(run, numbers) for run in runs}
        means = {run.name: _means(run, numbers) for run in runs}
        entries = []
        for run in runs:
            low, high = interval(means[run.name])
            entry: dict[str, Any] = {"run": run.name, "score": scores[run.name], "low": low, "high": high}
            if run is not base:
                low, high = interval(means[run.name] - means[base.name])
                entry |= {
                    "difference": scores[run.name] - scores[base.name],
                    "difference_low": low,
                    "difference_high": high,
                }
            entries.append(entry)
        found.append({"level": level, "name": name, "samples": num, "runs": entries})
    return found


def _score(run: Run, numbers: Sequence[int]) -> float:
    return float(np.sum([run.benchmarks[number].scores.sum() for number in numbers]) / _num(run, numbers))


def _means(run: Run, numbers: Sequence[int]) -> F64:
    total: F64 = np.sum([run.sums[number] for number in numbers if len(run.sums[number])], axis=0)
    return total / _num(run, numbers)


def _num(run: Run, numbers: Sequence[int]) -> int:
    return sum(len(run.benchmarks[number].scores) for number in numbers)


def scored(run: Run) -> dict[str, float]:
    """The score of each benchmark that has one."""
    return {
        benchmark.name: _score(run, [number])
        for number, benchmark in enumerate(run.benchmarks)
        if len(benchmark.scores) and benchmark.capability is None
    }


def share_of_full(scores: Mapping[str, float], full: Mapping[str, float]) -> tuple[float | None, list[str]]:
    """mmSSR's `/FULL`: the mean over benchmarks of score / score of the model that was trained on everything, as a share.

    And the benchmarks that are left out because that one scores 0 there; None where no benchmark is left.
    """
    left_out = sorted(name for name, score in full.items() if score == 0)
    ratios = [scores[name] / score for name, score in sorted(full.items()) if score != 0]
    return (float(np.mean(ratios)) if ratios else None), left_out


def above_random(scores: Mapping[str, float], random: Mapping[str, float]) -> int:
    """mmSSR's `>Random`: on how many benchmarks the score is strictly above that of a random selection."""
    return sum(scores[name] > score for name, score in random.items())


def share_of_full_interval(run: Run, full: Run) -> tuple[float, float] | None:
    """The paired interval of `/FULL`. Resamples in which the full run scores 0 somewhere have no ratio there and stay out
    of that benchmark's mean."""
    kept = [
        number
        for number, benchmark in enumerate(full.benchmarks)
        if benchmark.scores.sum() > 0 and benchmark.capability is None
    ]
    if not kept:
        return None
    above, below = (np.stack([side.sums[number] for number in kept]) for side in (run, full))
    known = below > 0
    num_known = known.sum(axis=0)
    ratios = np.divide(above, below, out=np.zeros_like(above), where=known).sum(axis=0)
    return interval(ratios[num_known > 0] / num_known[num_known > 0])


def samples_to_match(curve: Sequence[tuple[int, float]], target: float) -> Fraction | None:
    """GDO's peak match (arXiv 2603.12478): the fewest samples with which a series of runs reaches a reference's score.

    `curve` has (samples, score), and its first point at or above the target decides: it is that point if it is the first
    of all, else where the line from the point before crosses the target (the paper does not say how it interpolates; its
    numbers are no multiples of its checkpoints). None where the series does not get there.
    """
    before: tuple[int, float] | None = None
    for num, score in sorted(curve):
        if score >= target:
            if before is None or score == before[1]:
                return Fraction(num)
            share = (Fraction(target) - Fraction(before[1])) / (Fraction(score) - Fraction(before[1]))
            return before[0] + (num - before[0]) * share
        before = num, score
    return None
