"""mmSSR: the kernel is the oracle, for any number of threads, and keeps the churn that it promises."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from recipe_compiler import kernels
from tests.methods import mmssr_oracle
from tests.methods.mmssr_oracle import Outcome, Sample
from tests.support import REPOSITORY

SEED = 7


@dataclass(frozen=True)
class Pool:
    """Samples in cells, each a list of bins; the scores of each capability, NaN where there is none."""

    ids: Sequence[int]
    cell: Sequence[int]
    cells: Sequence[Sequence[str]]
    scores: dict[str, list[float]]


def any_pool(rng: random.Random, *, most_styles: int = 5) -> Pool:
    """A small pool: few scores and many ties, or many scores; with empty capabilities and samples without a bin."""
    num = rng.choice([1, 5, 30, 80, 200])
    names = [f"b{at:02}" for at in range(rng.randint(1, 12))]
    kind = rng.choice(["whole", "halves", "any", "nothing"])

    def score() -> float:
        if rng.random() < 0.1:
            return float("nan")
        any_number = rng.choice([5 * rng.random(), 2.5])
        return {"whole": rng.randint(0, 5), "halves": rng.randint(-2, 6) / 2, "any": any_number, "nothing": 0}[kind]

    sizes = [rng.choice([0, 1, 1, 2, 3, 5]) if most_styles > 1 else 1 for _ in range(rng.randint(1, 15))]
    cells = [rng.sample(names, min(len(names), size)) for size in sizes]
    capabilities = [f"c{at}" for at in range(rng.randint(1, 6))]
    scores = {name: [float(score()) for _ in range(num)] for name in capabilities}
    if kind == "nothing" and len(capabilities) > 1:
        scores[capabilities[-1]] = [float(rng.randint(0, 5)) for _ in range(num)]
    ids = [rng.getrandbits(64) for _ in range(num)]
    return Pool(ids=ids, cell=[rng.randrange(len(cells)) for _ in range(num)], cells=cells, scores=scores)


def by_kernel(
    pool: Pool,
    budget: int,
    *,
    threshold: float = 0,
    compat: bool = False,
    most: int = 254,
    names: Sequence[str] = (),
    split: int | None = None,
) -> Outcome:
    """What the kernel takes; bins are numbered by name. With `split`, cells are bytes, in pieces that part there."""
    capabilities = list(pool.scores)
    names = names or sorted({name for cell in pool.cells for name in cell})
    able = np.array([bool(pool.cells[cell]) for cell in pool.cell], dtype=np.bool_)
    cell = np.array(pool.cell, dtype=np.uint32)
    narrow = cell.astype(np.uint8)
    columns = []
    for name in capabilities:
        scores = np.array(pool.scores[name])
        found = kernels.levels(scores, able, over=threshold, most=most)
        columns.append(kernels.Capability([found.codes], None, None if found.exact else scores))
    got = kernels.mmssr(
        SEED,
        keys_of(pool),
        able=able,
        bins=kernels.Bins(
            cell=cell if split is None else [narrow[:split], narrow[split:split], narrow[split:]],
            starts=np.cumsum([0, *map(len, pool.cells)]).astype(np.uint32),
            bins=np.array([names.index(name) for cell in pool.cells for name in cell], dtype=np.uint32),
        ),
        capabilities=columns,
        budget=budget,
        compat=compat,
    )
    scored = np.array([np.array(scores) > threshold for scores in pool.scores.values()]) & able
    assert (got.able, list(got.available)) == (scored.any(axis=0).sum(), scored.sum(axis=1).tolist())
    outcome = Outcome()
    for row in np.flatnonzero(got.capability).tolist():
        bin_ = pool.cells[pool.cell[row]][got.place[row]]
        outcome.charged[row] = (capabilities[got.capability[row] - 1], bin_)
    for turn in zip(got.rounds.tolist(), got.capabilities, got.bins, got.taken.tolist(), strict=True):
        outcome.turns[turn[0], capabilities[turn[1]], names[turn[2]]] = turn[3]
    return outcome


def keys_of(pool: Pool) -> kernels.Keys:
    ids, zero = np.array(pool.ids, dtype=np.uint64), np.zeros(len(pool.ids), dtype=np.uint32)
    return kernels.Keys(high=[ids], low=[ids], occurrence=zero, pool=zero)


def samples_of(pool: Pool) -> list[Sample]:
    keys = keys_of(pool)
    hashes = kernels.keyed_order(SEED, keys, turn=np.zeros(len(pool.ids), dtype=np.uint64))
    return [
        Sample((number,), pool.cells[pool.cell[at]], {name: scores[at] for name, scores in pool.scores.items()})
        for at, number in enumerate(hashes.tolist())
    ]


@pytest.mark.parametrize("compat", [False, True])
def test_the_kernel_takes_what_the_oracle_takes(compat: bool) -> None:
    for seed in range(600):
        rng = random.Random(seed)  # noqa: S311
        pool = any_pool(rng)
        budget = rng.choice([0, 1, 2, 3, len(pool.ids) // 3, len(pool.ids) // 2, len(pool.ids), len(pool.ids) + 5])
        threshold, most = rng.choice([0, 0, 1, 2.5]), rng.choice([2, 3, 254])
        wanted = mmssr_oracle.mmssr(samples_of(pool), list(pool.scores), budget, threshold=threshold, compat=compat)
        split = rng.choice([None, 0, rng.randrange(len(pool.ids))])
        got = by_kernel(pool, budget, threshold=threshold, compat=compat, most=most, split=split)
        assert got.charged == wanted.charged, seed
        assert got.turns == wanted.turns, seed
        scored = {
            at
            for at, sample in enumerate(samples_of(pool))
            if sample.bins and any(score is not None and score > threshold for score in sample.scores.values())
        }
        assert len(got.charged) == min(budget, len(scored))


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("kind", [6, 10_000])
def test_many_ties_are_taken_as_the_oracle_takes_them(compat: bool, kind: int) -> None:
    rng = random.Random(kind)  # noqa: S311
    cells = [["x"], ["y"], ["x", "y"], ["y", "x", "z"], ["z"], ["w", "x"]]
    num = 6_000
    scores = {f"c{at}": [float(rng.randrange(kind)) for _ in range(num)] for at in range(5)}
    weights = [30, 20, 10, 5, 3, 1]
    cell = rng.choices(range(len(cells)), weights, k=num)
    pool = Pool(ids=[rng.getrandbits(64) for _ in range(num)], cell=cell, cells=cells, scores=scores)
    for budget in (7, 600, 2_500):
        wanted = mmssr_oracle.mmssr(samples_of(pool), list(scores), budget, compat=compat)
        for split in (None, 4_999):
            assert by_kernel(pool, budget, compat=compat, split=split).charged == wanted.charged


THREADS = """\
import random
from tests.methods.test_mmssr import Pool, any_pool, by_kernel
for seed in range(6):
    rng = random.Random(seed)
    pool = any_pool(rng)
    num = 400 * len(pool.ids)
    ids = [rng.getrandbits(64) for _ in range(num)]
    scores = {name: scores * 400 for name, scores in pool.scores.items()}
    found = by_kernel(Pool(ids, [*pool.cell] * 400, pool.cells, scores), num // 10)
    print(sorted(found.charged.items()), sorted(found.turns.items()))
"""


def test_the_result_is_the_same_for_any_number_of_threads() -> None:
    def found(threads: int) -> str:
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "PYTHONPATH": str(REPOSITORY)}
        program = [sys.executable, "-c", THREADS]
        return subprocess.run(
            program, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout

    assert len(one := found(1)) > 10_000
    assert found(3) == one


def same_order(one: Outcome, other: Outcome) -> bool:
    """Whether the bins of both stand in the same order in every turn that both have."""
    both = set(one.turns) & set(other.turns)
    return [turn for turn in one.turns if turn in both] == [turn for turn in other.turns if turn in both]


def moved(one: Outcome, other: Outcome) -> int:
    """The bound's sum: how far apart the turns are in what they took of each bin."""
    return sum(abs(one.turns[turn] - other.turns[turn]) for turn in set(one.turns) | set(other.turns))


@pytest.mark.parametrize("styles", [1, 5])
def test_selections_differ_by_no_more_than_their_turns_and_twice_the_samples_that_come_and_go(styles: int) -> None:
    compared = 0
    for seed in range(400):
        rng = random.Random(seed)  # noqa: S311
        pool = any_pool(rng, most_styles=styles)
        names = [f"b{at:02}" for at in range(12)]
        budget = rng.randint(1, max(len(pool.ids), 1))
        kept = [at for at in range(len(pool.ids)) if rng.random() < 0.95]
        less = replace(
            pool,
            ids=[pool.ids[at] for at in kept],
            cell=[pool.cell[at] for at in kept],
            scores={name: [scores[at] for at in kept] for name, scores in pool.scores.items()},
        )
        compat = rng.random() < 0.5
        before = by_kernel(pool, budget, compat=compat, names=names)
        for other, more, rows in (
            (pool, rng.randint(1, 9), list(range(len(pool.ids)))),
            (less, 0, kept),
            (less, rng.randint(0, 9), kept),
        ):
            after = by_kernel(other, budget + more, compat=compat, names=names)
            # A sample of several styles may be wanted by several bins, and then it matters which comes first.
            if styles > 1 and not same_order(before, after):
                continue
            different = {*before.charged} ^ {rows[at] for at in after.charged}
            assert len(different) <= moved(before, after) + 2 * (len(pool.ids) - len(rows)), seed
            compared += 1
    assert compared > 400


def test_capabilities_and_bins_have_equal_parts_where_they_can() -> None:
    for seed in range(200):
        pool = any_pool(random.Random(seed), most_styles=1)  # noqa: S311
        samples, capabilities = samples_of(pool), list(pool.scores)
        budget = max(1, len(pool.ids) // 4)
        got = by_kernel(pool, budget)
        first = [taken for (number, _, _), taken in got.turns.items() if number == 0]
        assert sum(first) <= budget
        ranks = {name: mmssr_oracle.ranking(samples, name, 0, compat=False) for name in capabilities}
        for name in capabilities:
            charged = [at for at, (capability, _) in got.charged.items() if capability == name]
            left = [at for bins in ranks[name].values() for at in bins if at not in got.charged]
            others = [sum(1 for found, _ in got.charged.values() if found == other) for other in capabilities]
            # Who has fewer than another one, by more than rounding, has nothing left to take.
            if len(charged) + 1 < max(others):
                assert not left, seed
