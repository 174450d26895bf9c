"""`explain`: a manifest and a sample -> every rule the sample met, by compiling the manifest again and watching it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_compiler import pipeline
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute.watch import Met, Watch
from recipe_compiler.manifest import store
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan.nodes import Location
from recipe_compiler.report.explanation import Draw, Explanation, RuleMet
from recipe_compiler.resolve.search import By, Found, search
from recipe_compiler.resolve.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Explanations of the first samples of as many as were found; `unread` are files whose texts were not at hand."""

    explanations: list[Explanation]
    found: int
    unread: list[str]


def explain(
    folder: Path, wanted: str, *, by: By | None, limit: int, workspace: Workspace, findings: Findings
) -> Answer:
    """Explains the first `limit` samples that `wanted` names.

    Raises `DataError` where what the manifest was compiled from is neither on this disk nor in the cache.
    """
    manifest = store.read(folder)
    checked, bound = pipeline.bind_manifest(manifest, workspace, findings)
    found, unread = search(bound, workspace, wanted, by)
    if not found:
        return Answer(explanations=[], found=0, unread=unread)
    watched = {(sample.source, sample.number("offset")): sample for sample in found[:limit]}
    watch = Watch(watched)
    replay = pipeline.replay(manifest, checked, bound, findings, watch)
    rows = watch.rows(replay.selection.frame)
    ordered = replay.ordered
    explanations = []
    for place, sample in watched.items():
        positions = np.flatnonzero(ordered.rows == rows[place]) if place in rows else ()
        draws = tuple(
            Draw(
                position=int(position),
                stage=ordered.stages[ordered.stage[position]].name,
                rule=ordered.rules[ordered.rule[position]],
            )
            for position in positions
        )
        rules = _before_all_rules(sample, checked.recipe) or [_rule(met, checked.recipe) for met in watch.met[place]]
        explanations.append(
            Explanation(
                sample_id=sample.sample_id,
                pool=sample.pool.scan.pool,
                key=sample.key,
                file=sample.file.path,
                offset=sample.number("offset"),
                found_by=sample.by,
                draws=draws,
                rules=tuple(rules),
            )
        )
    return Answer(explanations=explanations, found=len(found), unread=unread)


def line_of(checked: CheckedRecipe, at: Location) -> str:
    """`recipe.yaml:12`: where the recipe asks for something."""
    span = checked.key_span(*at) if at and isinstance(at[-1], str) else checked.span(*at)
    return f"{span.source.name}:{span.line}"


def _rule(met: Met, checked: CheckedRecipe) -> RuleMet:
    return RuleMet(
        rule=met.rule,
        verdict=met.verdict,
        values=met.values,
        rank=met.rank,
        threshold=met.threshold,
        of=met.of,
        note=met.note,
        line=line_of(checked, met.at or met.node.at),
    )


def _before_all_rules(sample: Found, checked: CheckedRecipe) -> list[RuleMet]:
    """Why a sample is out before any rule sees it: its pool is a holdout, or its media are missing."""
    scan = sample.pool.scan
    at: Location = ("pools", scan.pool)
    if scan.role == "holdout":
        rule, verdict, note, at = "pool", "held out", "a holdout is never drawn", (*at, "role")
    else:
        media = sample.file.index.table["media"][sample.row].as_py()
        gone = sorted(set(media) & set(sample.pool.missing_media))
        if not gone:
            return []
        rule, verdict, note, at = "media", "dropped", f"`{gone[0]}` is missing", (*at, "missing_media")
    return [
        RuleMet(
            rule=f"{rule} {scan.pool}",
            verdict=verdict,
            values={},
            rank=None,
            threshold=None,
            of=None,
            note=note,
            line=line_of(checked, at),
        )
    ]
