"""A watch notes what every rule of a run decided, so that it can be asked afterwards what became of any sample, and why.

It looks at what the rules did and never takes part in it: a watched run selects what an unwatched one does. What it keeps
are the arrays that the rules worked on. An answer reads them once or twice, and computes nothing for other samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels, table
from recipe_compiler.execute import frames
from recipe_compiler.execute.ranks import Preference, Walk
from recipe_compiler.manifest.rows import between
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import cap_text, describe
from recipe_compiler.syntax.expression import Expression, canonical, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A rule that a sample met. `rank` counts from 1; `threshold` is the last rank that was taken, `of` how many. `at` is
    where the recipe says so, where that is not the node's place."""

    node: nodes.Node
    rule: str
    verdict: str
    values: Mapping[str, Any] = field(default_factory=dict)
    rank: int | None = None
    threshold: int | None = None
    of: int | None = None
    note: str = ""
    at: nodes.Location | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a quota was to have and has: the samples that count for it are those with `value` in `group`."""

    node: nodes.Node
    at: nodes.Location
    name: str
    asked: str
    group: kernels.U32
    value: int
    preference: Preference
    able: kernels.Bools
    taken: kernels.Bools


class Watch:
    """What the rules decided, as accounts: each tells of any row what the rule made of it, or that it never met it."""

    def __init__(self) -> None:
        self.accounts: list[Callable[[int], Sequence[Met]]] = []
        self.quotas: list[Filled] = []

    def met(self, row: int) -> list[Met]:
        """The rules that a row met, in their order."""
        return [met for account in self.accounts for met in account(row)]

    def _note(self, account: Callable[[int], Met | None]) -> None:
        self.accounts.append(lambda row: [met] if (met := account(row)) is not None else [])

    def filtered(
        self,
        node: nodes.Node,
        operation: nodes.Filter,
        frame: pl.DataFrame,
        alive: kernels.Bools,
        kept: kernels.Bools,
    ) -> None:
        """A filter kept or dropped them."""
        names = _names(operation.where)

        def account(row: int) -> Met | None:
            if not alive[row]:
                return None
            verdict = "kept" if kept[row] else "dropped"
            return Met(node=node, rule=describe(operation), verdict=verdict, values=values_of(frame, names, row))

        self._note(account)

    def deduplicated(
        self,
        node: nodes.Node,
        operation: nodes.Deduplicate,
        frame: pl.DataFrame,
        keys: kernels.Keys,
        alive: kernels.Bools,
        kept: kernels.Bools,
    ) -> None:
        """They were the first of their equals, or not."""

        def account(row: int) -> Met | None:
            if not alive[row]:
                return None
            equals = _equals(keys, row)
            equals = equals[alive[equals]]
            note = "" if len(equals) == 1 else f"{len(equals)} samples are the same"
            if not kept[row]:
                note = f"the same as {named(frame, int(equals[kept[equals]][0]))}, which is kept"
            verdict = "kept" if kept[row] else "dropped"
            return Met(node=node, rule=describe(operation), verdict=verdict, note=note)

        self._note(account)

    def selected(
        self,
        node: nodes.Node,
        operation: nodes.Select,
        frame: pl.DataFrame,
        preference: Preference,
        alive: kernels.Bools,
        taken: kernels.Taken,
        stratum: tuple[kernels.U32, Sequence[str]] | None,
    ) -> None:
        """The walk along the keyed order took them or left them, pass after pass; ranks are inside the stratum."""

        @lru_cache(maxsize=1)
        def walked(number: int | None) -> tuple[Walk, int]:
            """A walk, and the rank of the last use that it took."""
            walk = Walk.of(preference, alive, None if stratum is None or number is None else (stratum[0], number))
            times = walk.values(taken.times)
            most = int(times.max(initial=0, where=walk.marks))
            if not most:
                return walk, 0
            last = walk.last(walk.marks & (times == most), most - 1)
            return walk, (most - 1) * walk.num + walk.rank(last, most - 1) + 1

        def account(row: int) -> Met | None:
            if not alive[row]:
                return None
            values: dict[str, Any] = {"tokens": frame["tokens"][row]} if operation.budget.tokens is not None else {}
            number = None
            if stratum is not None:
                group, names = stratum
                number = int(group[row])
                values[", ".join(operation.by)] = names[number]
            times = int(taken.times[row])
            refused = int(taken.refused_by[row])
            cap = None if times else _cap(refused, operation, stratum is not None)
            if cap is not None:
                values |= values_of(frame, [cap.by] if cap.by is not None else _names(cap.where), row)
            walk, threshold = walked(number)
            return Met(
                node=node,
                rule=describe(operation),
                verdict=("taken" if times == 1 else f"taken {times} times") if times else "left out",
                values=values,
                rank=walk.rank(row) + 1,
                threshold=threshold,
                of=walk.num * operation.repeat,
                note="" if times else _refusal(refused, cap, stratum is not None),
            )

        self._note(account)

    def ranked(
        self,
        node: nodes.Node,
        frame: pl.DataFrame,
        preference: Preference,
        able: kernels.Bools,
        taken: kernels.Bools,
        strata: tuple[str, kernels.U32, Sequence[str]] | None,
        reckoned: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """A method took the first of each stratum in an order of preference; ranks are inside the stratum.

        `reckoned` are other numbers of each row that the score comes from.
        """
        scores = preference.scores

        @lru_cache(maxsize=1)
        def walked(number: int | None) -> tuple[Walk, int, int, int | None]:
            """A walk, the ranks of the first and the last that it took, and the last; 0 and none where it took none."""
            walk = Walk.of(preference, able, None if strata is None or number is None else (strata[1], number))
            chosen = walk.marks & walk.values(taken)
            if not chosen.any():
                return walk, 0, 0, None
            last = walk.last(chosen)
            threshold = walk.rank(last) + 1
            return walk, threshold - int(chosen.sum()) + 1, threshold, last

        def account(row: int) -> Met | None:
            if not able[row]:
                return None
            values: dict[str, Any] = {} if scores is None else {"score": float(scores[row])}
            values |= {name: column[row].item() for name, column in (reckoned or {}).items()}
            number = None
            if strata is not None:
                column, group, names = strata
                number = int(group[row])
                values[column] = names[number]
            walk, first, threshold, last = walked(number)
            # A band begins below the best.
            notes = [f"the band begins at rank {first:,}"] * (first > 1)
            if last is not None and not taken[row]:
                notes.append(f"the last that is taken is {named(frame, last)}")
            return Met(
                node=node,
                rule=describe(node.operation),
                verdict="taken" if taken[row] else "left out",
                values=values,
                rank=walk.rank(row) + 1,
                threshold=threshold,
                of=walk.num,
                note=", ".join(notes),
            )

        self._note(account)

    def judged(
        self,
        node: nodes.Node,
        able: kernels.Bools,
        taken: kernels.Bools,
        reasons: Callable[[int], Mapping[str, Any]],
    ) -> None:
        """A method took some of those that it could take. `reasons` gives what `Met` is to say of a row."""

        def account(row: int) -> Met | None:
            if not able[row]:
                return None
            verdict = "taken" if taken[row] else "left out"
            return Met(node=node, rule=describe(node.operation), verdict=verdict, **reasons(row))

        self._note(account)

    def offered(
        self,
        node: nodes.Node,
        stage: nodes.Stage,
        frame: pl.DataFrame,
        left: kernels.Bools,
        able: kernels.Bools,
        *,
        chosen: bool,
    ) -> None:
        """A stage took what its condition holds for, or, where it chooses among these, was offered them."""
        names = _names(stage.where)
        takes = "all that is left" if stage.where is None else canonical(stage.where)
        left = left.copy()

        def account(row: int) -> Met | None:
            if not left[row]:
                return None
            verdict = ("offered" if chosen else "taken") if able[row] else "not taken"
            rule = f"stage {stage.name}: {takes}"
            return Met(node=node, rule=rule, verdict=verdict, values=values_of(frame, names, row))

        self._note(account)

    def drawn(
        self,
        node: nodes.Node,
        rule: str,
        rows: kernels.U32,
        draws: int,
        at: nodes.Location | None = None,
    ) -> None:
        """Not all that a stage could draw is drawn: `rows` are those of the uses in the order in which they are chosen."""

        def account(row: int) -> Met | None:
            ranks = between(rows, row, row)
            if not len(ranks):
                return None
            times = int((ranks < draws).sum())
            return Met(
                node=node,
                rule=rule,
                verdict=("drawn" if times == 1 else f"drawn {times} times") if times else "not drawn",
                rank=int(ranks[0]) + 1,
                threshold=draws,
                of=len(rows),
                note="" if draws else "its share comes to no draw",
                at=at,
            )

        self._note(account)


def values_of(frame: pl.DataFrame, names: Sequence[str], row: int) -> dict[str, Any]:
    """Some cells of a row."""
    return frame[row : row + 1].select(names).row(0, named=True) if names else {}


def named(frame: pl.DataFrame, row: int) -> str:
    """A sample as people know it: pool and upstream key."""
    pool, key = frames.pool_and_key(frame, row)
    return f"`{pool} {key}`" if key is not None else f"`{pool}`"


def _equals(keys: kernels.Keys, row: int) -> kernels.U32:
    """The samples with the id of this one, of which it is one."""
    (high,), (low,), *_ = table.keys_of(keys, np.array([row], dtype=np.uint32))
    first, found = 0, []
    for piece in keys.high:
        found.append(between(piece, int(high[0]), int(high[0])) + first)
        first += len(piece)
    near: kernels.U32 = np.concatenate(found).astype(np.uint32)
    same: kernels.U32 = near[table.keys_of(keys, near).low[0] == low[0]]
    return same


def _names(where: Expression | None) -> list[str]:
    """The columns of an expression, each once."""
    return [] if where is None else list(dict.fromkeys(column.name for column in columns(where)))


def _cap(refused_by: int, operation: nodes.Select, stratified: bool) -> nodes.Cap | None:
    """The cap that refused a sample, if one did: 0 is the budget, and strata come before caps."""
    number = refused_by - 1 - stratified
    return operation.caps[number] if number >= 0 else None


def _refusal(refused_by: int, cap: nodes.Cap | None, stratified: bool) -> str:
    """What a sample that was left lost to."""
    if cap is not None:
        return f"{cap_text(cap)} is reached"
    return "its stratum has its share" if stratified and refused_by <= 1 else "the budget is used up"
