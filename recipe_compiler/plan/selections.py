"""Lowering of selections: each method's part of a recipe -> its operation."""

from __future__ import annotations

from typing import assert_never

from recipe_compiler.model import mmssr, parts
from recipe_compiler.model import select as user
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.model.mix import Fitted
from recipe_compiler.plan import nodes
from recipe_compiler.plan.nodes import Location
from recipe_compiler.syntax.expression import Expression, Operand


def amount(given: parts.Amount) -> nodes.Amount:
    """An amount of the plan."""
    return nodes.Amount(share=given.share, count=given.count, tokens=given.tokens)


def weights(given: parts.Weights) -> nodes.Weights:
    """Weights of the plan."""
    if given.kind is not None:
        return nodes.Weights(kind=given.kind)
    if given.temperature is not None:
        return nodes.Weights(kind="temperature", temperature=given.temperature)
    if given.unimax is not None:
        return nodes.Weights(kind="unimax", unimax=given.unimax)
    if isinstance(given, Fitted) and given.table is not None:
        return nodes.Weights(kind="table", table=given.table)
    return nodes.Weights(kind="values", values=given.values)


def repeat(given: parts.Repeat) -> int | None:
    """How often; None is any number."""
    return None if given.max == "any" else int(given.max)


def taking(checked: CheckedRecipe, part: user.Selection, at: Location) -> nodes.Take:
    """The operation of one selection."""
    seed = checked.recipe.seed
    match part:
        case user.Random() if part.quotas:
            return nodes.Quotas(seed=seed, budget=amount(part.budget), score=None, quotas=_quotas(checked, part, at))
        case user.Random():
            return nodes.Select(
                seed=seed,
                budget=amount(part.budget),
                by=(),
                weights=weights(parts.PROPORTIONAL),
                caps=_caps(checked, part, at),
                repeat=repeat(part.repeat) or 1,
            )
        case user.Stratified():
            return nodes.Select(
                seed=seed,
                budget=amount(part.budget),
                by=tuple(part.by),
                weights=weights(part.weights),
                caps=_caps(checked, part, at),
                repeat=repeat(part.repeat) or 1,
            )
        case user.Top() if part.quotas:
            score = _score(checked, at)
            return nodes.Quotas(seed=seed, budget=amount(part.budget), score=score, quotas=_quotas(checked, part, at))
        case user.Top():
            return nodes.Top(
                seed=seed,
                budget=amount(part.budget),
                score=_score(checked, at),
                by=tuple(part.by or ()),
                weights=weights(part.weights),
            )
        case user.Band():
            return nodes.Band(
                seed=seed, score=_score(checked, at), low=part.low, high=part.high, by=tuple(part.by or ())
            )
        case mmssr.Mmssr():
            return nodes.Mmssr(
                seed=seed,
                budget=amount(part.budget),
                capabilities=tuple(part.capabilities),
                style=part.style,
                source=part.source if part.bin_by == "style_source" else None,
                threshold=part.threshold,
                compat=part.compat,
                fill=part.fill,
            )
        case _:
            assert_never(part)


def _condition(checked: CheckedRecipe, where: str | None, at: Location) -> Expression | None:
    return None if where is None else checked.expression(*at, "where")


def _score(checked: CheckedRecipe, at: Location) -> Operand:
    return checked.score(*at, "score")


def _caps(checked: CheckedRecipe, part: user.Random | user.Stratified, at: Location) -> tuple[nodes.Cap, ...]:
    return tuple(
        nodes.Cap(by=cap.by, where=_condition(checked, cap.where, (*at, "caps", number)), max=amount(cap.max))
        for number, cap in enumerate(part.caps)
    )


def _quotas(checked: CheckedRecipe, part: user.Random | user.Top, at: Location) -> tuple[nodes.Quota, ...]:
    return tuple(
        nodes.Quota(
            by=quota.by,
            where=_condition(checked, quota.where, (*at, "quotas", number)),
            min=None if quota.min is None else amount(quota.min),
            max=None if quota.max is None else amount(quota.max),
            target=None if quota.target is None else amount(quota.target),
        )
        for number, quota in enumerate(part.quotas)
    )
