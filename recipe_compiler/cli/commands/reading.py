"""What manifests say: `verify`, `show`, `bench`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import MANIFEST, MANIFEST_CACHE, MANIFEST_ROOT, at_hand, runtime, speaking
from recipe_compiler.errors import DataError, RecipeError, StorageError


@click.command()
@MANIFEST
@MANIFEST_ROOT
@MANIFEST_CACHE
@click.option("--rows-only", is_flag=True, help="Look at the manifest alone and not at the files it reads.")
@click.option("--deep", is_flag=True, help="Fetch remote files whose bytes this machine has not seen yet.")
@speaking()
def verify(
    manifest: Path | str, root: Path | None, cache: Path | None, *, rows_only: bool, deep: bool, voice: Voice
) -> int:
    """Prove that a manifest is the one that was compiled, and that its pools still are. Works offline for local files.

    Of remote files the size is asked, and whether they are still marked as when this machine fetched them.

    \b
    Examples:
      recipe verify releases/1.4
      recipe verify s3://lab/releases/1.4 --deep
    """
    if rows_only and deep:
        raise click.UsageError("--rows-only looks at no file, and --deep at every one: say one of them")
    from recipe_compiler.manifest import store

    folder = at_hand(manifest, root, cache)
    with voice.progress() as progress:
        copied = None if rows_only else runtime("materializing").verify_copy(folder, progress)
        nowhere = rows_only or (copied is not None and root is None)
        place = None if nowhere else root or store.find_root(folder, store.read(folder))
        found = store.verify(folder, place, progress, cache=cache, deep=deep)
    document = {"shards": found.shards, "rows": found.rows, "sources": found.sources, "changed": [], "past": []}
    document["unproved"] = list(found.unproved)
    lines = [f"{found.rows:,} rows in {found.shards:,} shard{'' if found.shards == 1 else 's'} are as compiled"]
    if copied is not None:
        num = copied.files - len({path for path, _ in copied.changed})
        lines.append(f"{num:,} of {copied.files:,} files of the copy are as written ({copied.num_bytes / 1e6:,.1f} MB)")
        lines += [f"changed: {path}: {reason}" for path, reason in copied.changed]
        document["copy"] = {"files": copied.files, "bytes": copied.num_bytes, "changed": list(copied.changed)}
    if place is not None:
        num = found.sources - len(found.changed) - len(found.past) - len(found.unproved)
        lines.append(f"{num:,} of {found.sources:,} sources are as compiled")
        if found.unproved:
            lines.append(f"{len(found.unproved):,} remote, of the size that was compiled; `--deep` reads their bytes")
        if any(pool.media is not None for pool in store.read(folder).pools):
            lines.append("media are known by their paths; their files are not looked at")
            document["media_proved"] = False
    for path, reason in found.changed:
        first = runtime("showing").first_difference(folder, path, root=place, cache=cache)
        lines.append(f"changed: {path}: {reason}" + (f"; {first}" if first else ""))
        document["changed"] += [{"source": path, "reason": reason, "first": first}]  # type: ignore[operator]
    for path, reason in found.past:
        lines.append(f"past: {path}: {reason}; only draws that were consumed before this manifest read it")
        document["past"] += [{"source": path, "reason": reason}]  # type: ignore[operator]
    voice.show("\n".join(lines), document)
    return 1 if found.changed or (copied is not None and copied.changed) else 0


@click.command()
@MANIFEST
@click.option("--position", type=int, help="Show the draw at this position: its messages and media.")
@click.option("--step", type=click.IntRange(min=0), help="Show the draws of this training step, from 0.")
@click.option("--batch", type=click.IntRange(min=1), help="The global batch, with --step.  [default: the recipe's]")
@MANIFEST_ROOT
@MANIFEST_CACHE
@speaking()
def show(
    manifest: Path | str,
    position: int | None,
    step: int | None,
    batch: int | None,
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> None:
    """Show what a manifest holds, or the very samples of a position or a training step.

    \b
    Examples:
      recipe show releases/1.4
      recipe show releases/1.4 --position 31200
      recipe show releases/1.4 --step 312 --batch 256
    """
    from recipe_compiler.manifest import codec, store
    from recipe_compiler.report import tables

    if position is None and step is None and batch is None:
        read = store.read(at_hand(manifest, root, cache, shards=False))
        voice.show(tables.summary(read), json.loads(codec.encode(read)))
        return
    if (position is None) == (step is None) or (position is not None and batch is not None):
        raise click.UsageError("say --position, or --step with --batch")
    if position is not None:
        start, stop = position, position + 1
    else:
        start, stop = runtime("showing").positions_of_step(manifest, step, batch, root=root, cache=cache)
    shown, document = runtime("showing").show_draws(manifest, start, stop, root=root, cache=cache)
    voice.show(shown, document)


@click.command()
@MANIFEST
@click.option("--batch", type=click.IntRange(min=1), help="The global batch.  [default: the recipe's, else 256]")
@click.option("--workers", type=click.IntRange(min=0), default=0, help="Worker processes of a torch loader; 0 is none.")
@click.option("--decode", is_flag=True, help="Decode images too.")
@MANIFEST_ROOT
@MANIFEST_CACHE
@speaking()
def bench(
    manifest: Path | str,
    batch: int | None,
    workers: int,
    decode: bool,
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> None:
    """Stream one epoch of a manifest and say how fast it went.

    \b
    Example:
      recipe bench releases/1.4 --decode
    """
    try:
        shown, document = runtime("streaming").bench(manifest, batch, workers, decode=decode, root=root, cache=cache)
    except (DataError, StorageError) as error:
        raise RecipeError(f"the stream stopped: {error}") from None
    voice.show(shown, document)
