"""The Rust core: typed, arrays in and arrays out, and what each kernel promises.

Every kernel is a pure function of its arguments, for any number of threads. A broken contract raises `KernelError` (a bug).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import _core, core

KernelError = _core.KernelError
LARGEST_PACK = core.LARGEST_PACK
digest_file, digest_parts, unwrap = core.digest_file, core.digest_parts, core.unwrap
_call = core.call

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
Bools = NDArray[np.bool_]
#: How often each row is taken: a byte where no row is taken twice.
Times: TypeAlias = U8 | U32


def multiset_digest(domain: str, ids: NDArray[Any]) -> tuple[str, int]:
    """A digest of 16-byte ids in no order, under a name of its own, and how many different ones there are."""
    digest, distinct = _core.multiset_digest(domain, np.ascontiguousarray(ids).view(np.uint8))
    return digest.hex(), distinct


def row_checks(columns: Sequence[NDArray[Any]]) -> U32:
    """A checksum of each row, over its cells as little-endian bytes: which row of a damaged table is damaged."""
    arrays = [np.ascontiguousarray(column) for column in columns]
    widths = [array.dtype.itemsize for array in arrays]
    return _core.row_checks([array.view(np.uint8) for array in arrays], widths)


def shard_file(columns: Mapping[str, NDArray[Any]], packed: Container[str], *, group: int, note: tuple[str, str]) -> U8:
    """The Parquet file of columns of unsigned numbers and of bytes, in groups of so many rows, with a key and its text.

    Numbers of the columns that are `packed` stand there as differences.
    """
    cells = [
        (name, column.dtype.itemsize, name in packed, np.ascontiguousarray(column).view(np.uint8))
        for name, column in columns.items()
    ]
    return _core.shard_file(cells, group, note)


def elementary(name: str, values: F64) -> F64:
    """`log` or `exp` of each value, the same to the last bit on every machine."""
    return _core.elementary(name, values)


class Keys(NamedTuple):
    """What tells samples apart: the halves of the id, which lie in pieces, the occurrence among equals, the pool's number."""

    high: Sequence[U64]
    low: Sequence[U64]
    occurrence: U32
    pool: U32


def keyed_order(seed: int, keys: Keys, *, turn: U64) -> U64:
    """The keyed hash of each row (XXH3-64 of id and turn): sorting by it is the shuffle.

    A row's number depends on the seed and the row alone, so that other rows coming or going never reshuffle it.
    """
    return _core.keyed_order(seed, keys, turn)


def ranking(seed: int, keys: Keys, *, rows: U32, passes: U32) -> U32:
    """The keyed order of uses of rows (use `k` is of row `rows[k]` in pass `passes[k]`), as the uses' numbers.

    By pass, then keyed hash; ties by id, occurrence and pool, so that the order is total.
    """
    return _core.ranking(seed, keys, rows, passes)


def ranked_rows(seed: int, keys: Keys, *, rows: U32, passes: U32) -> U32:
    """The rows of uses in their keyed order (see `ranking`)."""
    return _core.ranked_rows(seed, keys, rows, passes)


def sample_ids(keys: Keys, rows: U32) -> NDArray[np.void]:
    """The ids of rows as 16-byte items."""
    return _core.sample_ids(keys, rows).view("V16")


class Repeated(NamedTuple):
    """Rows of which another one has the same id, and the number of the set that each is of: set by set, by the first row
    of each, and those of a set in order."""

    rows: U32
    sets: U32


def first_of_equals(keys: Keys, repeated: Repeated, alive: Bools) -> Bools:
    """Marks one row of each set of equal samples among those alive: the first occurrence in the first pool.

    `repeated` may hold rows of which no other one has the same id any more.
    """
    return _core.first_of_equals(keys, repeated, alive)


