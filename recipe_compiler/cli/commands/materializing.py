"""A manifest's samples in files of their own: `materialize`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import MANIFEST, MANIFEST_CACHE, MANIFEST_ROOT, at_hand, runtime, speaking

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _size(_context: click.Context, _parameter: click.Parameter, written: str) -> int:
    """`256MB` in bytes."""
    found = re.fullmatch(r"([0-9]{1,12}) ?([KMG]i?B|B?)", written.strip())
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not size:
        raise click.BadParameter(f"`{written}` is no size, such as 256MB or 64MiB")
    return size


@click.command()
@MANIFEST
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "kind",
    type=click.Choice(["webdataset", "mds", "parquet", "jsonl"]),
    required=True,
    help="What to write. All but parquet can be streamed, shown and resumed like the manifest.",
)
@click.option(
    "--shard-size",
    callback=_size,
    default="256MB",
    show_default=True,
    help="The size that no file of several draws exceeds.",
)
@click.option(
    "--workers", type=click.IntRange(min=0), help="Processes that read and encode.  [default: one for each core]"
)
@MANIFEST_ROOT
@MANIFEST_CACHE
@speaking("text", "json")
def materialize(
    manifest: Path | str,
    out: Path,
    kind: str,
    shard_size: int,
    workers: int | None,
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> None:
    """Copy a manifest's samples, in its order, into files for object stores and other trainers.

    The folder holds the manifest too, so that it is streamed like any other. A run that was stopped goes on where the same
    command is given again.

    \b
    Example:
      recipe materialize releases/1.4 /data/1.4 --to webdataset
    """
    with voice.progress() as progress:
        shown, document = runtime("materializing").write(
            at_hand(manifest, root, cache),
            out,
            kind,
            shard_bytes=shard_size,
            workers=workers,
            root=root,
            cache=cache,
            progress=progress,
        )
    voice.show(f"{out}: {shown}", {"out": str(out), **document})
