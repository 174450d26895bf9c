"""Runs set side by side, as plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.errors import StreamError
from runtime.evaluate import compare
from runtime.evaluate.bootstrap import COVERAGE, RESAMPLES
from runtime.evaluate.compare import Run


def contrast(
    paths: Sequence[Path],
    *,
    full: Path | None,
    random: Path | None,
    curve: Sequence[tuple[int, Path]],
    reference: tuple[int, Path] | None,
    seed: int,
) -> dict[str, Any]:
    """Scores of runs with their differences to the first; `/FULL`, `>Random` and samples to match where asked for."""
    if bool(curve) != (reference is not None):
        raise StreamError("a curve needs a reference to reach, and a reference a curve: say both")
    if len({number for number, _ in curve}) != len(curve):
        raise StreamError("two runs of the curve have the same number of samples")
    places = list(dict.fromkeys([*paths, *(path for path in (full, random) if path is not None)]))
    asked = list(
        dict.fromkeys([*places, *(path for _, path in curve), *([reference[1]] if reference is not None else [])])
    )
    names = _names(asked)
    runs = {path: compare.load(path, names[path], seed=seed) for path in asked}
    compare.check_alike(runs)
    document: dict[str, Any] = {
        "manifest": runs[asked[0]].manifest,
        "runs": [names[path] for path in places],
        "interval": {"coverage": COVERAGE, "resamples": RESAMPLES, "seed": seed, "by": "paired percentile bootstrap"},
        "rows": compare.rows([runs[path] for path in places]),
        "summaries": [_summary(runs[path], runs.get(full), runs.get(random)) for path in places],  # type: ignore[arg-type]
    }
    if reference is not None:
        document["curve"] = _matches([(num, runs[path]) for num, path in curve], reference[0], runs[reference[1]])
    return document


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of paths that tell them apart, without the file's ending."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = {path: Path(*path.parts[-depth:]).with_suffix("").as_posix() for path in paths}
        if len(set(names.values())) == len(names):
            return names
    return {path: str(path) for path in paths}


def _summary(run: Run, full: Run | None, random: Run | None) -> dict[str, Any]:
    scores = compare.scored(run)
    summary: dict[str, Any] = {"run": run.name, "benchmarks": len(scores)}
    if full is not None:
        share, left_out = compare.share_of_full(scores, compare.scored(full))
        between = compare.share_of_full_interval(run, full)
        summary["of_full"] = share
        summary["of_full_low"], summary["of_full_high"] = between or (None, None)
        summary["of_full_left_out"] = left_out
    if random is not None:
        summary["above_random"] = compare.above_random(scores, compare.scored(random))
    return summary


def _matches(curve: Sequence[tuple[int, Run]], num_reference: int, reference: Run) -> list[dict[str, Any]]:
    found = []
    of_curve = [(num, compare.scored(run)) for num, run in curve]
    for name, target in compare.scored(reference).items():
        points = sorted((num, scores[name]) for num, scores in of_curve)
        match = compare.samples_to_match(points, target)
        found.append(
            {
                "benchmark": name,
                "target": target,
                "reference_samples": num_reference,
                "samples_to_match": None if match is None else float(match),
                "reduction": None if match is None or match == 0 else float(num_reference / match),
                "curve": [{"samples": num, "score": score} for num, score in points],
            }
        )
    return found
