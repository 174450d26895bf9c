"""Why a sample is in a manifest or out of it, as values, text and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from recipe_compiler.report.tables import table


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMet:
    """A rule that a sample met. `rank` counts from 1; ranks up to `threshold` were taken, `of` so many. `line` is where
    the recipe says so."""

    rule: str
    verdict: str
    values: Mapping[str, Any]
    rank: int | None
    threshold: int | None
    of: int | None
    note: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A use of a sample; an `earlier` one was made by the manifest that this one goes on from. `unit` is the pack or the
    batch that it is in, such as `pack 12`; empty where there are none."""

    position: int
    stage: str
    rule: str
    unit: str
    earlier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One sample: where it is, what became of it, and why."""

    sample_id: str
    pool: str
    key: str | None
    file: str
    offset: int
    found_by: str
    draws: tuple[Draw, ...]
    rules: tuple[RuleMet, ...]

    @property
    def verdict(self) -> str:
        """`in` or `out`."""
        return "in" if self.draws else "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleName:
    """A sample as people find it again."""

    sample_id: str
    pool: str
    key: str | None

    def __str__(self) -> str:
        return f"{self.pool} {self.key}" if self.key is not None else f"{self.pool} {self.sample_id[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaFilled:
    """A bound of a quota and the samples that count for it: how many there are and are taken, by pool; the first of them;
    the one that would go first if fewer were taken, and the one that would come first if more were."""

    name: str
    asked: str
    line: str
    available: int
    taken: int
    pools: Mapping[str, int]
    first: tuple[SampleName, ...]
    last_taken: SampleName | None
    first_left: SampleName | None


def document(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain JSON."""
    return {"verdict": explanation.verdict, **dataclasses.asdict(explanation)}


def quotas_shown(quotas: Sequence[QuotaFilled]) -> RenderableType:
    """Quotas one below another."""
    parts: list[RenderableType] = []
    for quota in quotas:
        pools = ", ".join(f"{pool} {count:,}" for pool, count in quota.pools.items())
        listed = ", ".join(map(str, quota.first)) + (" ..." if quota.taken > len(quota.first) else "")
        lines = [f"{quota.asked} at {quota.line}: {quota.taken:,} of {quota.available:,} are taken"]
        lines += [f"by pool: {pools}", f"filled by {listed}"] if quota.taken else []
        lines += [f"the last that is taken is {quota.last_taken}"] if quota.last_taken else []
        lines += [f"the next would be {quota.first_left}"] if quota.first_left else []
        parts += [Text(quota.name, style="bold"), Padding(Group(*map(Text, lines)), (0, 0, 0, 4), expand=False), Text()]
    return Group(*parts[:-1])


def shown(explanations: Sequence[Explanation], *, more: int) -> RenderableType:
    """Explanations one below another; `more` samples were found and are not shown."""
    parts: list[RenderableType] = []
    for explanation in explanations:
        parts += [*_one(explanation), Text()]
    if more:
        parts.append(Text(f"and {more:,} more; name one by its id, or show more with `--limit`"))
    else:
        parts.pop()
    return Group(*parts)


def _one(found: Explanation) -> list[RenderableType]:
    name = f"{found.pool} {found.key}" if found.key is not None else found.pool
    head = Text.assemble((f"{found.verdict:<4}", "bold green" if found.draws else "bold red"), (name, "bold"))
    lines = [f"{found.sample_id}, found by {found.found_by}", f"{found.file}, byte {found.offset:,}"]
    by_stage: dict[tuple[str, str, bool], list[Draw]] = {}
    for draw in found.draws:
        by_stage.setdefault((draw.stage, draw.rule, draw.earlier), []).append(draw)
    for (stage, rule, earlier), positions in by_stage.items():
        most = 8
        listed = ", ".join(f"{draw.position:,}{f' ({draw.unit})' if draw.unit else ''}" for draw in positions[:most])
        rest = f" and {len(positions) - most:,} more" if len(positions) > most else ""
        how = "" if rule == f"stage {stage}" else f" ({rule})"
        noun = "position" if len(positions) == 1 else "positions"
        when = ", by the manifest that this one goes on from" if earlier else ""
        lines.append(f"drawn in stage {stage}{how} at {noun} {listed}{rest}{when}")
    rules = table("", "rule", "verdict", "value", "rank", "recipe")
    for column in rules.columns[1:]:
        column.justify = "left"
        column.no_wrap = False
    for met in found.rules:
        values = ", ".join(f"{column} = {_value(value)}" for column, value in met.values.items())
        rules.add_row(met.rule, met.verdict, ", ".join(filter(None, (values, met.note))), _rank(met), met.line)
    body = [Text(line) for line in lines]
    return [
        head,
        Padding(Group(*body), (0, 0, 0, 4), expand=False),
        *([Padding(rules, (0, 0, 0, 4), expand=False)] if found.rules else []),
    ]


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _rank(met: RuleMet) -> str:
    if met.rank is None or met.of is None:
        return ""
    taken = f"up to {met.threshold:,} are taken" if met.threshold else "none is taken"
    return f"{met.rank:,} of {met.of:,}; {taken}"
