"""`lower`: a checked recipe -> a plan. The only file that knows both. It reads no disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from recipe_compiler.diagnostics import Findings, Place
from recipe_compiler.model import recipe as user
from recipe_compiler.model.batch import WINDOW, Batch, Pack
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.model.mix import MixWeights
from recipe_compiler.model.select import Selection
from recipe_compiler.plan import nodes
from recipe_compiler.plan.nodes import Location, Measure, Node, make_node
from recipe_compiler.plan.selections import amount, repeat, taking, weights
from recipe_compiler.syntax.expression import Column, Compare, Expression, Literal

_Operation = TypeVar("_Operation", bound=nodes.Operation)

#: The defaults of weights that move, and of the easiest share that a pace starts with (arXiv 1903.09848, section 4.3).
_BLOCKS = 100
_START = Fraction(1, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Nodes in an order in which every node comes after its inputs."""

    name: str
    version: str | None
    seed: int
    nodes: tuple[Node, ...]
    recipe: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The digest of the last node, which reads all others."""
        return self.nodes[-1].digest

    def select(self, kind: type[_Operation]) -> Iterator[tuple[Node, _Operation]]:
        """The nodes of one kind of operation, with it."""
        return ((node, node.operation) for node in self.nodes if isinstance(node.operation, kind))

    def tables(self) -> Iterator[tuple[Node, str, Location]]:
        """The files that are read beside pools: the node that reads each, its path, and where the recipe names it."""
        return ((node, path, (*node.at, *at)) for node in self.nodes for path, at in nodes.tables(node.operation))


def lower(checked: CheckedRecipe, findings: Findings) -> Plan:
    """The plan of a recipe."""
    recipe = checked.recipe
    scans = [make_node(_scan(name, pool), (), ("pools", name)) for name, pool in sorted(recipe.pools.items())]
    unite = nodes.Unite(per_image=recipe.tokens.per_image, per_video=recipe.tokens.per_video)
    chain = [make_node(unite, tuple(scans), ("pools",))]

    def then(operation: nodes.Operation, at: Location) -> None:
        chain.append(make_node(operation, (chain[-1],), at))

    if recipe.tokens.counts is not None:
        then(nodes.Recount(source=recipe.tokens.counts), ("tokens",))
    for position, annotation in enumerate(recipe.annotations):
        then(_annotate(annotation), ("annotations", position))
    for position in range(len(recipe.filter)):
        then(nodes.Filter(where=checked.expression("filter", position)), ("filter", position))
    if recipe.dedup is not None and recipe.dedup.exact:
        then(nodes.Deduplicate(), ("dedup",))
    for selection, at in _selections(checked, recipe.select, ("select",)):
        then(selection, at)
    for stage, at in _stages(checked, findings):
        _check_strata(checked, stage, at, findings)
        # A stage's own selections stand before it.
        for selection, place in _selections(checked, _select_of(recipe, at), (*at, "select")):
            then(selection, place)
        then(stage, at)
    then(nodes.Cut(rows=recipe.shard.rows), ("shard",))
    document: dict[str, Any] = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"extends"}, by_alias=True)
    return Plan(
        name=recipe.name,
        version=recipe.version,
        seed=recipe.seed,
        nodes=(*scans, *chain),
        recipe={"recipe": recipe.recipe, **document},
    )


def _scan(name: str, pool: user.Pool) -> nodes.Scan:
    fields = pool.fields.model_dump(exclude_none=True) if pool.fields is not None else {}
    if not fields.get("columns"):
        fields.pop("columns", None)
    return nodes.Scan(
        pool=name,
        source=tuple(pool.source),
        format=pool.format,
        fields=fields,
        hint={"records": pool.records, "header": pool.header, "quote": pool.quote},
        media=pool.media,
        missing_media=pool.missing_media,
        max_malformed=pool.max_malformed,
        role=pool.role,
        group=pool.group,
        category=pool.category,
        license=pool.license,
        tags=tuple(pool.tags),
    )


def _annotate(annotation: user.Annotation) -> nodes.Annotate:
    return nodes.Annotate(
        source=annotation.source,
        match=annotation.match,
        column=annotation.column or annotation.match,
        pools=None if annotation.pools is None else tuple(sorted(annotation.pools)),
        columns=annotation.columns,
    )


def _select_of(recipe: user.Recipe, at: Location) -> Sequence[Selection] | None:
    """The selections of the stage at a location; stages of a schedule have none."""
    return recipe.stages[int(at[1])].select if recipe.stages is not None else None


def _mix_weights(given: MixWeights) -> nodes.Weights | nodes.Course:
    if given.from_ is None or given.to is None:
        return weights(given)
    start, end = weights(given.from_), weights(given.to)
    return nodes.Course(start=start, end=end, shape=given.shape or "linear", blocks=given.blocks or _BLOCKS)


def _selections(
    checked: CheckedRecipe, parts: Sequence[Selection] | None, at: Location
) -> Iterator[tuple[nodes.Take, Location]]:
    for number, part in enumerate(parts or ()):
        place = (*at, number) if len(parts or ()) > 1 else at
        yield taking(checked, part, place), place


def _stages(checked: CheckedRecipe, findings: Findings) -> Iterator[tuple[nodes.Stage, Location]]:
    recipe = checked.recipe
    if recipe.stages is None:
        schedule = recipe.schedule or user.Schedule(kind="mixed")
        yield from ((stage, ("schedule",)) for stage in _schedule(checked, schedule, findings))
        return
    for position, stage in enumerate(recipe.stages):
        where = None if stage.where is None else checked.expression("stages", position, "where")
        yield (
            nodes.Stage(
                seed=recipe.seed,
                name=stage.name,
                where=where,
                by=stage.mix.by if stage.mix else None,
                weights=_mix_weights(stage.mix.weights) if stage.mix else nodes.Weights(kind="proportional"),
                draws=amount(stage.draws) if stage.draws else None,
                repeat=repeat(stage.repeat),
                order=_order(stage.order),
                replay={name: amount(given) for name, given in stage.replay.items()},
                epochs=stage.epochs,
                resample=stage.resample,
                most=None if recipe.repeat is None else recipe.repeat.max,
                pack=_pack(recipe.pack),
                batch=_batch(recipe.batch),
            ),
            ("stages", position),
        )


def _check_strata(checked: CheckedRecipe, stage: nodes.Stage, at: Location, findings: Findings) -> None:
    """What every batch has its share of cannot be mixed by anything else, nor by weights that move."""
    column = None if stage.batch is None else stage.batch.stratify
    if column is None or stage.by is None:
        return
    if stage.by != column or isinstance(stage.weights, nodes.Course):
        how = "weights that move" if stage.by == column else f"`{stage.by}`"
        findings.error(
            "model.conflict",
            f"stage `{stage.name}` is mixed by {how}, and every batch has its share of `{column}`",
            checked.span("batch", "stratify"),
            places=[Place(checked.span(*at, "mix"), "the mix")],
            help=f"stratify by `{stage.by}`" if stage.by != column else "keep one of the two",
        )


def _order(order: user.Order) -> nodes.Order:
    paced = order.pace is not None
    return nodes.Order(
        kind=order.kind or ("sort" if order.sort is not None else "pace"),
        by=order.sort or order.pace,
        descending=order.descending,
        window=order.window,
        shuffle_window=order.shuffle_window,
        start=(order.start or _START) if paced else None,
        shape=(order.shape or "root") if paced else None,
    )


def _pack(pack: Pack | None) -> nodes.Pack | None:
    return None if pack is None else nodes.Pack(most=pack.max_tokens, window=pack.window)


def _batch(batch: Batch | None) -> nodes.Batch | None:
    if batch is None:
        return None
    measured: list[tuple[Measure, int | None]] = [
        ("rows", batch.rows),
        ("packs", batch.packs),
        ("tokens", batch.tokens),
        ("padded", batch.padded_tokens),
    ]
    ((measure, size),) = ((measure, size) for measure, size in measured if size is not None)
    similar = batch.lengths == "similar"
    return nodes.Batch(
        size=size,
        measure=measure,
        remainder=batch.remainder or "keep",
        stratify=batch.stratify,
        modality=batch.modality,
        micro=batch.micro,
        similar=similar,
        window=(batch.window or WINDOW) if similar or measure in ("tokens", "padded") else None,
    )


def _schedule(checked: CheckedRecipe, schedule: user.Schedule, findings: Findings) -> Iterator[nodes.Stage]:
    """The four organisations (papers: data organisation, section d.2), each as the stages it stands for.

    All four have as many draws as there are samples, so that only the order, or for `balanced` the exposure of the
    groups, differs.
    """
    recipe = checked.recipe
    most = None if recipe.repeat is None else recipe.repeat.max

    def stage(
        name: str,
        where: Expression | None = None,
        *,
        by: str | None = None,
        weights: nodes.Weights | None = None,
        repeat: int | None = 1,
    ) -> nodes.Stage:
        return nodes.Stage(
            seed=recipe.seed,
            name=name,
            where=where,
            by=by,
            weights=weights or nodes.Weights(kind="proportional"),
            draws=None,
            repeat=repeat,
            order=nodes.Order(kind="shuffle"),
            replay={},
            most=most,
            pack=_pack(recipe.pack),
            batch=_batch(recipe.batch),
        )

    match schedule.kind:
        case "mixed":
            yield stage("mixed")
        case "balanced":
            yield stage("balanced", by=schedule.by, weights=nodes.Weights(kind="equal"), repeat=None)
        case "curriculum" | "reverse":
            _check_sequence(checked, schedule, findings)
            sequence = schedule.sequence if schedule.kind == "curriculum" else schedule.sequence[::-1]
            for value in sequence:
                yield stage(value, Compare("==", Column(schedule.by, 0, 0), Literal(value, 0, 0)))


def _check_sequence(checked: CheckedRecipe, schedule: user.Schedule, findings: Findings) -> None:
    """A group outside the sequence would be left out of training without a word."""
    if schedule.by != "group":
        return
    pools = {name: pool for name, pool in checked.recipe.pools.items() if pool.role == "train"}
    outside = sorted(name for name, pool in pools.items() if pool.group not in schedule.sequence)
    if outside:
        groups = sorted({pool.group for pool in pools.values() if pool.group is not None})
        every = all(pool.group is not None for pool in pools.values())
        order = f", or name the order: `schedule: {{kind: {schedule.kind}, sequence: [{', '.join(groups)}]}}`"
        findings.error(
            "model.conflict",
            f"the {schedule.kind} runs through {', '.join(schedule.sequence)}, and "
            f"{', '.join(f'`{name}`' for name in outside[:5])} {'is' if len(outside) == 1 else 'are'} in none of these",
            checked.span("schedule"),
            help=f"give each pool a `group`{order if every else ''}",
        )
