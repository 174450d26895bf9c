"""The ledger says what the weights have seen, whatever was killed when."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import LedgerError
from runtime.ledger import FILE, Begin, Ledger, Tombstone, read

BATCH = 4


def begin(step: int, world: int = 1, start: int | None = None) -> Begin:
    at = step * BATCH if start is None else start
    return Begin(manifest="a" * 32, folder="../out", world=world, global_batch=BATCH, step=step, start=at)


def take(ledger: Ledger, first: int, stop: int) -> None:
    for step in range(first, stop):
        ledger.step(step, step * BATCH, (step + 1) * BATCH, [Tombstone(step * BATCH, "gone")] if step % 5 == 0 else [])


#: Lives of a run: so many steps after the checkpoint it began at, a checkpoint every so many, and how many bytes of its
#: last line a kill took away.
LIVES = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5), st.integers(0, 60), st.integers(1, 3)), min_size=1)


@given(lives=LIVES)
def test_what_counts_is_what_led_to_the_last_life(
    lives: list[tuple[int, int, int, int]], tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("run")
    at = undone = 0
    kept: list[tuple[int, int]] = []  # The model: (step, world) of the weights as they are.
    for steps, every, cut, world in lives:
        undone += len(kept) - at
        del kept[at:]
        checkpoints = [at] if at else []
        with Ledger(folder, begin(at, world)) as ledger:
            for step in range(at, at + steps):
                take(ledger, step, step + 1)
                kept.append((step, world))
                if (step + 1) % every == 0:
                    ledger.checkpoint(step + 1)
                    checkpoints.append(step + 1)
        history = read(folder)
        assert [(found.step, found.begin.world) for found in history.steps] == kept
        assert [(found.start, found.stop) for found in history.steps] == [
            (step * BATCH, step * BATCH + BATCH) for step, _ in kept
        ]
        assert all(bool(found.tombstones) == (found.step % 5 == 0) for found in history.steps)
        assert history.undone == undone and not history.torn
        assert set(checkpoints) <= set(history.checkpoints)
        # A kill in the middle of one more line.
        path = folder / FILE
        with path.open("ab") as file:
            file.write(b'{"kind":"step","step":99999,"start":1,"stop":2}'[:cut])
        torn = read(folder)
        assert torn.steps == history.steps and torn.torn == (cut > 0)
        at = max((found for found in checkpoints if found <= len(kept)), default=0)
    assert [found.step for found in read(folder).steps] == list(range(len(kept)))


@given(size=st.integers(0, 2000))
def test_a_ledger_cut_anywhere_gives_a_prefix(size: int, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("run")
    with Ledger(folder, begin(0)) as ledger:
        take(ledger, 0, 9)
        ledger.checkpoint(9)
    whole = read(folder)
    data = (folder / FILE).read_bytes()
    os.truncate(folder / FILE, min(size, len(data)))
    cut = read(folder)
    assert cut.steps == whole.steps[: len(cut.steps)]
    assert cut.torn == (data[: min(size, len(data))][-1:] not in (b"", b"\n"))


def test_a_run_goes_on_where_its_ledger_ends_or_before(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is none that says what came before step 3"):
        Ledger(tmp_path, begin(3))
    with Ledger(tmp_path, begin(0)) as ledger:
        take(ledger, 0, 5)
    with pytest.raises(LedgerError, match="it knows 5 steps, and the run goes on after 6"):
        Ledger(tmp_path, begin(6))
    with pytest.raises(LedgerError, match="there is no step 5; it has steps 0 to 4"):
        read(tmp_path).step(5)
    with pytest.raises(LedgerError, match="there is no checkpoint 2; it has none"):
        read(tmp_path).seen_by(2)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{}",
        "not json",
        '{"kind":"step","step":7,"start":0,"stop":4}',
        '{"kind":"begin","ledger":1}',
        '{"kind":"checkpoint","step":5}',
        '{"kind":"begin","ledger":1,"manifest":"","folder":"","world":1,"global_batch":1,"step":2,"start":0}',
    ],
)
def test_a_line_that_is_none_of_ours_is_told(tmp_path: Path, line: str) -> None:
    with Ledger(tmp_path, begin(0)) as ledger:
        take(ledger, 0, 1)
    with (tmp_path / FILE).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(LedgerError, match="line 3 is not one that a run writes"):
        read(tmp_path)


def test_another_version_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"kind":"begin","ledger":2}\n')
    with pytest.raises(LedgerError, match="line 1 is of a version that is not read"):
        read(tmp_path)


def test_there_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="a run's folder is one that was trained into"):
        read(tmp_path)
