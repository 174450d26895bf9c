"""HiGHS (Huangfu and Hall, 2018; highs.dev) on systems of quotas: one thread, no clock, no chance.

Most columns of an optimum are empty or full. So a large program is solved on the columns about which there is doubt,
whose number grows until the prices of the rows leave none (sifting: Bixby et al., 1992); and whole numbers are found on
the few columns that an optimum splits and those nearest to being split, checked against the bound of the program.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from recipe_compiler.execute.quotas.system import F64, Asked, Columns, Row, System

#: Columns that are solved at once; more than these are sifted.
_MOST = 18_000
_GAP = 1e-3
_TINY = 1e-7
#: What is missed by less is met but for roundings.
_MISSED = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """The best where samples can be split: so much of each column, the utility, the prices of the rows, and whether rows
    are missed because they cannot be met."""

    amounts: F64
    value: float
    prices: F64
    missed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """So much of each column, in whole samples where the system is of samples, and a bound on the utility of anything that
    is as near to its targets."""

    amounts: F64
    bound: float
    prices: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    amounts: F64
    extra: F64
    value: float
    prices: F64


def feasible(system: System) -> bool:
    """Whether there are whole numbers (or tokens) that meet every row."""
    return whole(system, least(system, np.ones(len(system.rows)))) is not None


def relax(system: System, guess: F64 | None = None) -> Relaxed:
    """The best where samples can be split. Rows go before targets, and targets before utility.

    A `guess` at the prices of the rows saves time and changes nothing.
    """
    columns = system.columns
    lower, upper = _bounds(system)
    targets = _targets(system)
    elastic = [*targets, *_elastic(range(len(system.rows)), -1e3 * _worth_of_targets(columns))]
    full = doubtful = np.ones(len(columns), dtype=np.bool_)
    if len(columns) > _MOST:
        worth = system.priced(_thinned(system, elastic) if guess is None else guess)
        full, doubtful = worth > 0, _smallest(np.abs(worth), _MOST // 2)
    while True:
        settled = np.where(full & ~doubtful, columns.width, 0.0)
        rest = system.sums(columns, settled)
        among = np.flatnonzero(doubtful)
        found = _solve(system, columns[among], lower - rest, upper - rest, extra=elastic, guess=guess)
        assert found is not None, "a program that bends has a solution"
        guess = found.prices
        worth = system.priced(guess)
        wrong = ~doubtful & np.where(full, worth < -_TINY, worth > _TINY)
        if not wrong.any():
            # Sums of tokens are large numbers, which the solver meets to some digits.
            missed = float(found.extra[len(targets) :].sum()) > (1e-5 if system.whole else 0.5)
            value = found.value + float(columns.slope @ settled)
            settled[among] = found.amounts
            return Relaxed(amounts=settled, value=value, prices=found.prices, missed=missed)
        doubtful = doubtful | (wrong & _smallest(np.where(wrong, -np.abs(worth * columns.width), np.inf), _MOST))


def least(system: System, weights: F64) -> Relaxed:
    """The least that rows are missed by, where samples can be split, each by its weight; nothing else is worth anything."""
    lower, upper = _bounds(system)
    elastic = [part for row, weight in enumerate(weights.tolist()) for part in _elastic([row], -weight)]
    found = _solve(system, system.columns, lower, upper, extra=elastic)
    assert found is not None, "a program that bends has a solution"
    missed = float(found.extra.sum()) > _MISSED
    return Relaxed(amounts=found.amounts, value=found.value, prices=found.prices, missed=missed)


def farthest(system: System, asked: Asked, *, above: float = 0.0) -> float | None:
    """The largest lower (smallest upper) bound that what is asked can have, where all other rows hold.

    Of the budget: the largest that is not above what is asked, or with `above` the smallest that is not below that;
    shares are of the budget that is found.
    """
    lower, upper = _bounds(system)
    rows = np.array([number for number, row in enumerate(system.rows) if row.asked == asked])
    if asked.kind == "budget":
        shares = np.array([row.share for row in system.rows])
        rows = np.flatnonzero((shares > 0) & (np.isfinite(lower) | np.isfinite(upper)))
        most = np.inf if above else upper[[row.asked == asked for row in system.rows]][0]
        lower[rows], upper[rows] = (
            np.where(np.isfinite(lower), 0.0, lower)[rows],
            np.where(np.isfinite(upper), 0.0, upper)[rows],
        )
        bound: _Extra = (rows, -shares[rows], -1.0 if above else 1.0, above, most)
    else:
        if asked.kind == "min":
            lower[rows] = 0.0
        else:
            upper[rows] = 0.0
        bound = (rows, -np.ones(len(rows)), 1.0 if asked.kind == "min" else -1.0, 0.0, np.inf)
    found = _solve(system, system.columns, lower, upper, extra=[bound])
    return None if found is None else float(found.extra[0])


def _worth_of_targets(columns: Columns) -> float:
    """More than any exchange of samples is worth."""
    return 1e3 * max(float(np.ptp(columns.slope)) if len(columns) else 0.0, 1.0)


def _bounds(system: System) -> tuple[F64, F64]:
    lower = np.array([row.lower for row in system.rows])
    upper = np.array([row.upper for row in system.rows])
    return lower, upper


_Extra = tuple[NDArray[np.int64], F64, float, float, float]


def _is_target(row: Row) -> bool:
    return row.asked.kind == "target" and row.lower > -np.inf


def _targets(system: System) -> list[_Extra]:
    """Two columns for each target: what is lacking and what is too much, each at a price."""
    numbers = [number for number, row in enumerate(system.rows) if _is_target(row)]
    return _elastic(numbers, -_worth_of_targets(system.columns))


def _elastic(rows: Iterable[int], slope: float) -> list[_Extra]:
    return [(np.array([row]), np.array([sign]), slope, 0.0, np.inf) for row in rows for sign in (1.0, -1.0)]


def _thinned(system: System, elastic: list[_Extra]) -> F64:
    """The prices of the rows for a part of the columns and as small a part of every row."""
    columns = system.columns
    part = columns[np.arange(0, len(columns), -(-2 * len(columns) // _MOST))]
    scale = float(part.width.sum() / columns.width.sum())
    lower, upper = _bounds(system)
    found = _solve(system, part, lower * scale, upper * scale, extra=elastic)
    return np.zeros(len(system.rows)) if found is None else found.prices


def _smallest(values: F64, num: int) -> NDArray[np.bool_]:
    """Marks the smallest values; among equals the first."""
    marks = np.zeros(len(values), dtype=np.bool_)
    marks[np.argsort(values, kind="stable")[:num]] = True
    return marks


def whole(system: System, relaxed: Relaxed, beside: tuple[float, float] | None = None) -> Optimum | None:
    """Whole samples near the relaxed optimum: those columns are moved that it splits, then more and more around them.

    Of a part of a larger system, `beside` are (the utility that is had outside of it, the most that all could have without
    rows): the gap is then of the smaller of what is had and what the rows cost.
    """
    if relaxed.missed:
        return None
    columns = system.columns
    lower, upper = _bounds(system)
    split = np.abs(relaxed.amounts - np.round(relaxed.amounts)) > _TINY
    if not system.whole or not split.any():
        amounts = np.round(relaxed.amounts) if system.whole else relaxed.amounts
        return _bounded(system, relaxed, amounts)
    utility = float(columns.slope @ relaxed.amounts)
    scale = abs(utility)
    if beside is not None:
        scale = min(abs(beside[0] + utility), abs(beside[1] - beside[0] - utility))
    rounded: F64 = np.round(relaxed.amounts)
    order = np.lexsort((np.arange(len(columns)), np.abs(system.priced(relaxed.prices)), ~split))
    for num in (4 * int(split.sum()) + 50, 2_000, len(columns)):
        among = np.sort(order[:num])
        settled = rounded.copy()
        settled[among] = 0.0
        rest = system.sums(columns, settled)
        found = _solve(system, columns[among], lower - rest, upper - rest, extra=_targets(system), whole=True)
        if found is not None:
            value = found.value + float(columns.slope @ settled)
            if num >= len(columns) or relaxed.value - value <= _GAP * max(scale, 1.0):
                settled[among] = np.round(found.amounts)
                return _bounded(system, relaxed, settled)
        if num >= len(columns):
            break
    return None


def _bounded(system: System, relaxed: Relaxed, amounts: F64) -> Optimum:
    """The bound is on what the program maximises, which pays for the distance from targets; here that is paid back."""
    sums = system.sums(system.columns, amounts)
    off = sum(abs(got - row.lower) for row, got in zip(system.rows, sums.tolist(), strict=True) if _is_target(row))
    bound = relaxed.value + _worth_of_targets(system.columns) * off
    return Optimum(amounts=amounts, bound=bound, prices=relaxed.prices)


def _solve(
    system: System,
    columns: Columns,
    lower: F64,
    upper: F64,
    *,
    extra: list[_Extra],
    whole: bool = False,
    guess: F64 | None = None,
) -> _Found | None:
    """Maximises over some columns; `extra` are (rows, coefficients, slope, lower, upper) of more columns. It begins at a
    `guess` at the prices."""
    starts, rows, values = system.entries(columns)
    basis, plain = None, extra
    if guess is not None:
        guess = np.where(np.isfinite(np.where(guess > 0, upper, lower)) & (np.abs(guess) > _TINY), guess, 0.0)
        worth = columns.slope - np.bincount(
            np.repeat(np.arange(len(columns)), np.diff(starts)), weights=guess[rows] * values, minlength=len(columns)
        )
        # Columns that can take nothing, each worth what its row pays: where they are the basis, prices are the guess.
        paying = np.flatnonzero(guess)
        basis = _basis(worth > 0, len(extra), guess)
        extra = [*extra, *((np.array([row]), np.ones(1), guess[row], 0.0, 0.0) for row in paying)]
    num, more = len(columns), len(extra)
    program = highspy.HighsLp()
    program.num_col_ = num + more
    program.num_row_ = len(system.rows)
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_ = np.concatenate([columns.slope, [part[2] for part in extra]])
    program.col_lower_ = np.concatenate([np.zeros(num), [part[3] for part in extra]])
    program.col_upper_ = np.concatenate([columns.width, [part[4] for part in extra]])
    program.row_lower_, program.row_upper_ = lower, upper
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kColwise
    ends = starts[-1] + np.cumsum([0, *(len(part[0]) for part in extra)])
    matrix.start_ = np.concatenate([starts[:-1], ends]).astype(np.int32)
    matrix.index_ = np.concatenate([rows, *(part[0] for part in extra)]).astype(np.int32)
    matrix.value_ = np.concatenate([values, *(part[1] for part in extra)])
    if whole:
        program.integrality_ = [highspy.HighsVarType.kInteger] * num + [highspy.HighsVarType.kContinuous] * more
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("parallel", "off"),
        ("random_seed", 0),
        ("mip_rel_gap", 1e-6),
        ("mip_max_nodes", 20_000),
    ):
        solver.setOptionValue(option, value)
    solver.passModel(program)
    if basis is not None:
        solver.setBasis(basis)
    solver.run()
    status = solver.getModelStatus()
    solution = solver.getSolution()
    info = solver.getInfo()
    # Of differences of large sums the solver may say that it does not know, where it has met all.
    met = info.primal_solution_status == 2 and (whole or info.dual_solution_status == 2)
    doubted = (highspy.HighsModelStatus.kSolutionLimit, highspy.HighsModelStatus.kUnknown)
    if status != highspy.HighsModelStatus.kOptimal and not (met and status in doubted):
        # From far away the simplex may lose its way: the same program is then begun anew, from nothing.
        return None if basis is None else _solve(system, columns, lower, upper, extra=plain, whole=whole)
    found = np.array(solution.col_value)
    prices = np.zeros(len(system.rows)) if whole else np.array(solution.row_dual)
    return _Found(amounts=found[:num], extra=found[num:], value=info.objective_function_value, prices=prices)


def _basis(full: NDArray[np.bool_], more: int, guess: F64) -> highspy.HighsBasis:
    """Rows that pay are at their bounds, and for each of them the last columns are basic; so are all other rows."""
    at = highspy.HighsBasisStatus
    basis = highspy.HighsBasis()
    basis.col_status = [at.kUpper if one else at.kLower for one in full.tolist()] + [at.kLower] * more
    basis.col_status += [at.kBasic] * int(np.count_nonzero(guess))
    basis.row_status = [at.kUpper if pays > 0 else at.kLower if pays < 0 else at.kBasic for pays in guess.tolist()]
    basis.valid = True
    return basis
