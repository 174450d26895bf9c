"""Lowering of selections: each method's part of a recipe -> its operation."""

from __future__ import annotations

from typing import assert_never

from recipe_compiler.model import gdo, mmssr, parts, spread
from recipe_compiler.model import select as user
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.model.difficulty import Difficulty, Vote
from recipe_compiler.model.mix import Fitted
from recipe_compiler.plan import goals, nodes
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
        case Difficulty():
            return nodes.Difficulty(
                seed=seed,
                kind="cmab" if part.pism is None else "pism",
                column=part.pism or part.cmab or "",
                solved=part.solved,
                keep=tuple(part.keep),
                easy_inclusive=part.easy_inclusive,
                control=part.control is not None,
                by=tuple(part.by or ()),
            )
        case Vote():
            scores = tuple(checked.score(*at, "scores", number) for number in range(len(part.scores)))
            return nodes.Vote(seed=seed, budget=amount(part.budget), scores=scores, top=part.top)
        case spread.Deita() | spread.KCenter() | spread.Mmr() | spread.FacilityLocation():
            return _spread(checked, part, at)
        case gdo.GoalDriven():
            return nodes.GoalDriven(
                seed=seed,
                goal=part.goal,
                budget=None if part.budget is None else amount(part.budget),
                parameters=_parameters(part),
                columns=part.columns.model_dump(exclude_none=True),
                baseline=part.baseline,
                per_video=part.per_video,
                frames=part.frames,
                without=tuple(sorted(set(part.without))),
                strict=part.strict,
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


def _spread(
    checked: CheckedRecipe, part: spread.Deita | spread.KCenter | spread.Mmr | spread.FacilityLocation, at: Location
) -> nodes.Deita | nodes.KCenter | nodes.Mmr | nodes.FacilityLocation:
    seed, budget, embedding = checked.recipe.seed, amount(part.budget), part.embedding
    match part:
        case spread.Deita():
            score = _score(checked, at)
            return nodes.Deita(seed=seed, budget=budget, embedding=embedding, score=score, threshold=part.threshold)
        case spread.KCenter():
            return nodes.KCenter(seed=seed, budget=budget, embedding=embedding)
        case spread.Mmr():
            score = _score(checked, at)
            return nodes.Mmr(seed=seed, budget=budget, embedding=embedding, score=score, relevance=part.relevance)
        case spread.FacilityLocation():
            return nodes.FacilityLocation(seed=seed, budget=budget, embedding=embedding, neighbours=part.neighbours)


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


def _parameters(part: gdo.GoalDriven) -> goals.Parameters:
    """The preset of a goal, with what the recipe sets otherwise."""
    settings = {name: getattr(gdo.PRESETS[part.goal], name) for name in gdo.Parameters.model_fields}
    if part.compat:
        settings["temporal_categories"] = ["Temporal", "Mixed"]
    own = {name: getattr(part.parameters, name) for name in part.parameters.model_fields_set}
    settings |= {name: value for name, value in own.items() if value is not None}
    settings["temporal_categories"] = tuple(sorted(set(settings["temporal_categories"])))
    return goals.Parameters(**settings)
