"""A watch follows a few samples through a run and writes down every rule they meet: value, rank, threshold, verdict.

It looks at what the rules did and never takes part in it: a watched run selects what an unwatched one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recipe_compiler import kernels
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import cap_text, describe
from recipe_compiler.syntax.expression import Expression, canonical, columns

#: A record: the number of its source among all sources, and the byte it begins at.
Place: TypeAlias = tuple[int, int]


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


class Watch:
    """Follows the records at these places."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.met: dict[Place, list[Met]] = {place: [] for place in places}

    def rows(self, frame: pl.DataFrame) -> dict[Place, int]:
        """The row of each watched record that is in a table."""
        sources = sorted({source for source, _ in self.met})
        offsets = sorted({offset for _, offset in self.met})
        near = frame.with_row_index("@at").select("@at", "source", "offset")
        near = near.filter(pl.col("source").is_in(sources) & pl.col("offset").is_in(offsets))
        found = {(source, offset): at for at, source, offset in near.iter_rows()}
        return {place: found[place] for place in self.met if place in found}

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
        for place, row in self.rows(frame).items():
            if not alive[row]:
                continue
            verdict = "kept" if kept[row] else "dropped"
            values = frame.select(names).row(row, named=True) if names else {}
            self.met[place].append(Met(node=node, rule=describe(operation), verdict=verdict, values=values))

    def deduplicated(
        self,
        node: nodes.Node,
        operation: nodes.Deduplicate,
        frame: pl.DataFrame,
        alive: kernels.Bools,
        kept: kernels.Bools,
    ) -> None:
        """They were the first of their equals, or not."""
        high, low = frame["id_high"], frame["id_low"]
        for place, row in self.rows(frame).items():
            if not alive[row]:
                continue
            equals = np.flatnonzero(((high == high[row]) & (low == low[row])).to_numpy() & alive)
            note = "" if len(equals) == 1 else f"{len(equals)} samples are the same"
            if not kept[row]:
                first = frame.select("pool", "key").row(int(equals[kept[equals]][0]))
                note = f"the same as `{' '.join(filter(None, first))}`, which is kept"
            verdict = "kept" if kept[row] else "dropped"
            self.met[place].append(Met(node=node, rule=describe(operation), verdict=verdict, note=note))

    def selected(
        self,
        node: nodes.Node,
        operation: nodes.Select,
        frame: pl.DataFrame,
        order: tuple[kernels.U32, kernels.U32],
        taken: kernels.Taken,
        stratum: tuple[kernels.U32, Sequence[str]] | None,
    ) -> None:
        """The walk along the keyed order (rows and passes) took them or left them; ranks are inside the stratum."""
        rows, passes = order
        # A use is taken where its row was taken more often than in the passes before.
        took = taken.times[rows] > passes
        uses = np.ones(len(rows), dtype=bool)
        for place, row in self.rows(frame).items():
            if not (rows == row).any():
                continue
            values: dict[str, Any] = {"tokens": frame["tokens"][row]} if operation.budget.tokens is not None else {}
            if stratum is not None:
                group, names = stratum
                uses = group[rows] == group[row]
                values[", ".join(operation.by)] = names[group[row]]
            inside = rows[uses]
            times = int(taken.times[row])
            threshold = int(np.flatnonzero(took[uses])[-1]) + 1 if took[uses].any() else 0
            refused = int(taken.refused_by[row])
            cap = None if times else _cap(refused, operation, stratum is not None)
            if cap is not None:
                names = [cap.by] if cap.by is not None else [] if cap.where is None else _names(cap.where)
                values |= frame.select(names).row(row, named=True)
            self.met[place].append(
                Met(
                    node=node,
                    rule=describe(operation),
                    verdict=("taken" if times == 1 else f"taken {times} times") if times else "left out",
                    values=values,
                    rank=int(np.argmax(inside == row)) + 1,
                    threshold=threshold,
                    of=len(inside),
                    note="" if times else _refusal(refused, cap, stratum is not None),
                )
            )

    def ranked(
        self,
        node: nodes.Node,
        frame: pl.DataFrame,
        preference: tuple[int, kernels.Keys, kernels.F64 | None],
        able: kernels.Bools,
        taken: kernels.Bools,
        strata: tuple[str, kernels.U32, Sequence[str]] | None,
        reckoned: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """A method took the first of each stratum in an order of preference; ranks are inside the stratum.

        `reckoned` are other numbers of each row that the score comes from.
        """
        key, keys, scores = preference
        for place, row in self.rows(frame).items():
            if not able[row]:
                continue
            values: dict[str, Any] = {} if scores is None else {"score": float(scores[row])}
            values |= {name: column[row].item() for name, column in (reckoned or {}).items()}
            inside = able
            if strata is not None:
                column, group, names = strata
                inside = able & (group == group[row])
                values[column] = names[group[row]]
            order = kernels.best_first(key, keys, rows=np.flatnonzero(inside).astype(np.uint32), scores=scores)
            last = np.flatnonzero(taken[order])
            # A band begins below the best.
            first = int(last[0]) + 1 if len(last) else 1
            self.met[place].append(
                Met(
                    node=node,
                    rule=describe(node.operation),
                    verdict="taken" if taken[row] else "left out",
                    values=values,
                    rank=int(np.flatnonzero(order == row)[0]) + 1,
                    threshold=int(last[-1]) + 1 if len(last) else 0,
                    of=len(order),
                    note=f"the band begins at rank {first:,}" if first > 1 else "",
                )
            )

    def judged(
        self,
        node: nodes.Node,
        frame: pl.DataFrame,
        able: kernels.Bools,
        taken: kernels.Bools,
        reasons: Callable[[int], Mapping[str, Any]],
    ) -> None:
        """A method took some of those that it could take. `reasons` gives what `Met` is to say of a row."""
        for place, row in self.rows(frame).items():
            if able[row]:
                verdict = "taken" if taken[row] else "left out"
                self.met[place].append(Met(node=node, rule=describe(node.operation), verdict=verdict, **reasons(row)))

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
        names = [] if stage.where is None else _names(stage.where)
        takes = "all that is left" if stage.where is None else canonical(stage.where)
        for place, row in self.rows(frame).items():
            if not left[row]:
                continue
            verdict = ("offered" if chosen else "taken") if able[row] else "not taken"
            values = frame.select(names).row(row, named=True) if names else {}
            self.met[place].append(Met(node=node, rule=f"stage {stage.name}: {takes}", verdict=verdict, values=values))

    def drawn(
        self,
        node: nodes.Node,
        rule: str,
        frame: pl.DataFrame,
        rows: kernels.U32,
        draws: int,
        at: nodes.Location | None = None,
    ) -> None:
        """Not all that a stage could draw is drawn: `rows` are those of the uses in the order in which they are chosen."""
        for place, row in self.rows(frame).items():
            ranks = np.flatnonzero(rows == row)
            if not len(ranks):
                continue
            times = int((ranks < draws).sum())
            self.met[place].append(
                Met(
                    node=node,
                    rule=rule,
                    verdict=("drawn" if times == 1 else f"drawn {times} times") if times else "not drawn",
                    rank=int(ranks[0]) + 1,
                    threshold=draws,
                    of=len(rows),
                    note="" if draws else "its share comes to no draw",
                    at=at,
                )
            )


def _names(where: Expression) -> list[str]:
    """The columns of an expression, each once."""
    return list(dict.fromkeys(column.name for column in columns(where)))


def _cap(refused_by: int, operation: nodes.Select, stratified: bool) -> nodes.Cap | None:
    """The cap that refused a sample, if one did: 0 is the budget, and strata come before caps."""
    number = refused_by - 1 - stratified
    return operation.caps[number] if number >= 0 else None


def _refusal(refused_by: int, cap: nodes.Cap | None, stratified: bool) -> str:
    """What a sample that was left lost to."""
    if cap is not None:
        return f"{cap_text(cap)} is reached"
    return "its stratum has its share" if stratified and refused_by <= 1 else "the budget is used up"