def repeated(high: Sequence[U64], low: Sequence[U64], ends: U64) -> tuple[Repeated, Bools]:
    """(the rows of which another one has the same id; whether the one before each is of the same set and lies in the same
    pool). The halves of ids lie in pieces. Pools lie one behind another, and these are their ends."""
    rows, sets, again = _core.repeated(high, low, ends)
    return Repeated(rows, sets), again


def number_equals(rows: U32, again: Bools, occurrence: U32) -> None:
    """Writes, for each of the rows of sets of equals that is marked, how many of its set and pool stand before it."""
    _core.number_equals(rows, again, occurrence)


def totals(group: U32, groups: int, *, weights: U64 | None = None, alive: Bools | None = None) -> U64:
    """The sum of the weights (without them, the number) of the rows of each group; with `alive`, of those alone."""
    return _core.totals(group, groups, weights, alive)


def shared_numbers(first: Keys, second: Keys) -> tuple[U32, U32, int]:
    """Numbers the samples of two tables so that equal numbers are equal samples; also how many numbers there are."""
    return _core.shared_numbers(first, second)


def earlier_equals(items: U32, kinds: int) -> U32:
    """For each item (a number below `kinds`), how many equal ones stand before it."""
    return _core.earlier_equals(items, kinds)


def occurrences(items: U32, kinds: int) -> tuple[U64, I64]:
    """For each number below `kinds`, how often it stands among the items and at which place first; -1 where it does not."""
    return _core.occurrences(items, kinds)


def interleave(counts: U64) -> U32:
    """The source of each of `sum(counts)` draws, every prefix within one draw of each source's ideal.

    Tijdeman, The chairman assignment problem (1980): after `t` draws, `|drawn[k] - t * counts[k] / total| < 1`.
    """
    return _core.interleave(counts)


def pace(easiest: U32, *, start: tuple[int, int], root: bool) -> U32:
    """The order in which items are drawn once each while what may be drawn grows from the easiest `start` share to all.

    `easiest` are the items `0..n` from the easiest to the hardest; the smallest number among those that may be drawn and
    are not yet is next. Competence by root or linear growth: Platanios et al., arXiv 1903.09848.
    """
    return _core.pace(easiest, start, root)


def stratify(group: U32, groups: int, rows: int) -> U32:
    """The positions of draws in an order in which each batch of `rows` has of each group the floor or the ceiling of its
    exact share; so has the rest at the end. Draws of one group keep their order, and so do those of one batch."""
    return _core.stratify(group, groups, rows)


def anchor(is_anchor: Bools, micro: int) -> U32:
    """The positions of draws in an order in which each run of `micro` has one that is marked.

    A run without one trades its last draw for a spare one of the nearest run that has several; nothing else moves. With
    fewer marked draws than runs it raises.
    """
    return _core.anchor(is_anchor, micro)


def windows(hashes: U64, reach: int) -> U32:
    """Where windows of draws begin: at 0, and at each draw whose hash is the largest of those up to `reach` before and
    behind it; of equal hashes the first is larger.

    Windows hold at least `reach` draws, on average `2 * reach + 1`. A draw that comes or goes moves no beginning farther
    than `reach` from it: between those that stay at most three windows are other ones.
    """
    return _core.windows(hashes, reach)


def pack(lengths: U32, starts: U32, most: int) -> tuple[U32, Bools]:
    """Packs of at most `most` tokens: best fit, the longest first, in each of the windows that begin at `starts`.

    Gives (the positions of the draws in their new order, which of them begin a pack). A pack stands where its longest draw
    stood and holds its draws in order; of packs that fit equally well the one is taken that came to be so last.
    """
    return _core.pack(lengths, starts, most)


