"""What a model finds hard: `score`."""

from __future__ import annotations

from pathlib import Path

import click

from recipe_compiler.cli.commands.evaluating import MAX_NEW_TOKENS, METRIC, VIDEO_FRAMES
from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import MANIFEST_CACHE, MANIFEST_ROOT, needs, runtime, speaking


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--manifest", required=True, type=click.Path(path_type=Path), help="The samples to score.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The Parquet file to write."
)
@click.option(
    "--ifd", "with_ifd", is_flag=True, help="Score the answers without their questions, too, for their ratio."
)
@click.option(
    "--pism", "with_pism", is_flag=True, help="Find how much of its images each answer needs; many answers a sample."
)
@click.option(
    "--trials", type=click.IntRange(1, 100), default=10, show_default=True, help="Masks of a level, with --pism."
)
@MAX_NEW_TOKENS
@VIDEO_FRAMES
@METRIC
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The seed of the masks.")
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Samples scored at once.")
@MANIFEST_ROOT
@MANIFEST_CACHE
@speaking()
def score(
    model: Path,
    manifest: Path,
    out: Path,
    trials: int,
    max_new_tokens: int,
    video_frames: int | None,
    metrics: tuple[str, ...],
    seed: int,
    batch: int,
    root: Path | None,
    cache: Path | None,
    *,
    with_ifd: bool,
    with_pism: bool,
    voice: Voice,
) -> None:
    """Score samples by a model: loss and perplexity of their answers, IFD and PISM, as annotations for a recipe.

    One that was cut short goes on. The file keeps digests of the model and the manifest. A recipe names it: `annotations: [{source: scores.parquet}]`, and
    may say `select: {method: difficulty, pism: pism_level, solved: solved}`.

    \b
    Example:
      recipe score runs/1.4/checkpoints/000400/model --manifest releases/1.4 --out scores/400.parquet --ifd
    """
    if not with_pism:
        needs("--pism", "trials", "max_new_tokens", "metrics", "seed")
    scoring = runtime("scoring")
    pism = scoring.Pism(metrics=metrics, trials=trials, max_new_tokens=max_new_tokens, seed=seed) if with_pism else None
    with voice.progress(of_bytes=False) as progress:
        document = scoring.score(
            model,
            manifest,
            out,
            with_ifd=with_ifd,
            pism=pism,
            batch=batch,
            video_frames=video_frames,
            root=root,
            cache=cache,
            progress=progress,
        )
    shown = f"{document['samples']:,} samples: {', '.join(document['columns'][1:])}"
    if document["without_answer"]:
        shown += f"\n{document['without_answer']:,} have no answer, and no scores"
    if document.get("without_level"):
        shown += f"\n{document['without_level']:,} have no image or no answer to judge by, and no level"
    if document["scored_before"]:
        voice.say(f"{out}: {document['scored_before']:,} of {document['samples']:,} samples were scored before")
    voice.show(shown, document)
    voice.say(f"wrote {out}")
