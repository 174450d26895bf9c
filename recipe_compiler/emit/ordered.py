"""The global order as values: every draw, the stages and rules that made it, and what came of what was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from recipe_compiler import kernels, table
from recipe_compiler.emit.remainder import Made, Part
from recipe_compiler.emit.uses import end_to_end
from recipe_compiler.execute.run import Selection
from recipe_compiler.manifest.prefix import Prefix, joined
from recipe_compiler.manifest.rows import cells
from recipe_compiler.manifest.schema import Portion, Request, StageRef
from recipe_compiler.plan import nodes
from recipe_compiler.plan.explain import batch_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Every draw, in order: its row of the selection, `stage`, `rule` and `repeat`, and the `unit` of draws that are taken
    together; the rules by number; the stages; and what was asked of the order, beside what came of it.

    The first `position` draws were made by the manifest that this order goes on from. A sample of theirs that is not in
    the selection's frame has the frame's height as its row.
    """

    rows: kernels.U32
    stage: kernels.U32
    rule: kernels.U32
    repeat: kernels.U32
    unit: kernels.U64
    rules: tuple[str, ...]
    stages: tuple[StageRef, ...]
    requests: tuple[Request, ...]
    position: int


def ordered(
    parts: list[Part], selection: Selection, most: int | None, prefix: Prefix | None, made: Made | None
) -> Ordered:
    """The draws of all stages as one order, behind those that were made already; `most` is the limit of the recipe."""
    height = selection.frame.height
    rule: list[kernels.U32] = []
    rules: list[str] = []
    stages: list[StageRef] = []
    start = 0 if prefix is None else prefix.position
    for part in parts:
        rule.append(part.drawn.source + np.uint32(len(rules)) if rules else part.drawn.source)
        samples = table.num_different(part.drawn.rows, height)
        shares = tuple(_shares(part, len(rules), samples))
        stages.append(
            StageRef(name=part.stage.name, start=start, draws=len(part.drawn), samples=samples, shares=shares)
        )
        rules += [source.rule for source in part.planned.sources]
        rules += [f"padding of {part.stage.name}"] * (len(shares) - len(part.planned.sources))
        start += len(part.drawn)
    whole = Ordered(
        rows=end_to_end([part.drawn.rows for part in parts]),
        stage=_stages([stage.draws for stage in stages]),
        rule=end_to_end(rule),
        repeat=np.empty(0, dtype=np.uint32),
        unit=_units(end_to_end([part.drawn.begins for part in parts])),
        rules=tuple(rules),
        stages=tuple(stages),
        requests=(),
        position=0,
    )
    if prefix is not None and made is not None:
        whole = _behind(prefix, made, whole)
    if prefix is None and [stage.samples for stage in stages] == [len(whole.rows)]:
        repeat = table.zeros(len(whole.rows), np.uint32)
    else:
        repeat = kernels.earlier_equals(whole.rows, height + 1)
    if prefix is not None:
        repeat[: prefix.position] = cells(prefix.table, "repeat")
    return dataclasses.replace(whole, repeat=repeat, requests=tuple(_requests(parts, repeat, most)))


def _stages(draws: Sequence[int]) -> kernels.U32:
    """The number of the stage that each draw is of."""
    stage, end = table.zeros(sum(draws), np.uint32), 0
    for number, num in enumerate(draws):
        if number:
            stage[end : end + num] = number
        end += num
    return stage


def _units(begins: kernels.Bools) -> kernels.U64:
    """The number of the unit that each draw is of."""
    if begins.all():
        return np.arange(len(begins), dtype=np.uint64)
    return np.cumsum(begins, dtype=np.uint64) - np.uint64(1)


def _shares(part: Part, first_rule: int, samples: int) -> Iterator[Portion]:
    """What each source of a stage was to have, had and got; `samples` is how many different ones are drawn."""
    sources = part.planned.sources
    # Padding is the source behind all others, where there is any.
    *realised, padding = kernels.totals(part.drawn.source, len(sources) + 1).tolist()
    realised += [padding] * bool(padding)
    num = max(len(realised), len(part.earlier))
    realised, earlier = ([*counts, *[0] * (num - len(counts))] for counts in (realised, part.earlier))
    for number in range(num):
        source = sources[number] if number < len(sources) else None
        wanted = source.requested * part.stage.epochs if source else Fraction(earlier[number] + realised[number])
        yield Portion(
            name=source.name if source else "padding",
            rule=first_rule + number,
            requested=str(wanted),
            available=len(source.uses) if source else samples,
            earlier=earlier[number],
            realised=realised[number],
        )


def _requests(parts: list[Part], repeat: kernels.U32, most: int | None) -> Iterator[Request]:
    """What was asked of the order of stages, and of all of them."""
    for part in parts:
        stage = part.stage
        if isinstance(stage.weights, nodes.Course):
            blocks, wanted = len(part.planned.blocks), f"weights {stage.weights}"
            yield Request(
                what=f"mix of {stage.name}", requested=wanted, available=blocks, realised=blocks, unit="blocks"
            )
        if stage.batch is not None:
            units = part.drawn.num_units
            batches = units if stage.batch.counts_tokens else -(-units // stage.batch.size)
            text = batch_text(stage.batch)
            yield Request(
                what=f"order of {stage.name}", requested=text, available=batches, realised=batches, unit="batches"
            )
    if most is not None:
        text = f"at most {most:,} of a sample"
        realised = int(repeat.max(initial=0)) + 1
        yield Request(what="repeat", requested=text, available=most, realised=realised, unit="draws")


def _behind(prefix: Prefix, made: Made, own: Ordered) -> Ordered:
    """An order behind the draws of a prefix, in whose tables its stages and rules are numbered."""
    stages = prefix.stages()
    rules, numbers = joined(prefix.manifest.rules, own.rules)
    units = cells(prefix.table, "unit")
    return dataclasses.replace(
        own,
        rows=np.concatenate([made.rows, own.rows]),
        stage=np.concatenate([cells(prefix.table, "stage"), own.stage + np.uint32(len(stages))]),
        rule=np.concatenate([cells(prefix.table, "rule"), np.array(numbers, dtype=np.uint32)[own.rule]]),
        unit=np.concatenate([units, own.unit + units[-1] + np.uint64(1)]),
        rules=rules,
        stages=(*stages, *(_numbered(stage, numbers) for stage in own.stages)),
        position=prefix.position,
    )


def _numbered(stage: StageRef, numbers: list[int]) -> StageRef:
    """A stage whose sources know the new numbers of their rules."""
    shares = (dataclasses.replace(share, rule=numbers[share.rule]) for share in stage.shares)
    return dataclasses.replace(stage, shares=tuple(shares))
