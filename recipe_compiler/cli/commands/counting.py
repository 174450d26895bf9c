"""Exact tokens for a processor, and processors to try with: `count`, `tiny`."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import CACHE, RECIPE, ROOT, runtime, speaking, workspace
from recipe_compiler.diagnostics import Findings


@click.command()
@RECIPE
@click.option(
    "--processor",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="The folder of the model that is trained, or of its processor with config.json.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The table of counts, as Parquet."
)
@click.option("--workers", type=click.IntRange(min=0), help="Processes that count.  [default: as many as are worth it]")
@click.option("--video-frames", type=click.IntRange(min=1), help="Frames that are shown of a video at most.")
@ROOT
@CACHE
@speaking("text", "json", "concise")
def count(
    recipe: Path,
    processor: Path,
    out: Path,
    workers: int | None,
    video_frames: int | None,
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> None:
    """Count the tokens of every sample of a recipe's pools exactly as a processor makes them, images included.

    Sizes of images are read, not their pixels; the frames of a video are counted. The recipe takes the counts with `tokens: {counts: tokens.parquet}`.

    \b
    Example:
      recipe count recipe.yaml --processor models/qwen3-vl --out tokens.parquet
    """
    from recipe_compiler import pipeline
    from recipe_compiler.manifest import store
    from recipe_compiler.report.tables import table
    from recipe_compiler.resolve.texts import KeptTexts

    findings = Findings()
    checked = pipeline.check_recipe(recipe, findings)
    # All samples of the pools are those that a recipe draws which asks for nothing.
    all_of_them = {name: checked.plan.recipe[name] for name in ("recipe", "name", "pools")}
    pools = pipeline.check_texts(KeptTexts({recipe.name: json.dumps(all_of_them)}), recipe.name, findings)
    with workspace(recipe, root, cache, voice) as place, TemporaryDirectory() as folder:
        built = pipeline.build_manifest(pools, place, findings)
        voice.diagnose(findings.diagnostics)
        store.write(built.manifest, built.tables(), Path(folder))
        rows = runtime("counting").write_counts(
            Path(folder),
            processor,
            out,
            root=place.root,
            cache=place.cache,
            workers=workers,
            video_frames=video_frames,
            told=lambda done, total: place.progress("count samples", done, total),
        )
    shown = table("tokens", "pool", "samples", "tokens", "of images", "longest")
    for row in rows:
        numbers = (f"{row[name]:,}" for name in ("samples", "tokens", "image_tokens", "longest"))
        shown.add_row(row["pool"], *numbers)
    voice.show(shown, rows)
    voice.say(f"wrote {out}")
