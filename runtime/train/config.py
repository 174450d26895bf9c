"""The file of a run: YAML -> `Config`. Every mistake is told where it stands.

    train: 1
    model: models/llava                     # a folder that `save_pretrained` wrote, with its processor
    manifest: releases/1.4
    out: runs/1.4
    batch: 256                              # draws a step, of all ranks together
    micro_batch: 8                          # at most so many of them at once on a rank
    video_frames: 16                        # at most so many frames of a video; without, a video stops the run
    learning_rate: {adamw: 0.00002}         # with `muon`, that optimizer has the matrices
    stages: {ocr: {learning_rate: {adamw: 0.00001}}}
    schedule: {shape: cosine, warmup: 3%}
    checkpoint: {every: 200, keep: 2}
    capabilities: {source: scores/judged.parquet, levels: {capability.ocr: 3}}

Paths are relative to the file's folder. Whoever writes this file runs it: it may name any local path, and no URL.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from recipe_compiler.diagnostics import Findings, SourceText, Span
from recipe_compiler.errors import RecipeError
from recipe_compiler.manifest import store
from recipe_compiler.manifest.schema import Manifest
from recipe_compiler.syntax.parse import parse
from recipe_compiler.syntax.tree import MapNode
from runtime.capabilities import MATCHES, Levels
from runtime.train.settings import Settings

CONFIG_VERSION = 1
MAX_BYTES = 1 << 20
SHAPES = ("cosine", "linear", "constant")
LOGGERS = ("tensorboard", "wandb")


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates at their height. Without `muon`, AdamW has all weights."""

    adamw: float
    muon: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a run is. Counts are draws or steps, as their names say."""

    model: Path
    manifest: Path
    root: Path | None
    out: Path
    batch: int
    micro_batch: int
    video_frames: int | None
    steps: int | None
    rates: Rates
    stage_rates: Mapping[str, Rates]
    shape: str
    warmup: int | Fraction
    weight_decay: float
    clip: float
    freeze: tuple[str, ...]
    checkpoint_every: int | None
    checkpoint_at_stages: bool
    keep: int | None
    seed: int
    precision: Literal["float32", "bfloat16"]
    device: Literal["auto", "cpu", "cuda"]
    threads: int | None
    workers: int
    deterministic: bool
    on_error: Literal["raise", "tombstone"]
    log: tuple[str, ...]
    capabilities: Levels | None


#: Fields of a config that have another name in the file.
_NAMES = {
    "rates": "learning_rate",
    "stage_rates": "stages",
    "shape": "schedule.shape",
    "warmup": "schedule.warmup",
    "checkpoint_every": "checkpoint.every",
    "checkpoint_at_stages": "checkpoint.at_stages",
    "keep": "checkpoint.keep",
}


def plain(config: Config) -> dict[str, Any]:
    """What a run was told, as plain JSON by the settings' names, such as `learning_rate.adamw`.

    Paths lead from the run's folder, which is left out: they stay the same wherever the command is given.
    """
    found: dict[str, Any] = {}

    def put(name: str, value: object) -> None:
        match value:
            case Rates() | Levels():
                for field in fields(value):
                    put(f"{name}.{field.name}", getattr(value, field.name))
            case Mapping():
                for key, inner in value.items():
                    put(f"{name}.{key}.learning_rate" if isinstance(inner, Rates) else f"{name}.{key}", inner)
            case Path():
                found[name] = os.path.relpath(value, config.out)
            case Fraction():
                found[name] = f"{float(100 * value):g}%"
            case tuple():
                found[name] = list(value)
            case _:
                found[name] = value

    for field in fields(config):
        if field.name != "out":
            put(_NAMES.get(field.name, field.name), getattr(config, field.name))
    return found


def read(path: Path) -> Config:
    """The config of a file, checked against its manifest. Raises `Rejected` with a place for every mistake."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{path}: more than {MAX_BYTES:,} bytes, which no config has")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {getattr(error, 'strerror', None) or 'is not UTF-8'}") from None
    findings = Findings()
    source = SourceText(str(path), text)
    tree = parse(source, findings)
    findings.stop_if_errors()
    assert tree is not None
    config = _config(tree, path.parent, findings)
    findings.stop_if_errors()
    assert config is not None
    return config


