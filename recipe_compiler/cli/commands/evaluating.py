"""How good a model is: `holdouts`, `eval`, `eval-compare`, `export-lmms`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import MANIFEST, MANIFEST_CACHE, MANIFEST_ROOT, RECIPE, needs, runtime, speaking
from recipe_compiler.errors import RecipeError

_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE = click.Path(path_type=Path, dir_okay=False)
METRIC = click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="[POOL=]NAME",
    help="Judge by exact, relaxed, anls, vqa, choice or yesno, everywhere or in one pool; may be given again."
    "  [default: auto]",
)
MAX_NEW_TOKENS = click.option(
    "--max-new-tokens", type=click.IntRange(min=1), default=32, show_default=True, help="The longest answer."
)
VIDEO_FRAMES = click.option(
    "--video-frames",
    type=click.IntRange(min=1),
    help="Frames that are shown of a video at most; without, a video is refused.",
)
_LEVEL = re.compile(r"(?P<name>.+)=(?P<least>[0-9]{1,15}(\.[0-9]{1,15})?)")


def _levels(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """`COLUMN=LEVEL`, several, as levels by column."""
    found = {}
    for value in values:
        match = _LEVEL.fullmatch(value)
        if match is None:
            raise click.BadParameter(f"`{value}` is no COLUMN=LEVEL, such as capability.ocr=3")
        found[match["name"]] = float(match["least"])
    return found


_SEED = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The seed of the intervals' resamples."
)


@click.command()
@RECIPE
@speaking("text", "json", "concise")
def holdouts(recipe: Path, *, voice: Voice) -> None:
    """Print a recipe of a recipe's holdouts, which compiles to what `recipe eval` asks. Reads no data.

    \b
    Example:
      recipe holdouts recipe.yaml > exam.yaml
      recipe compile exam.yaml --out releases/1.4-exam
    """
    from recipe_compiler import pipeline
    from recipe_compiler.diagnostics import Findings
    from recipe_compiler.model.holdouts import holdouts as written

    text = written(pipeline.check_recipe(recipe, Findings()).recipe.recipe)
    if text is None:
        raise RecipeError(f"{recipe}: no pool is a holdout; give those to evaluate on `role: holdout`")
    voice.text(text)


@click.command("eval")
@click.argument("model", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--manifest", required=True, type=click.Path(path_type=Path), help="What is asked: a manifest of holdout pools."
)
@click.option(
    "--predictions", type=_FILE, help="Judge the answers of this JSON Lines file, or of a run, in place of a model's."
)
@click.option(
    "--out",
    required=True,
    type=_FILE,
    help="The run: answers and scores, as JSON Lines. One that was cut short is gone on with.",
)
@click.option("--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Questions answered at once.")
@MAX_NEW_TOKENS
@VIDEO_FRAMES
@METRIC
@click.option("--scores", type=_FILE, help="A table of scores of the questions, whose columns are capabilities.")
@click.option(
    "--capability",
    "levels",
    multiple=True,
    metavar="COLUMN=LEVEL",
    callback=_levels,
    help="A column of --scores, and the least score with which a question asks for it; may be given again.",
)
@click.option(
    "--match",
    type=click.Choice(["sample_id", "key"]),
    default="sample_id",
    show_default=True,
    help="The column of --scores that says whose they are.",
)
@_SEED
@MANIFEST_ROOT
@MANIFEST_CACHE
@speaking("text", "json", "md")
def eval_(
    model: Path | None,
    manifest: Path,
    predictions: Path | None,
    out: Path,
    batch: int,
    max_new_tokens: int,
    video_frames: int | None,
    metrics: tuple[str, ...],
    scores: Path | None,
    levels: dict[str, float],
    match: str,
    seed: int,
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> None:
    """Score a model's greedy answers to a manifest, per capability, group and benchmark, with 95% intervals.

    A capability is the category of a pool, or with --scores a column of a table: a question may ask for several. The metric
    of a sample is that of --metric, else of its pool's tag `metric:NAME`, else by what the sample and its pool's category
    are. Under torchrun, every process answers its part.

    \b
    Examples:
      recipe eval runs/1.4/checkpoints/000400/model --manifest releases/1.4-exam --out runs/400.jsonl
      recipe eval runs/1.4/checkpoints/000400/model --manifest releases/1.4-exam --out runs/400.jsonl \\
        --scores scores/exam.parquet --capability capability.ocr=3 --capability capability.chart=3
      torchrun --nproc_per_node=8 -m recipe_compiler eval runs/1.4/checkpoints/000400/model \\
        --manifest releases/1.4-exam --out runs/400.jsonl
      recipe eval --predictions answers.jsonl --manifest releases/1.4-exam --out runs/other.jsonl --metric docs=anls
    """
    if (model is None) == (predictions is None):
        raise click.UsageError("say which MODEL answers, or give its --predictions")
    if bool(levels) != (scores is not None):
        raise click.UsageError("--scores needs a --capability, and a --capability its --scores: say both")
    if model is None:
        needs("a MODEL", "batch", "max_new_tokens", "video_frames")
    if scores is None:
        needs("--scores", "match")
    evaluating = runtime("evaluating")
    table = evaluating.Levels(source=scores, match=match, levels=levels) if scores is not None else None
    leads = os.environ.get("RANK", "0") == "0"
    questions = evaluating.questions_of(manifest, metrics, levels=table, root=root, cache=cache)
    with voice.progress(of_bytes=False) as progress:
        if model is not None:
            had = evaluating.answer(
                model,
                questions,
                out,
                metrics=metrics,
                batch=batch,
                max_new_tokens=max_new_tokens,
                video_frames=video_frames,
                progress=progress,
            )
            if had and leads:
                voice.say(f"{out}: {had:,} of {len(questions):,} draws were answered before")
        elif leads:
            evaluating.judge(predictions, questions, out, metrics=metrics, progress=progress)
    if not leads:
        return
    document = evaluating.scored(out, seed=seed)
    told = {row["name"] for row in document["rows"] if row["level"] == "capability"}
    for name, least in levels.items():
        if name not in told:
            voice.say(f"no question has a `{name}` of at least {least:g} in {scores}")
    from recipe_compiler.report import scores as report

    parts = report.scores(document)
    voice.show(report.markdown(parts) if voice.format == "md" else report.shown(parts), document)
    voice.say(f"wrote {out}")


def _counted(_context: click.Context, _parameter: click.Parameter, values: str | tuple[str, ...] | None) -> Any:
    """`SAMPLES=RUN`, one or several, as (samples, path)."""
    if values is None:
        return None
    if isinstance(values, tuple):
        return [_counted(_context, _parameter, value) for value in values]
    number, equals, path = values.partition("=")
    if not (equals and path and number.isascii() and number.isdigit() and len(number) <= 15 and int(number)):
        raise click.BadParameter(f"`{values}` is no SAMPLES=RUN, such as 10000=runs/10k.jsonl")
    return int(number), Path(path)


@click.command("eval-compare")
@click.argument("runs", nargs=-1, required=True, type=_FILE)
@click.option("--full", type=_FILE, help="The run of a model trained on everything: for `/FULL`.")
@click.option("--random", type=_FILE, help="The run of a model trained on a random selection: for `>Random`.")
@click.option(
    "--curve",
    multiple=True,
    metavar="SAMPLES=RUN",
    callback=_counted,
    help="A run of a series, and its training samples; give several.",
)
@click.option(
    "--reference",
    metavar="SAMPLES=RUN",
    callback=_counted,
    help="The run that the curve is to reach, and its training samples.",
)
@_SEED
@speaking("text", "json", "md")
def eval_compare(
    runs: tuple[Path, ...],
    full: Path | None,
    random: Path | None,
    curve: list[tuple[int, Path]],
    reference: tuple[int, Path] | None,
    seed: int,
    *,
    voice: Voice,
) -> None:
    """Set runs of `recipe eval` side by side: scores, and differences to the first with paired 95% intervals.

    /FULL is the mean over benchmarks of a score as a share of the full run's; >Random counts the benchmarks above the
    random run; samples to match is where the line through a curve of runs reaches the reference.

    \b
    Examples:
      recipe eval-compare runs/random.jsonl runs/mmssr.jsonl --full runs/full.jsonl --random runs/random.jsonl
      recipe eval-compare runs/a.jsonl --curve 10000=runs/10k.jsonl --curve 20000=runs/20k.jsonl \\
        --reference 512000=runs/uniform.jsonl
    """
    from recipe_compiler.report import scores

    document = runtime("contrasting").contrast(
        runs, full=full, random=random, curve=curve, reference=reference, seed=seed
    )
    parts = scores.contrast(document)
    voice.show(scores.markdown(parts) if voice.format == "md" else scores.shown(parts), document)


@click.command("export-lmms")
@MANIFEST
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="The name of the group of tasks.  [default: the manifest's name]")
@MAX_NEW_TOKENS
@METRIC
@MANIFEST_ROOT
@MANIFEST_CACHE
@speaking()
def export_lmms(
    manifest: Path,
    out: Path,
    name: str | None,
    max_new_tokens: int,
    metrics: tuple[str, ...],
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> None:
    """Write a manifest as tasks of lmms-eval, one for each pool, with their data. Install this package beside lmms-eval.

    \b
    Example:
      recipe export-lmms releases/1.4-exam tasks
      lmms-eval --include_path tasks --tasks quickstart-holdouts --model ...
    """
    if name is not None and not _TASK_NAME.fullmatch(name):
        raise click.UsageError(f"`--name {name}`: a name has letters, digits, `-`, `_` and `.`")
    evaluating = runtime("evaluating")
    questions = evaluating.questions_of(manifest, metrics, root=root, cache=cache)
    group, tasks = evaluating.export_lmms(questions, out, name=name, max_new_tokens=max_new_tokens)
    lines = [
        f"{task}: {counts['exported']:,} questions"
        + (f", {counts['unscored']:,} without an answer to judge by, left out" if counts["unscored"] else "")
        for task, counts in tasks.items()
    ]
    voice.show("\n".join(lines), {"group": group, "tasks": tasks})
    voice.say(f"wrote {out}")
