"""A table of scores for the quickstart's samples, such as judges, scorers and encoders would give: for trying methods.

The numbers say nothing of any model. Each is a hash of the sample's key, drawn from a range that fits its pool, and only
sums, products, quotients and square roots are taken of them, so that every machine writes the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from render import choose, pick, shuffled

#: The capabilities of mmSSR (arXiv 2503.13383), each rated 0 to 5 by a judge.
CAPABILITIES = (
    "spatial",
    "attribute",
    "logic",
    "scene",
    "fine_grained",
    "language",
    "in_context",
    "comparison",
    "activity",
    "causal",
    "humanities",
    "stem",
    "data_understanding",
    "ocr",
)
#: For each pool, the capabilities its samples train; others are rated 0 or 1.
TRAINED = {
    "scenes": ("spatial", "attribute", "scene", "activity", "comparison"),
    "dialogues": ("logic", "language", "stem", "causal"),
    "charts": ("data_understanding", "comparison", "logic", "ocr"),
    "diagrams": ("stem", "logic", "spatial", "causal"),
    "words": ("ocr", "fine_grained", "attribute"),
    "receipts": ("ocr", "data_understanding", "fine_grained"),
}
#: For each pool, its styles of interaction, among the nine of mmSSR.
STYLES = {
    "scenes": ("word/short-phrase", "short description", "detailed description", "yes/no"),
    "dialogues": ("chain-of-thought (step-by-step)", "word/short-phrase", "specified style"),
    "charts": ("multi-choice", "comparison", "chain-of-thought (step-by-step)"),
    "diagrams": ("word/short-phrase", "chain-of-thought (step-by-step)", "coordinate"),
    "words": ("word/short-phrase", "specified style"),
    "receipts": ("word/short-phrase", "short description", "yes/no"),
}
TOPICS, WIDTH = 3, 16
NUMBERS = ("ppl", "ifd", "vds", "clip_score", "el2n", "pism", "rho", "complexity", "quality")
INFLUENCES = {"influence.chart": "charts", "influence.ocr": "words", "influence.general": "scenes"}
FLOAT = pa.float64()
SCHEMA = pa.schema(
    {"key": pa.string()}
    | {f"capability.{name}": pa.int64() for name in CAPABILITIES}
    | {"style": pa.string(), "solved": pa.bool_()}
    | dict.fromkeys((*NUMBERS, *INFLUENCES), FLOAT)
    | {"embedding.clip": pa.list_(pa.float32())}
)


def between(low: float, high: float, *key: object) -> float:
    """A number of a range, to four decimals."""
    return round(low + (high - low) * pick(10_001, *key) / 10_000, 4)


def rating(pool: str, key: str, capability: str) -> int | None:
    """0 to 5; one answer in a hundred of the judge cannot be read."""
    if pick(100, key, capability, "unread") == 0:
        return None
    return 1 + pick(5, key, capability) if capability in TRAINED[pool] else pick(8, key, capability) // 7


def styles(pool: str, key: str) -> str:
    """One style or two, separated by a comma, as the styler answers."""
    return ", ".join(shuffled(STYLES[pool], key, "styles")[: 1 + pick(3, key, "how many styles") // 2])


def direction(*key: object) -> list[float]:
    """A vector of length 1."""
    parts = [pick(2_000_001, *key, at) / 1_000_000 - 1 for at in range(WIDTH)]
    return unit(parts)


def unit(parts: list[float]) -> list[float]:
    """The vector of length 1 in the same direction."""
    squares = 0.0
    for part in parts:
        squares += part * part
    return [part / math.sqrt(squares) for part in parts]


def scored(pool: str, key: str, difficulty: float) -> dict[str, Any]:
    """The row of one sample. Hard samples have more perplexity and fail at less masking."""
    topic = pick(TOPICS, key, "topic")
    noise = direction(key, "embedding")
    centre = direction(pool, topic)
    fails = min(9, pick(4, key, "pism") + round(7 * (1 - min(difficulty, 1))))
    solved = pick(10, key, "solved") >= round(5 * difficulty)
    row: dict[str, Any] = {f"capability.{name}": rating(pool, key, name) for name in CAPABILITIES}
    return row | {
        "key": key,
        "style": styles(pool, key),
        "solved": solved,
        "ppl": round(1.5 + 20 * difficulty + between(0, 12, key, "ppl"), 4),
        "ifd": between(0.2, 1.2, key, "ifd"),
        "vds": between(-0.5, 0.3, key, "vds") if pool == "dialogues" else between(-0.5, 2.5, key, "vds"),
        "clip_score": between(0.12, 0.44, key, "clip"),
        "el2n": round(0.6 * difficulty + between(0, 0.8, key, "el2n"), 4),
        # The masking level, in tenths, at which the answer is first wrong; without one it never is.
        "pism": 0.0 if not solved else None if pick(6, key, "never fails") == 0 else max(1, fails) / 10,
        "rho": between(0, 2.5, key, "rho"),
        "complexity": round(1 + 3 * min(difficulty, 1) + between(0, 2, key, "complexity"), 4),
        "quality": choose((1.0, 0.0), key, "noisy") + between(1, 5, key, "quality"),
        **{name: between(-0.2 + (pool == near), 0.4 + (pool == near), key, name) for name, near in INFLUENCES.items()},
        "embedding.clip": unit([far + 0.45 * near for far, near in zip(centre, noise, strict=True)]),
    }


def write_scores(folder: Path, samples: Iterable[tuple[str, str, float]]) -> None:
    """Writes `scores/scores.parquet` for samples given as (pool, key, difficulty)."""
    path = folder / "scores/scores.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([scored(*sample) for sample in samples], SCHEMA), path)
