"""Why samples came and went: each by the rule that let it go on the side where it is out, or by the content of its pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.report.numbering import Numbering
from recipe_compiler.report.side import Exit, Fates, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`samples` were added or removed because of this. `changed` tells a rule that was edited from one that decides
    otherwise because what reaches it has changed."""

    number: int
    effect: Literal["added", "removed"]
    samples: int
    because: str
    line: str
    changed: bool
    pools: Mapping[str, int]
    stages: Mapping[str, int]


#: A side, the numbers of its samples, and by number the position at which each is drawn first.
Numbered: TypeAlias = tuple[Side, Numbering, kernels.I64]


def causes(
    before: Numbered, after: Numbered, added: NDArray[np.bool_], removed: NDArray[np.bool_]
) -> tuple[Cause, ...]:
    """The causes, most samples first; none where a side could not be compiled again."""
    if before[0].fates is None or after[0].fates is None:
        return ()
    parts = _group("added", after, before, added)
    parts |= _group("removed", before, after, removed)
    largest = sorted(parts.items(), key=lambda part: (-sum(part[1].values()), part[0]))
    return tuple(
        Cause(
            number=number,
            effect=effect,
            samples=sum(members.values()),
            because=because,
            line=line,
            changed=changed,
            pools=_summed(members, 0),
            stages=_summed(members, 1),
        )
        for number, ((effect, because, line, changed), members) in enumerate(largest, start=1)
    )


def _summed(members: Mapping[tuple[str, str], int], part: int) -> dict[str, int]:
    """Samples by pool (part 0) or by stage (part 1)."""
    sums: dict[str, int] = {}
    for names, count in sorted(members.items()):
        sums[names[part]] = sums.get(names[part], 0) + count
    return sums


Effect: TypeAlias = Literal["added", "removed"]
_Key: TypeAlias = tuple[Effect, str, str, bool]


def _group(
    effect: Effect, drawn: Numbered, other: Numbered, which: NDArray[np.bool_]
) -> dict[_Key, dict[tuple[str, str], int]]:
    """Samples that are drawn on one side, by what kept them out on the other: counts by (pool, stage)."""
    (inside, _, first), (outside, numbering, _) = drawn, other
    ins, out = inside.fates, outside.fates
    assert ins is not None
    assert out is not None
    numbers = np.flatnonzero(which)
    if not len(numbers):
        return {}
    positions = first[numbers]
    rows = inside.draws[positions]
    there = numbering.rows_of(numbers)
    facts = pl.DataFrame(
        {
            "pool": inside.keys.pool[rows],
            "stage": inside.stage[positions],
            "left_at": np.where(there < 0, -1, np.append(out.left_at, 0).astype(np.int64)[there]),
            "taken_by": np.where(there < 0, -1, np.append(out.stage, -1)[there]),
            "earlier": ins.left_at[rows] != 0,
        }
    )
    grouped: dict[_Key, dict[tuple[str, str], int]] = {}
    groups = facts.group_by(facts.columns, maintain_order=True).len()
    for pool, stage, left_at, taken_by, earlier, count in groups.iter_rows():
        if earlier:
            key: _Key = effect, "drawn before the position that it goes on after", "", False
        elif left_at < 0:
            key = _content(effect, inside.pools[pool], inside, outside)
        else:
            key = _rule(effect, out.exits[left_at] if left_at else out.stages[taken_by], ins, out)
        members = grouped.setdefault(key, {})
        names = inside.pools[pool], inside.manifest.stages[stage].name
        members[names] = members.get(names, 0) + count
    return grouped


def _content(effect: Effect, pool: str, inside: Side, outside: Side) -> _Key:
    """The sample is in no training pool on the other side."""
    other = next((ref for ref in outside.manifest.own_pools if ref.name == pool), None)
    line = inside.fates.pool_lines.get(pool, "") if inside.fates is not None else ""
    verb = "new" if effect == "added" else "gone"
    if other is None:
        return effect, f"pool {pool} is {verb}", line, True
    if other.role == "holdout":
        return effect, f"pool {pool} {'was' if effect == 'added' else 'is now'} a holdout", line, True
    own = next(ref for ref in inside.manifest.own_pools if ref.name == pool)
    if own.digest == other.digest:
        state = "were missing and are there" if effect == "added" else "are missing"
        return effect, f"media of pool {pool} {state}", "", True
    return (
        effect,
        f"{verb} in the content of pool {pool}" if effect == "added" else f"gone from the content of pool {pool}",
        "",
        True,
    )


def _rule(effect: Effect, exit_: Exit, inside: Fates, outside: Fates) -> _Key:
    """The sample left at a rule on the other side; what is that rule on this one?"""
    here, there = ((*side.exits.values(), *side.stages) for side in (inside, outside))
    same = next((rule for rule in here if rule.digest == exit_.digest), None)
    if same is not None:
        line = same.line if effect == "added" else exit_.line
        return effect, f"{exit_.rule}: the same rule, over other samples", line, False
    # What stands in its place is its successor, unless it was there before as well.
    kept = {rule.digest for rule in there}
    instead = next((rule for rule in here if rule.place == exit_.place and rule.digest not in kept), None)
    if instead is None:
        told = f"{exit_.rule}: {'not any more' if effect == 'added' else 'new'}"
        return effect, told, exit_.line, True
    if instead.rule == exit_.rule:
        line = instead.line if effect == "added" else exit_.line
        return effect, f"{exit_.rule}: with other settings", line, True
    if effect == "added":
        return effect, f"{exit_.rule} -> {instead.rule}", instead.line, True
    return effect, f"{instead.rule} -> {exit_.rule}", exit_.line, True
