"""Joint quotas: as much as is asked for, every quota met exactly, and the most of a utility that this leaves possible.

Samples that are the same to every quota are a cell. A linear program says how many samples of each cell to take, and
inside a cell the first are taken by (score, keyed hash, id). With scores the utility is their sum, over samples or, where the
budget is in tokens, over tokens. Without, it is nearness to the plain random draw of the budget: as little as possible is
exchanged, and from all cells alike.

Churn: what is taken of a cell is a prefix of its order, so that a cell changes by exactly the change of its count. Quotas
that the random draw meets by itself change nothing. How counts of cells move where quotas bind is the solver's.
"""

from recipe_compiler.execute.quotas.fill import fill

__all__ = ["fill"]
