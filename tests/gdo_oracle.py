"""Goal-driven selection, slowly: from the records themselves, by the formulas of the paper, in plain Python floats.

Nothing of the product is used but the keyed order, which is handed in as the rank of each sample.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

Record = Mapping[str, Any]

WORD = re.compile(r"[A-Za-z0-9_]+")
TEMPORAL = {
    *("before", "after", "then", "while", "during", "first", "next"),
    *("finally", "sequence", "later", "earlier", "transition", "happen"),
}
METRICS = ("loss_visual", "loss_blind", "frame_diversity", "vds", "quality")


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def kind(record: Record) -> str:
    return "text" if not record["images"] else "video" if len(record["images"]) > 1 else "image"


def duration(record: Record) -> str:
    if kind(record) != "video":
        return "image" if kind(record) == "image" else "none"
    shown = min(len(record["images"]), 32)
    return "very_short" if shown <= 8 else "short" if shown <= 24 else "medium"


def temporal(record: Record) -> str:
    if kind(record) != "video":
        return "Static"
    return "Temporal" if TEMPORAL & set(words(record["question"])) else "Mixed"


def form(record: Record) -> str:
    return "MCQ" if {"choice", "choices"} & set(words(record["question"])) else "Open"


def length(count: int, bounds: Sequence[int], prefix: str) -> str:
    names = ("tiny", "short", "medium", "long", "very_long")
    return prefix + names[sum(count > bound for bound in bounds)]


def group(record: Record) -> str:
    source = record["data_source"]
    return source.split("(")[0].strip() if "(" in source else "_".join(source.split("_")[:4])


def fields(record: Record) -> tuple[str, ...]:
    question = length(len(words(record["question"])), (6, 14, 30, 60), "q_")
    answer = length(len(words(record["answer"])), (2, 8, 24, 64), "a_")
    return (duration(record), temporal(record), form(record), question, answer, group(record))


def stratum(record: Record) -> tuple[str, ...]:
    return (kind(record), *fields(record))


def standard(values: Sequence[float]) -> Callable[[float | None], float | None]:
    """A standard score clipped to +-4."""
    there = [value for value in values if value is not None]
    mean = statistics.fmean(there) if there else 0.0
    variance = statistics.variance(there, mean) if len(there) > 1 else 0.0
    deviation = 1.0 if variance <= 1e-12 else math.sqrt(variance)
    return lambda value: None if value is None else max(-4.0, min(4.0, (value - mean) / deviation))


def robust(values: Sequence[float | None]) -> Callable[[float], float]:
    there = sorted(value for value in values if value is not None)

    def quantile(part: float) -> float:
        rank = (len(there) - 1) * part
        below = math.floor(rank)
        return there[below] + (there[min(below + 1, len(there) - 1)] - there[below]) * (rank - below)

    spread = max(quantile(0.75) - quantile(0.25), 1e-6) / 1.349
    return lambda value: (value - quantile(0.5)) / spread


def with_vds(record: Record) -> float | None:
    if record["vds"] is not None:
        return float(record["vds"])
    if record["loss_blind"] is None or record["loss_visual"] is None:
        return None
    return float(record["loss_blind"] - record["loss_visual"])


def qualities(records: Sequence[Record]) -> list[float | None]:
    """The merged quality, where it is not given for any sample."""
    if any(record["quality"] is not None for record in records):
        return [record["quality"] for record in records]
    rows = [
        {
            "vds": with_vds(record),
            "fd": 0.0 if record["frame_diversity"] is None and kind(record) != "video" else record["frame_diversity"],
            "flow": 0.0 if record["flow"] is None and kind(record) != "video" else record["flow"],
            "ppl": record["ppl"],
            "rep": record["coverage"],
            "sc": record["consistency"],
            "tnc": record["tnc"] if record["tnc"] is not None else float(temporal(record) == "Temporal"),
        }
        for record in records
    ]
    needed = ("vds", "fd", "flow", "ppl", "rep")
    if any(all(row[name] is None for row in rows) for name in needed):
        return [None] * len(rows)
    z = {name: robust([row[name] for row in rows]) for name in ("vds", "fd", "flow", "ppl")}

    def sigma(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    found: list[float | None] = []
    for row in rows:
        if any(row[name] is None for name in needed):
            found.append(None)
            continue
        vds, ppl = z["vds"](row["vds"]), z["ppl"](row["ppl"])
        consistency = row["sc"] if row["sc"] is not None else sigma(0.6 * vds - 0.2 * abs(ppl))
        found.append(
            0.28 * sigma(vds + z["fd"](row["fd"]))
            + 0.18 * consistency
            + 0.14 * math.exp(-abs(ppl))
            + 0.12 * math.exp(-abs(z["flow"](row["flow"])))
            + 0.12 * row["tnc"]
            + 0.10 * row["rep"]
            + 0.06 * (1 - row["rep"])
        )
    return found


def scores(records: Sequence[Record], without: Sequence[str] = ()) -> tuple[list[float], list[float], list[bool]]:
    """(rho, VDS3, whether a model measured anything) of each record."""
    total = len(records)
    values = [fields(record) for record in records]
    shares = [Counter(column) for column in zip(*values, strict=True)]
    sources = Counter(record["data_source"] for record in records)
    metrics = [
        {**{name: record[name] for name in METRICS}, "vds": with_vds(record), "quality": quality}
        for record, quality in zip(records, qualities(records), strict=True)
    ]
    z = {name: standard([row[name] for row in metrics]) for name in METRICS}
    rho, visual, measured = [], [], []
    for record, value, row in zip(records, values, metrics, strict=True):
        question, answer = len(words(record["question"])), len(words(record["answer"]))
        different = len(set(words(record["answer"]))) / max(answer, 1)
        natural = -abs(math.log(max(question, 1)) - math.log(14)) - 1.25 * abs(math.log(max(answer, 1)) - math.log(16))
        natural -= 1.2 * max(0, 0.55 - different)
        natural = 0 if "ppl" in without else natural
        difficulty = math.exp(-((math.log(max(1, question + 0.5 * answer)) - math.log(22)) ** 2) / (2 * 0.85**2))
        align = sum(math.log(max(share[mine] / total, 1e-9)) for share, mine in zip(shares, value, strict=True)) / 6
        rare = math.log((total + 1) / (sources[record["data_source"]] + 1))
        bonus = {"Temporal": 1.0, "Mixed": 0.2, "Static": -0.5}[temporal(record)]
        if kind(record) == "video":
            base = natural + 0.85 * difficulty + 0.9 * align + 0.55 * bonus + 0.15 * rare
        else:
            base = 1.1 * natural + 0.85 * difficulty + 0.9 * align + 0.15 * rare
        base = math.tanh(base / 3)
        zs = {name: z[name](row[name]) for name in METRICS}
        if None not in (zs["loss_visual"], zs["loss_blind"], zs["frame_diversity"]):
            vds3 = -zs["loss_visual"] + zs["loss_blind"] + zs["frame_diversity"]
        elif zs["vds"] is not None:
            vds3 = zs["vds"] + (0.5 * zs["frame_diversity"] if zs["frame_diversity"] is not None else 0)
        else:
            vds3 = 0.0
        v = 0 if "vds" in without else max(-4, min(4, vds3)) / 4
        q = 0 if "sc" in without else (zs["quality"] or 0.0) / 4
        has = any(row[name] is not None for name in METRICS)
        if kind(record) == "video":
            rho.append(0.35 * base + 0.95 * v + 0.35 * q if has else 0.35 * base - 0.15)
        else:
            rho.append(0.9 * base + 0.15 * q)
        visual.append(vds3)
        measured.append(has)
    return rho, visual, measured


def apportioned(total: int, counts: Mapping[Any, int]) -> dict[Any, int]:
    """Largest remainder over sorted keys."""
    pool = sum(counts.values())
    exact = {key: Fraction(total * counts[key], pool) for key in sorted(counts)}
    found = {key: math.floor(share) for key, share in exact.items()}
    for key in sorted(exact, key=lambda key: found[key] - exact[key])[: total - sum(found.values())]:
        found[key] += 1
    return found


def budget(counts: Sequence[int], p: Mapping[str, Any]) -> int:
    """The automatic budget before the adjustment."""
    total = sum(counts)
    shares = sorted((Fraction(count, total) for count in counts), reverse=True)
    effective = math.exp(-sum(float(share) * math.log(share) for share in shares))
    mass, at = shares[0], 0
    while mass < p["coverage"]:
        at += 1
        mass += shares[at]
    n = max(
        p["min_count"],
        math.ceil(total * p["min_share"]),
        math.ceil(round(effective * float(max(1, p["strata_multiplier"])), 9)),
        math.ceil(max(1, p["tail_target"]) / shares[at]),
    )
    return max(1, min(n, p["max_count"], math.floor(total * p["max_share"]) or total, total))


def grown(n: int, total: int, visual: Sequence[float], measured: Sequence[bool], p: Mapping[str, Any]) -> int:
    """The adjustment for visual dependence."""
    rows = sum(measured)
    positive = sum(has and value > 0 for value, has in zip(visual, measured, strict=True))
    if not positive or not p["visual_target"]:
        return n
    wanted = math.ceil(p["visual_target"] / Fraction(positive, rows))
    most = math.floor(total * p["max_share"]) or total
    return min(max(n, wanted), total, p["max_count"], math.ceil(n * max(1, p["visual_multiplier"])), most)


def choose(
    records: Sequence[Record],
    rho: Sequence[float],
    n: int,
    p: Mapping[str, Any],
    per_video: int,
    tie: Sequence[int],
    chance: Sequence[int],
) -> dict[int, str]:
    """The stage that takes each record, by its number. `tie` and `chance` are ranks."""
    everything = range(len(records))
    of = [stratum(record) for record in records]
    is_video = [kind(record) == "video" for record in records]
    is_temporal = [
        video and temporal(record) in p["temporal_categories"] for video, record in zip(is_video, records, strict=True)
    ]
    counts, groups = Counter(of), Counter(group(record) for record in records)
    quota = apportioned(n, counts)
    buckets = apportioned(n, {"video": sum(is_video), "zother": len(records) - sum(is_video)})
    min_video = math.ceil(p["min_video"] * n)
    max_video = max(min_video, min(math.floor(p["max_video"] * n), n))
    min_temporal = min(n, math.ceil(p["min_temporal"] * max(min_video, buckets["video"])))
    floors: dict[str, int] = {}
    if p["floor_share"]:
        for name in sorted(groups, key=lambda name: (-groups[name], name))[: p["floor_groups"]]:
            expected = Fraction(n * groups[name], len(records))
            required = max(1, math.ceil(n * p["floor_share"]), math.ceil(p["floor_expected"] * expected))
            if required <= math.floor(expected):
                floors[name] = required
        most = math.floor(Fraction(7, 10) * n)
        together = sum(floors.values())
        if together > most:
            floors = {name: max(1, math.floor(Fraction(r * most, together))) for name, r in floors.items() if most}
    heaps: dict[Any, list[int]] = defaultdict(list)
    for row in everything:
        heaps[of[row]].append(row)

    def best(row: int) -> tuple[float, int]:
        return -rho[row], tie[row]

    candidates = []
    for key, members in heaps.items():
        video, categories = key[0] == "video", p["temporal_categories"]
        factor = max(1, p["oversample"])
        factor = max(factor, p["oversample_video"]) if video else factor
        factor = max(factor, p["oversample_temporal"]) if video and key[2] in categories else factor
        candidates += sorted(members, key=best)[: math.ceil(quota[key] * factor)]
    tail = sorted(candidates, key=best)
    taken: dict[int, str] = {}

    def can(row: int) -> bool:
        video, text = records[row]["images"][:1], said(records[row])
        return (
            len(taken) < n
            and row not in taken
            and all(said(records[other]) != text for other in taken)
            and not (is_video[row] and sum(is_video[other] for other in taken) >= max_video)
            and not (
                is_video[row]
                and sum(is_video[other] and records[other]["images"][:1] == video for other in taken) >= per_video
            )
        )

    def fill(rows: Sequence[int], need: int, stage: str) -> None:
        for row in rows:
            if need > 0 and can(row):
                taken[row] = stage
                need -= 1

    fill([row for row in tail if is_temporal[row]], min_temporal, "temporal")
    fill([row for row in tail if is_video[row]], min_video - sum(is_video[row] for row in taken), "video")
    for name, least in floors.items():
        have = sum(group(records[row]) == name for row in taken)
        fill([row for row in tail if group(records[row]) == name], least - have, "group")
    for key in sorted(quota):
        have = sum(of[row] == key for row in taken)
        fill([row for row in tail if of[row] == key], quota[key] - have, "quota")
    fill(tail, n, "score")
    fill(sorted(everything, key=lambda row: chance[row]), n, "chance")
    return taken


def said(record: Record) -> tuple[str, ...]:
    return (" ".join(record["question"].split()), " ".join(record["answer"].split()))
