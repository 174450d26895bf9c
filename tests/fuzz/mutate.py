"""Texts and documents, changed by chance; and how long a fuzzer runs.

Without settings a run is short and the same everywhere. `FUZZ_SECONDS=600 FUZZ_SEED=7` makes it as long and as new as
wanted (`make fuzz`). What once failed lies in `corpus` and is tried first.
"""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"

STRANGE: Sequence[Any] = (
    None, True, False, 0, -1, 1, 2**32, 2**63, 2**64, 10**30, 0.5, 1e999, "", "x", "\0", "\ud800", "../x", "/etc/passwd",
    "a" * 5000, [], [[]], {}, {"": None}, {"shape": "json-array"}, {"shape": "delimited"}, "gzip", "plain", "parquet",
)  # fmt: skip


def chances(num_short: int) -> Iterator[random.Random]:
    """One generator for each input of a run."""
    seed = int(os.environ.get("FUZZ_SEED", "1"))
    seconds = os.environ.get("FUZZ_SECONDS")
    begun = time.monotonic()
    number = 0
    while number < num_short if seconds is None else time.monotonic() - begun < float(seconds):
        yield random.Random(f"{seed} {number}")  # noqa: S311
        number += 1
    if seconds is not None:
        print(f"{number} inputs")  # noqa: T201


def text(chance: random.Random, texts: Sequence[str], words: Sequence[str]) -> str:
    """One of the texts, with a few changes."""
    found = chance.choice(texts)
    for _ in range(chance.randint(1, 5)):
        at = chance.randint(0, len(found))
        to = min(len(found), at + chance.choice((1, 1, 2, 5, 20, 100)))
        match chance.randrange(6):
            case 0:
                found = found[:at] + found[to:]
            case 1:
                found = found[:at] + found[at:to] * chance.choice((2, 3, 50)) + found[to:]
            case 2:
                other = chance.choice(texts)
                start = chance.randint(0, len(other))
                found = found[:at] + other[start : start + chance.choice((5, 30, 200))] + found[at:]
            case 3:
                found = found[:at] + chr(chance.choice((0, 9, 10, 34, 39, 0x85, 0x2028, 0xFEFF, 0x1F600))) + found[at:]
            case _:
                found = found[:at] + chance.choice(words) * chance.choice((1, 1, 1, 2, 40)) + found[to:]
    return found


def document(chance: random.Random, good: Any) -> Any:
    """A copy of a JSON document in which a few values are others."""
    found = copy.deepcopy(good)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(found))
        holder, key = chance.choice(places)
        match chance.randrange(6):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[str(chance.choice(STRANGE))] = holder[key]
            case 2 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(chance.choice(holder)))
            case 3:
                holder[key] = copy.deepcopy(_value(chance.choice(places)))
            case _:
                holder[key] = copy.deepcopy(chance.choice(STRANGE))
    return found


def _value(place: tuple[Any, Any]) -> Any:
    return place[0][place[1]]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def keep(name: str, data: bytes, check: Callable[[], object]) -> None:
    """Checks an input; one that fails is written to the corpus, where it stays."""
    try:
        check()
    except BaseException:
        CORPUS.mkdir(exist_ok=True)
        (CORPUS / name).write_bytes(data)
        raise
