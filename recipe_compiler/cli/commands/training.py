"""What is trained, and what it saw: `train`, `ledger`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import runtime, speaking


@click.command()
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run.")
@speaking()
def train(config: Path, resume: bool, *, voice: Voice) -> None:
    """Fine-tune a model on a manifest, as a file says. Under torchrun, every process is a rank.

    \b
    The least that the file says; recipes/training/README.md has the rest:
      train: 1
      model: models/llava
      manifest: releases/1.4
      out: runs/1.4
      batch: 256
      learning_rate: {adamw: 0.00002}

    \b
    Examples:
      recipe train run.yaml
      recipe train run.yaml --resume
      torchrun --nproc_per_node=8 -m recipe_compiler train run.yaml
    """
    leads = os.environ.get("RANK", "0") == "0"
    say = voice.say if leads else lambda _remark: None
    with voice.steps() as progress:
        shown, document = runtime("training").train(config, resume=resume, say=say, progress=progress)
    if leads:
        voice.show(shown, document)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--step", type=click.IntRange(min=0), help="What was in this step, from 0?")
@click.option("--checkpoint", type=click.IntRange(min=0), help="What has the checkpoint after this many steps seen?")
@click.option("--sample", metavar="ID", help="When was this sample seen? An id, or how it begins.")
@click.option("--list", "listed", is_flag=True, help="With --checkpoint: every draw, too.")
@click.option("--manifest", type=click.Path(path_type=Path), help="Where the run's manifest lies now, if it was moved.")
@speaking("text", "json")
def ledger(
    run: Path,
    step: int | None,
    checkpoint: int | None,
    sample: str | None,
    listed: bool,
    manifest: Path | None,
    *,
    voice: Voice,
) -> None:
    """Say what a training run saw. It reads the ledger and the manifest, and no pool.

    \b
    Examples:
      recipe ledger runs/1.4
      recipe ledger runs/1.4 --step 312
      recipe ledger runs/1.4 --checkpoint 400
      recipe ledger runs/1.4 --sample 9f3c1ab2
    """
    if sum(asked is not None for asked in (step, checkpoint, sample)) > 1:
        raise click.UsageError("say one of --step, --checkpoint and --sample")
    if listed and checkpoint is None:
        raise click.UsageError("--list goes with --checkpoint")
    asked = runtime("ledger")
    if step is not None:
        voice.show(*asked.step(run, step, manifest))
    elif checkpoint is not None:
        voice.show(*asked.checkpoint(run, checkpoint, manifest, listed=listed))
    elif sample is not None:
        voice.show(*asked.sample(run, sample, manifest))
    else:
        voice.show(*asked.overview(run))