def _config(tree: MapNode, folder: Path, findings: Findings) -> Config | None:
    top = Settings(tree, "", folder, findings)
    version = top.whole("train", None)
    if version not in (None, CONFIG_VERSION):
        findings.error(
            "model.version", f"this file is written for version {version} of `recipe train`", top.span("train")
        )
        return None
    model, manifest, out = top.path("model"), top.path("manifest"), top.path("out")
    root = top.path("root", needed=False)
    batch = top.whole("batch", None)
    rates = _rates(top, None)
    stages = top.part("stages")
    stage_rates: dict[str, Rates | None] = {}
    places: dict[str, Span] = {}
    for name in stages.names():
        stage = stages.part(name)
        stage_rates[name] = _rates(stage, rates)
        places[name] = stages.key_span(name)
        stage.close()
    schedule, checkpoint = top.part("schedule"), top.part("checkpoint")
    rest = {
        "micro_batch": top.whole("micro_batch", batch or 1),
        "video_frames": top.whole("video_frames", 0) or None,
        "steps": top.whole("steps", 0) or None,
        "shape": schedule.choice("shape", SHAPES),
        "warmup": schedule.count_or_share("warmup"),
        "weight_decay": top.number("weight_decay", 0.01),
        "clip": top.number("clip", 1.0),
        "freeze": top.texts("freeze"),
        "checkpoint_every": checkpoint.whole("every", 0) or None,
        "checkpoint_at_stages": checkpoint.flag("at_stages", True),
        "keep": checkpoint.whole("keep", 0) or None,
        "seed": top.whole("seed", 0, least=0),
        "precision": top.choice("precision", ("float32", "bfloat16")),
        "device": top.choice("device", ("auto", "cpu", "cuda")),
        "threads": top.whole("threads", 0) or None,
        "workers": top.whole("workers", 0, least=0),
        "deterministic": top.flag("deterministic", True),
        "on_error": top.choice("on_error", ("raise", "tombstone")),
        "log": top.texts("log", LOGGERS),
        "capabilities": _capabilities(top),
    }
    for part in (schedule, checkpoint, stages, top):
        part.close()
    if model is not None and not (model / "config.json").is_file():
        way_out = "name a folder that `save_pretrained` wrote; models are not fetched"
        findings.error("model.reference", f"there is no model in `{model}`", top.span("model"), help=way_out)
    if manifest is not None:
        try:
            _check_stages(store.read(manifest), places, findings)
        except RecipeError as error:
            findings.error("model.reference", f"no manifest to train on: {error}", top.span("manifest"))
    if None in (model, manifest, out, batch, rates) or findings.errors:
        return None
    known = {"model": model, "manifest": manifest, "root": root, "out": out, "batch": batch, "rates": rates}
    return Config(**known, stage_rates=stage_rates, **rest)  # type: ignore[arg-type]


def _rates(part: Settings, default: Rates | None) -> Rates | None:
    """The learning rates of a part. Those of a stage are of the same optimizers as the run's."""
    given = part.part("learning_rate", needed=True)
    if given.missing:
        return None
    adamw = given.number("adamw", None)
    muon = given.number("muon", 0.0) or None
    if default is not None and (muon is None) != (default.muon is None):
        headline = f"`{given.where}` names other optimizers than the run's `learning_rate`"
        part.findings.error("model.conflict", headline, part.span("learning_rate"), help="name the same ones in both")
    given.close()
    return None if adamw is None else Rates(adamw, muon)


def _capabilities(top: Settings) -> Levels | None:
    """Whose losses are told apart, by the columns of a table of scores."""
    given = top.part("capabilities")
    if given.missing:
        return None
    source = given.path("source")
    if source is not None and not source.is_file():
        top.findings.error("model.reference", f"there is no table of scores `{source}`", given.span("source"))
    listed = given.part("levels", needed=True)
    levels = {name: listed.number(name, None) for name in listed.names()}
    if not levels and not listed.missing:
        headline = f"`{listed.where}` names no capability"
        top.findings.error("model.missing-field", headline, given.span("levels"), help="such as `levels: {ocr: 3}`")
    match = given.choice("match", MATCHES)
    given.close()
    known = {name: least for name, least in levels.items() if least is not None}
    return None if source is None else Levels(source=source, match=match, levels=known)


def _check_stages(manifest: Manifest, places: Mapping[str, Span], findings: Findings) -> None:
    known = [stage.name for stage in manifest.own_stages]
    for name, span in places.items():
        if name not in known:
            listed = ", ".join(f"`{stage}`" for stage in known)
            headline = f"the manifest has no stage `{name}`"
            findings.error("model.reference", headline, span, help=f"it has {listed}")
