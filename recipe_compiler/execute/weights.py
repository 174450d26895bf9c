"""Weights of a plan, on the values that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

from recipe_compiler.diagnostics import Findings, Span
from recipe_compiler.execute import apportion
from recipe_compiler.plan import nodes

#: The weights of each table, by its path.
Tables: TypeAlias = Mapping[str, Mapping[str, Fraction]]


def weigh(
    weights: nodes.Weights,
    names: Sequence[str],
    sizes: Sequence[int],
    total: int,
    findings: Findings,
    span: Span,
    tables: Tables | None = None,
) -> list[Fraction]:
    """A weight for each value. Explicit weights must name every value that is there, and no other."""
    match weights.kind:
        case "proportional":
            return [Fraction(size) for size in sizes]
        case "equal":
            return [Fraction(1)] * len(names)
        case "temperature":
            assert weights.temperature is not None
            return apportion.temperature(sizes, weights.temperature)
        case "unimax":
            assert weights.unimax is not None
            return apportion.unimax(total, sizes, weights.unimax)
        case "values" | "table":
            given = weights.values or (tables or {}).get(weights.table or "", {})
            unknown = sorted(set(given) - set(names))
            unnamed = sorted(set(names) - set(given))
            if unknown or unnamed:
                findings.error(
                    "execute.weights",
                    "the weights do not name the values that are there",
                    span,
                    notes=[f"without samples here: {', '.join(unknown)}"] * bool(unknown)
                    + [f"without a weight: {', '.join(unnamed)}"] * bool(unnamed),
                    help="give every value a weight; 0 leaves it out",
                )
            return [given.get(name, Fraction(0)) for name in names]
