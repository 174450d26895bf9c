"""One selection carried out on a small table, without files of data, and what an oracle needs to know of its order."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from recipe_compiler import kernels
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute.methods import take
from recipe_compiler.execute.task import Chosen, Samples, Task, order_key
from recipe_compiler.execute.watch import Met, Watch
from recipe_compiler.pipeline import Checked, check_recipe
from tests.support import write_recipe

SEED = 5


@dataclass(frozen=True, slots=True)
class Table:
    """Samples by (id, occurrence, pool); other columns; which of them are offered."""

    names: Sequence[tuple[int, int, str]]
    columns: Mapping[str, pl.Series]
    alive: Sequence[bool]

    def without(self, rows: Sequence[int]) -> Table:
        """The table without some rows."""
        kept = [row for row in range(len(self.names)) if row not in rows]
        columns = {name: column.gather(kept) for name, column in self.columns.items()}
        return Table([self.names[row] for row in kept], columns, [self.alive[row] for row in kept])

    @property
    def frame(self) -> pl.DataFrame:
        """As the compiler has it."""
        num = len(self.names)
        return pl.DataFrame(
            {
                "pool": pl.Series([pool for _, _, pool in self.names], dtype=pl.Enum(["a", "b"])),
                "key": [f"k{row}" for row in range(num)],
                "id_high": pl.Series([name[0] for name in self.names], dtype=pl.UInt64),
                "id_low": pl.Series([7] * num, dtype=pl.UInt64),
                "occurrence": pl.Series([name[1] for name in self.names], dtype=pl.UInt32),
                "source": pl.Series([0] * num, dtype=pl.UInt32),
                "offset": pl.Series(range(num), dtype=pl.UInt64),
                "tokens": pl.Series([1 + name[0] % 4 for name in self.names], dtype=pl.UInt32),
                **self.columns,
            }
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method did."""

    chosen: Chosen
    findings: Findings
    met: Sequence[Met | None]
    frame: pl.DataFrame

    @property
    def rows(self) -> set[int]:
        """The rows that it took."""
        assert self.chosen.times.max(initial=0) <= 1
        return set(np.flatnonzero(self.chosen.times).tolist())


@cache
def _checked(text: str) -> Checked:
    with tempfile.TemporaryDirectory() as folder:
        return check_recipe(write_recipe(Path(folder), text), Findings())


def keys_of(frame: pl.DataFrame) -> kernels.Keys:
    """What tells the rows apart."""
    high, low, occurrence = (frame[name].to_numpy() for name in ("id_high", "id_low", "occurrence"))
    return kernels.Keys(
        high=[high], low=[low], occurrence=occurrence, pool=frame["pool"].to_physical().cast(pl.UInt32).to_numpy()
    )


def keyed_hashes(seed: int, high: kernels.U64, low: kernels.U64, turn: kernels.U64) -> kernels.U64:
    """The keyed hashes of ids, by their halves."""
    zero = np.zeros(len(turn), dtype=np.uint32)
    return kernels.keyed_order(seed, kernels.Keys(high=[high], low=[low], occurrence=zero, pool=zero), turn=turn)


def carry_out(select: Mapping[str, Any], table: Table, *, watched: bool = False) -> Outcome:
    """Carries out a selection of a recipe."""
    recipe = {"recipe": 1, "name": "mix", "seed": SEED, "pools": {"a": {"source": "a.jsonl"}}, "select": select}
    findings, checked = Findings(), _checked(json.dumps(recipe))
    (node,) = [node for node in checked.plan.nodes if node.at[:1] == ("select",)]
    frame = table.frame
    samples = Samples(frame=frame, keys=keys_of(frame), alive=np.array(table.alive, dtype=np.bool_))
    watch = Watch() if watched else None
    task = Task(samples=samples, node=node, checked=checked.recipe, findings=findings, watch=watch)
    chosen = take(task, node.operation)  # type: ignore[arg-type]
    met = [next(iter(watch.met(row)), None) for row in range(frame.height)] if watch is not None else []
    return Outcome(chosen, findings, met, frame)


def tie_breaks(table: Table) -> list[tuple[int, int, int, str]]:
    """What orders rows of one score: smaller is earlier."""
    keys = keys_of(table.frame)
    hashes = kernels.keyed_order(order_key(SEED, "select"), keys, turn=keys.occurrence.astype(np.uint64))
    return [(int(found), *name) for found, name in zip(hashes.tolist(), table.names, strict=True)]


@st.composite
def names(draw: st.DrawFn, most: int = 24) -> list[tuple[int, int, str]]:
    """Samples, some of which are equal in their content."""
    name = st.tuples(st.integers(0, 30), st.integers(0, 1), st.sampled_from(["a", "b"]))
    return draw(st.lists(name, min_size=1, max_size=most, unique=True))
