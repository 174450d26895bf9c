"""`explain`: a manifest and a sample -> every rule the sample met, by compiling the manifest again and watching it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_compiler import kernels, pipeline
from recipe_compiler.diagnostics import Findings
from recipe_compiler.errors import RecipeError
from recipe_compiler.execute import frames
from recipe_compiler.execute.watch import Filled, Met, Watch
from recipe_compiler.manifest import store
from recipe_compiler.manifest.prefix import Prefix
from recipe_compiler.manifest.rows import between
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan.nodes import Location
from recipe_compiler.report.explanation import Draw, Explanation, QuotaFilled, RuleMet, SampleName
from recipe_compiler.resolve.search import By, Found, search
from recipe_compiler.resolve.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Explanations of the first samples of as many as were found; `unread` are files whose texts were not at hand."""

    explanations: list[Explanation]
    found: int
    unread: list[str]


class Explainer:
    """A manifest, compiled again and watched. Opening it takes as long as compiling it without reading any pool; an
    answer then reads a few arrays."""

    def __init__(self, folder: Path, workspace: Workspace, findings: Findings) -> None:
        """Raises `DataError` where what the manifest was compiled from is neither on this disk nor in the cache."""
        self.manifest = manifest = store.read(folder)
        self.workspace = workspace
        self.checked, self.bound = pipeline.bind_manifest(manifest, workspace, findings)
        self.watch = Watch()
        replay = pipeline.replay(manifest, self.checked, self.bound, findings, self.watch, Prefix.kept(folder))
        self.frame, self.ordered = replay.selection.frame, replay.ordered
        self.source, self.offset = (self.frame[name].to_numpy() for name in ("source", "offset"))

    def samples(self, wanted: str, *, by: By | None, limit: int) -> Answer:
        """Explains the first `limit` samples that `wanted` names."""
        found, unread = search(self.bound, self.workspace, wanted, by)
        explanations = [self._explained(sample) for sample in found[:limit]]
        return Answer(explanations=explanations, found=len(found), unread=unread)

    def quotas(self, wanted: str | None, *, limit: int) -> list[QuotaFilled]:
        """What fills the quotas of this name, or all: the first `limit` samples of each, and those at its border."""
        filled = self.watch.quotas
        chosen = [quota for quota in filled if wanted in (None, quota.name)]
        if not chosen:
            names = ", ".join(dict.fromkeys(f"`{quota.name}`" for quota in filled))
            raise RecipeError(f"there is no quota `{wanted}`; there are {names}" if filled else "there are no quotas")
        return [self._filled(quota, limit) for quota in chosen]

    def _row(self, sample: Found) -> int | None:
        """Where a sample is in the table: files follow one another, records lie in them by their offsets."""
        # Of the column's own type: numpy would copy the column to compare it with another.
        ends = np.array([sample.source, sample.source + 1], dtype=self.source.dtype)
        start, end = np.searchsorted(self.source, ends)
        offset = np.array(sample.number("offset"), dtype=self.offset.dtype)
        row = start + int(np.searchsorted(self.offset[start:end], offset))
        return int(row) if row < end and self.offset[row] == sample.number("offset") else None

    def _explained(self, sample: Found) -> Explanation:
        row, ordered = self._row(sample), self.ordered
        positions = () if row is None else between(ordered.rows, row, row)
        units = self.manifest.units
        draws = tuple(
            Draw(
                position=int(position),
                stage=ordered.stages[ordered.stage[position]].name,
                rule=ordered.rules[ordered.rule[position]],
                unit="" if units is None else f"{units.kind} {int(ordered.unit[position]):,}",
                earlier=bool(position < ordered.position),
            )
            for position in positions
        )
        rules = _before_all_rules(sample, self.checked.recipe)
        if not rules and row is not None:
            rules = [_rule(met, self.checked.recipe) for met in self.watch.met(row)]
        return Explanation(
            sample_id=sample.sample_id,
            pool=sample.pool.scan.pool,
            key=sample.key,
            file=sample.file.path,
            offset=sample.number("offset"),
            found_by=sample.by,
            draws=draws,
            rules=tuple(rules),
        )

    def _filled(self, quota: Filled, limit: int) -> QuotaFilled:
        inside = quota.able & (quota.group == quota.value)
        taken, left = inside & quota.taken, inside & ~quota.taken
        order = quota.preference.key, quota.preference.keys, quota.preference.scores
        rows = np.flatnonzero(taken)
        pools = self.frame["pool"].gather(rows).value_counts().sort("pool").rows() if len(rows) else []
        return QuotaFilled(
            name=quota.name,
            asked=quota.asked,
            line=line_of(self.checked.recipe, quota.at),
            available=int(inside.sum()),
            taken=len(rows),
            pools=dict(pools),
            first=tuple(self._sample(int(row)) for row in rows[:limit]),
            last_taken=self._sample(kernels.last_of(*order, marks=taken)) if taken.any() else None,
            first_left=self._sample(kernels.first_of(*order, marks=left)) if left.any() else None,
        )

    def _sample(self, row: int) -> SampleName:
        pool, key = frames.pool_and_key(self.frame, row)
        high, low = self.frame["id_high"][row], self.frame["id_low"][row]
        return SampleName(sample_id=f"{high:016x}{low:016x}", pool=pool, key=key)


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
        gone = sorted(set(media or ()) & set(sample.pool.missing_media))
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
