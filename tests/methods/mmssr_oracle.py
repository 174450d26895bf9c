"""mmSSR again, written from the published algorithm with lists and sorting: slow, obvious, and all on its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """A sample: what orders ties, its bins in its own order, and its score for each capability (None: it has none)."""

    hash: tuple[int, ...]
    bins: Sequence[str]
    scores: Mapping[str, float | None]


@dataclass
class Outcome:
    """For each sample (capability, bin) that took it, and how many each turn (round, capability, bin) took."""

    charged: dict[int, tuple[str, str]] = field(default_factory=dict)
    turns: Counter[tuple[int, str, str]] = field(default_factory=Counter)


def mmssr(
    samples: Sequence[Sample], capabilities: Sequence[str], budget: int, *, threshold: float = 0, compat: bool = False
) -> Outcome:
    """Section a.3 of the specification with the resolutions of a.6."""
    outcome = Outcome()
    live = list(capabilities)
    number = 0
    while len(outcome.charged) < budget and live:
        part = max((budget - len(outcome.charged)) // len(live), 1)
        dropped = []
        for capability in live:
            part = min(part, budget - len(outcome.charged))
            if part == 0:
                break
            before = len(outcome.charged)
            _turn(samples, capability, part, threshold, compat, number, outcome)
            if len(outcome.charged) == before:
                dropped.append(capability)
        live = [capability for capability in live if capability not in dropped]
        number += 1
    return outcome


def _turn(
    samples: Sequence[Sample],
    capability: str,
    part: int,
    threshold: float,
    compat: bool,
    number: int,
    outcome: Outcome,
) -> None:
    ranked = ranking(samples, capability, threshold, compat)
    bins = {name: [at for at in members if at not in outcome.charged] for name, members in ranked.items()}
    order = sorted((name for name in bins if bins[name]), key=lambda name: (len(bins[name]), name))
    taken: dict[int, str] = {}
    debt = 0
    for place, name in enumerate(order):
        whole, rest = divmod(part, len(order))
        quota = max(whole, 1) if compat else whole + (place < rest)
        free = [at for at in bins[name] if at not in taken]
        take = min(quota + debt, len(free), part - len(taken))
        for at in free[:take]:
            taken[at] = name
        if take:
            outcome.turns[number, capability, name] = take
        debt = max(quota + debt - len(free), 0)
    for at, name in taken.items():
        outcome.charged[at] = (capability, name)


def ranking(samples: Sequence[Sample], capability: str, threshold: float, compat: bool) -> dict[str, list[int]]:
    """The samples of each bin that score more than the threshold, first to last."""
    found: dict[str, list[tuple[tuple[object, ...], int]]] = {}
    for at, sample in enumerate(samples):
        score = sample.scores.get(capability)
        if score is None or math.isnan(score) or not score > threshold:
            continue
        for place, name in enumerate(sample.bins):
            key = (place, -score, sample.hash) if compat else (-score, place, sample.hash)
            found.setdefault(name, []).append((key, at))
    return {name: [at for _, at in sorted(members)] for name, members in found.items()}