def fill(
    lengths: U32, starts: U32, budget: int, *, measure: Literal["rows", "tokens", "padded"], similar: bool
) -> tuple[U32, Bools]:
    """Batches of as many draws as a budget allows, one after another in each window: (positions, which begin one).

    The budget is of rows, of tokens, or of rows each as long as the longest. With `similar` the longest come first, and a
    batch then stands where its longest draw stood.
    """
    return _core.fill(lengths, starts, budget, measure, similar)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How often each row was taken, and `total` in all.

    `refused_by[i]` is 1 + the first cap that refused row `i`; 0 where none did, or the budget was used up before.
    """

    times: U32
    refused_by: U8
    total: int


def take(
    seed: int,
    keys: Keys,
    *,
    alive: Bools,
    passes: int,
    costs: U64 | None,
    budget: int,
    caps: Sequence[tuple[U32, U64]],
) -> Taken:
    """Walks the rows that are alive in their keyed order, pass after pass, and takes what the budget and every cap allow.

    A cap is (group of each row, limit of each group). Without costs each use of a row costs one. What is taken of a
    group is a prefix of its uses, so a larger budget or cap only ever adds.
    """
    times, refused_by, total = _core.take(seed, keys, alive, passes, (costs, budget, list(caps)))
    return Taken(times=times, refused_by=refused_by, total=total)


def best(
    seed: int,
    keys: Keys,
    *,
    alive: Bools,
    scores: F64 | None,
    group: U32,
    limits: U64,
    costs: U64 | None = None,
) -> Bools:
    """Marks, of each group, the first rows in the order of (score, largest first; keyed hash; id), up to its limit.

    Without costs a limit counts rows; with them it bounds their sum, and a group is closed by the first row that does
    not fit. `scores` are finite. So a larger limit only ever adds.
    """
    return _core.best(seed, keys, alive, (scores, costs), group, limits)


def best_first(seed: int, keys: Keys, *, rows: U32, scores: F64 | None) -> U32:
    """The rows in the order in which `best` takes them."""
    return _core.best_first(seed, keys, rows, scores)


class Codes(NamedTuple):
    """Values of many columns, a few bits each: the words, and (word, first bit, number of values) of each column."""

    words: list[U64]
    fields: list[tuple[int, int, int]]


class Bits(NamedTuple):
    """Whether something holds for each row, a bit each, from the lowest of a byte on; the first row's is that at `start`."""

    packed: U8
    start: int
    rows: int


def packed_codes(columns: Sequence[U32 | Bits], sizes: Sequence[int]) -> Codes:
    """Packs columns of values below these sizes."""
    return Codes(*_core.packed_codes(list(columns), list(sizes)))


def packed_cells(words: Sequence[U64], alive: Bools) -> tuple[U32, U32]:
    """`cells`, of packed values."""
    return _core.packed_cells(list(words), alive)


def random_part(seed: int, keys: Keys, able: Bools, *, part: int, share: float) -> U32:
    """About such a share of the able rows, by chance that says nothing of `seed`'s keyed order; another one for each `part`."""
    return _core.random_part(seed, keys, able, part, int(share * 2**64))


def nearness(seed: int, keys: Keys, *, able: Bools, drawn: Bools, steps: int) -> F64:
    """What each row is worth to a draw that is to be as near as can be to the random one of those `drawn`: 1 to `steps`
    where it is drawn, and -1 to `-1 - steps` where it is not, by how many `steps`-ths of the draw's length its keyed hash
    lies from the end of the draw; 0 where it is not able."""
    return _core.nearness(seed, keys, able, drawn, float(steps))


def nearest_to_nothing(values: F64, among: Bools, most: int) -> Bools:
    """Marks the rows among those marked whose values are nearest to 0: `most` of them, and their equals."""
    return _core.nearest_to_nothing(values, among, most)


def rank_of(seed: int, keys: Keys, scores: F64 | None, *, marks: Bools, row: int, turn: int = 0) -> int:
    """How many of the marked rows `best` takes before this one (in the walk's pass `turn`)."""
    return _core.rank_of(seed, keys, scores, marks, (row, turn))


