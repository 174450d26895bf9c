"""Predictions -> scores of benchmarks, groups, capabilities and all together, with intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtime.evaluate.bootstrap import F64, interval, resampled_means
from runtime.evaluate.chance import key_of
from runtime.evaluate.predictions import Header, Prediction
from runtime.evaluate.yesno import HALLUSION, hallusion, pope, said

LEVELS = ("capability", "group", "benchmark", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A pool's answers. `scores` (those that could be judged) are in the order of the manifest; `figures` by metric.

    With a `capability` it is a part of a benchmark: the samples that ask for it, by a table of scores.
    """

    name: str
    capability: str | None
    group: str | None
    category: str | None
    metrics: Mapping[str, int]
    scores: F64
    malformed: int
    empty: int
    unscored: int
    figures: Mapping[str, float]


@dataclass(slots=True)
class _Gathered:
    metrics: Counter[str] = field(default_factory=Counter)
    scores: list[float] = field(default_factory=list)
    malformed: int = 0
    empty: int = 0
    unscored: int = 0
    yesno: list[tuple[str | None, str]] = field(default_factory=list)
    sets: list[tuple[Mapping[str, str | None], bool]] = field(default_factory=list)

    def add(self, prediction: Prediction) -> None:
        self.empty += not prediction.prediction.strip()
        if prediction.score is None or prediction.metric is None:
            self.unscored += 1
            return
        self.metrics[prediction.metric] += 1
        self.scores.append(prediction.score)
        self.malformed += prediction.read is None
        if prediction.metric == "yesno":
            self.yesno.append((prediction.read, next(filter(None, map(said, prediction.answers)), "")))
            if all(name in prediction.columns for name in HALLUSION):
                self.sets.append((prediction.columns, prediction.score == 1.0))


def gather(header: Header, predictions: Iterable[Prediction]) -> list[Benchmark]:
    """The benchmarks of a run by name, and after each its parts by capability."""
    found: dict[tuple[str, str], _Gathered] = defaultdict(_Gathered)
    for prediction in predictions:
        for capability in ("", *(prediction.capabilities or ())):
            found[prediction.pool, capability].add(prediction)
    return [
        Benchmark(
            name=name,
            capability=capability or None,
            group=header.pools[name]["group"],
            category=header.pools[name]["category"],
            metrics=dict(sorted(pool.metrics.items())),
            scores=np.asarray(pool.scores, dtype=np.float64),
            malformed=pool.malformed,
            empty=pool.empty,
            unscored=pool.unscored,
            figures=(pope(pool.yesno) if pool.yesno else {})
            | ({f"hallusion_{name}": value for name, value in hallusion(pool.sets).items()} if pool.sets else {}),
        )
        for (name, capability), pool in sorted(found.items())
    ]


def members(benchmarks: Sequence[Benchmark]) -> list[tuple[str, str, list[int]]]:
    """(level, name, which benchmarks) of all that is scored. Without a table of scores, capabilities are the categories of
    pools."""
    by_scores = any(benchmark.capability is not None for benchmark in benchmarks)
    parts: dict[tuple[str, str], list[int]] = {}
    for number, benchmark in enumerate(benchmarks):
        names: dict[str, str | None]
        if benchmark.capability is not None:
            names = {"capability": benchmark.capability}
        else:
            names = {"group": benchmark.group, "benchmark": benchmark.name, "all": "all"}
            names |= {} if by_scores else {"capability": benchmark.category}
        for level, name in names.items():
            if name is not None:
                parts.setdefault((level, name), []).append(number)
    order = sorted(parts, key=lambda part: (LEVELS.index(part[0]), part[1]))
    return [(level, name, parts[level, name]) for level, name in order]


def resampled(benchmarks: Sequence[Benchmark], seed: int) -> list[F64]:
    """The resampled sums of each benchmark's scores. Benchmarks are resampled apart, for their sizes were chosen, by a key
    of their own: runs of one manifest draw alike, so that their differences are paired."""
    sums = []
    for benchmark in benchmarks:
        part = () if benchmark.capability is None else (benchmark.capability,)
        key = key_of("bootstrap", benchmark.name, *part, seed)
        num = len(benchmark.scores)
        sums.append(resampled_means(benchmark.scores, key) * num if num else np.zeros(0))
    return sums


def table(benchmarks: Sequence[Benchmark], *, seed: int) -> list[dict[str, Any]]:
    """A row for each capability, group and benchmark, and one for all: how many samples, their mean score with its 95%
    interval, and how many answers were malformed, empty, or had nothing to be judged by. Micro averages: over samples."""
    sums = resampled(benchmarks, seed)
    rows = []
    for level, name, numbers in members(benchmarks):
        those = [benchmarks[number] for number in numbers]
        num = sum(len(benchmark.scores) for benchmark in those)
        metrics: Counter[str] = Counter()
        for benchmark in those:
            metrics.update(benchmark.metrics)
        row: dict[str, Any] = {
            "level": level,
            "name": name,
            "metrics": dict(sorted(metrics.items())),
            "samples": num,
            "score": None,
            "low": None,
            "high": None,
            "malformed": sum(benchmark.malformed for benchmark in those),
            "empty": sum(benchmark.empty for benchmark in those),
            "unscored": sum(benchmark.unscored for benchmark in those),
        }
        if num:
            row["score"] = float(np.sum([benchmark.scores.sum() for benchmark in those]) / num)
            whole = np.sum([sums[number] for number in numbers if len(sums[number])], axis=0)
            row["low"], row["high"] = interval(whole / num)
        if level == "benchmark":
            row["figures"] = dict(those[0].figures)
        rows.append(row)
    return rows