def last_of(seed: int, keys: Keys, scores: F64 | None, *, marks: Bools, turn: int = 0) -> int:
    """The marked row that `best` would take last (in the walk's pass `turn`). There is one."""
    return _core.edge_of(seed, keys, scores, marks, (turn, True))


def first_of(seed: int, keys: Keys, scores: F64 | None, *, marks: Bools) -> int:
    """The marked row that `best` would take first. There is one."""
    return _core.edge_of(seed, keys, scores, marks, (0, False))


def cells(columns: Sequence[U32], alive: Bools) -> tuple[U32, U32]:
    """Numbers the different combinations of values of living rows, by the first row that has each.

    Gives (the number of each row, that of dead rows means nothing; the first row of each number).
    """
    return _core.cells(list(columns), alive)


#: The similarity of two vectors that are the same.
WHOLE: Final = 32_767**2


def quantise(values: NDArray[np.float32] | F64, rows: U32) -> tuple[I16, Bools]:
    """Rows of a table of numbers as vectors of one length, in whole numbers, and which of them have a direction.

    A row without one has a number that is not finite, or nothing but zeros. At most 65,536 numbers a row.
    """
    vectors, there = _core.quantise(values, rows)
    return vectors.reshape(len(rows), values.shape[1]), there


def nearest(vectors: I16, most: int) -> tuple[U32, I32]:
    """The `min(most, rows - 1)` nearest others of each vector and their similarities: nearest first, then the earlier.

    Similarities are whole numbers from `-WHOLE` to `WHOLE`, the same on every machine.
    """
    others, near = _core.nearest(vectors, most)
    width = min(most, max(len(vectors) - 1, 0))
    return others.reshape(len(vectors), width), near.reshape(len(vectors), width)


#: How much to take: a number of rows, or a sum of the costs of each; the first row that does not fit is the end.
Limit: TypeAlias = tuple[int, U64 | None]


def distinct(vectors: I16, most: int, limit: Limit) -> tuple[U32, U32]:
    """Takes, in their order, vectors whose similarity to each one taken before is at most `most`.

    Gives (the rows taken, in order; for each row the first taken one that it is too near to, or 2**32 - 1). A larger
    limit only adds at the end, as with all greedy choices here.
    """
    return _core.distinct(vectors, most, limit)


def k_center(vectors: I16, limit: Limit) -> U32:
    """Takes the first vector, then always the one whose largest similarity to a taken one is least; the earlier of equals."""
    return _core.k_center(vectors, limit)


def relevance(vectors: I16, scores: I64, balance: tuple[int, int], limit: Limit) -> U32:
    """Takes always the vector of the largest `part * score - (whole - part) * near`; the earlier of equals.

    `near` is the largest similarity to a taken one, 0 before there is one; `balance` is (part, whole), whole to 1000, and
    scores are in the unit of similarities, to `WHOLE * 10**6`.
    """
    return _core.relevance(vectors, scores, balance, limit)


def facility(vectors: I16, neighbours: int | None, limit: Limit) -> U32:
    """Takes always the vector that adds most to the sum over all of the largest similarity to a taken one, not below 0.

    The earlier of equals. With `neighbours`, a similarity counts only to itself and to so many nearest ones.
    """
    return _core.facility(vectors, neighbours, limit)


class Levels(NamedTuple):
    """Scores as numbers from 1, larger for larger scores; 0 where a row is out. `exact`: equal ones are equal scores."""

    codes: U8
    exact: bool


def levels(scores: NDArray[Any], able: Bools, *, over: float, most: int) -> Levels:
    """The levels, `most` at most (of at most 254), of the scores that are more than `over` in rows that are able.

    What is no number is more than nothing. Where there are more different scores than levels, a level is a range.
    """
    return Levels(*_core.levels(scores, able, over, most))


class Bins(NamedTuple):
    """The bins that rows lie in, in the row's own order: those of row i are `bins[starts[cell[i]]:starts[cell[i] + 1]]`.

    Cells that are bytes may lie in pieces.
    """

    cell: U32 | list[U8]
    starts: U32
    bins: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What mmSSR took: for each row whether it is `chosen`, 1 + the capability it is charged to (0: left out), and which of its
    bins gave it.

    `rounds`, `capabilities`, `bins` and `taken` list how many rows each turn took of each bin, where it took some.
    `available` is how many rows each capability could take in the beginning, and `able` how many any of them could.
    """

    chosen: Bools
    capability: U8
    place: U8
    rounds: U32
    capabilities: U32
    bins: U32
    taken: U32
    available: Sequence[int]
    able: int


class Capability(NamedTuple):
    """The level of each row for a capability, in pieces, and the scores where equal levels are not equal scores.

    Levels are those of `levels`. With `whole` they are scores of a signed byte; one that is more than `whole` is a level, and
    so much larger as it is larger.
    """

    pieces: Sequence[U8]
    whole: int | None
    scores: F64 | None


def mmssr(
    seed: int, keys: Keys, *, able: Bools, bins: Bins, capabilities: Sequence[Capability], budget: int, compat: bool
) -> Charged:
    """Capabilities take turns, and each takes the best of every bin of the rows that are able: `execute.methods.mmssr` has
    the rule."""
    columns = [(list(pieces), whole, scores) for pieces, whole, scores in capabilities]
    found = _core.mmssr(seed, (keys, able), bins, columns, budget, compat)
    chosen, capability, place, (rounds, of, bins_of, taken), (available, any_of_them) = found
    return Charged(
        chosen=chosen, capability=capability, place=place, rounds=rounds, capabilities=of, bins=bins_of, taken=taken,
        available=available, able=any_of_them,
    )  # fmt: skip


def unmoved(positions: U64) -> Bools:
    """Marks one longest increasing subsequence: the rows that kept their relative order."""
    return _core.unmoved(positions)


def goal_scores(
    *,
    rows: tuple[Bools, U8, U8],
    lengths: tuple[F64, F64, F64],
    fields: Sequence[U32],
    source: U32,
    metrics: tuple[F64, F64, F64, F64, F64],
    without: tuple[bool, bool, bool],
) -> tuple[F64, F64, Bools]:
    """(the shared score of each row, its visual dependence, whether a model measured anything of it): GDO.

    `rows` are able, kind (0 picture, 1 video, 2 text) and temporal (0 static, 1 mixed, 2 temporal); `lengths` words of
    question and answer and the distinct part of the latter; `metrics` the losses with the picture and without, frame
    diversity, VDS and quality, not a number where missing; `without` leaves out VDS, naturalness, quality.
    """
    return _core.goal_scores(rows, list(lengths), list(fields), source, list(metrics), without)


def goal_quality(inputs: tuple[F64, F64, F64, F64, F64, F64, F64], able: Bools) -> F64:
    """The merged quality: of VDS, frame diversity, consistency, perplexity, flow, temporal, coverage.

    Not a number where one of them is; consistency alone is guessed.
    """
    return _core.goal_quality(list(inputs), able)


def goal_choose(
    seeds: tuple[int, int],
    keys: Keys,
    *,
    scores: F64,
    pool: tuple[Bools, U8, U32, U32, U64, U32],
    counts: tuple[int, int, int, int],
    floors: Sequence[tuple[int, int]],
    limits: tuple[U64, U64],
    per_video: int,
) -> U8:
    """The stage that takes each row: 1 temporal videos, 2 videos, 3 groups, 4 quotas, 5 scores, 6 chance; 0 is none.

    `seeds` order equal scores, and chance; `pool` is able, marks (1 video, 2 temporal video), stratum, group, text,
    video (2**32 - 1 is none); `counts` are all, temporal videos, videos, most videos; `limits` quotas and caps of strata.
    """
    return _core.goal_choose(seeds, keys, scores, pool, (list(counts), list(floors), limits, per_video))
