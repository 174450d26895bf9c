"""What is needed to try training out: `tiny`."""

from __future__ import annotations

from pathlib import Path

import click

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import runtime, speaking
from recipe_compiler.errors import RecipeError

#: What torch takes.
_MAX_SEED = (1 << 63) - 1


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--family",
    type=click.Choice(["llava", "idefics3", "smolvlm", "qwen2_5_vl", "qwen3_vl"]),
    default="llava",
    show_default=True,
    help="The architecture.",
)
@click.option("--hidden", type=click.IntRange(min=32), default=96, show_default=True, help="Width of both towers.")
@click.option("--layers", type=click.IntRange(min=1), default=2, show_default=True, help="Layers of each tower.")
@click.option("--image-size", type=click.IntRange(min=8), default=48, show_default=True, help="Side in pixels.")
@click.option("--patch-size", type=click.IntRange(min=2), default=8, show_default=True, help="Side in pixels.")
@click.option("--vocabulary", type=click.IntRange(min=320), default=512, show_default=True, help="Most tokens.")
@click.option(
    "--texts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file of lines that the tokenizer learns from.  [default: a few sentences]",
)
@click.option("--seed", type=click.IntRange(0, _MAX_SEED), default=0, show_default=True, help="Of the random weights.")
@speaking()
def tiny(
    folder: Path,
    family: str,
    hidden: int,
    layers: int,
    image_size: int,
    patch_size: int,
    vocabulary: int,
    texts: Path | None,
    seed: int,
    *,
    voice: Voice,
) -> None:
    """Write a vision-language model with random weights and its processor, to try things with. Nothing is downloaded.

    The sizes that are the default learn simple pictures on a CPU in minutes; larger numbers fill a GPU.

    \b
    Examples:
      recipe tiny models/tiny
      recipe tiny models/large --family qwen3_vl --hidden 1536 --layers 16 --image-size 448 --patch-size 16
    """
    try:
        lines = None if texts is None else texts.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise RecipeError(f"{texts}: is not UTF-8, which `--texts` reads; save it as that") from None
    sizes = {"image_size": image_size, "patch_size": patch_size, "hidden": hidden, "layers": layers}
    parameters = runtime("trying").write_tiny(folder, family, seed=seed, vocabulary=vocabulary, texts=lines, **sizes)
    document = {"folder": str(folder), "family": family, "parameters": parameters, **sizes}
    voice.show(f"{folder}: {family}, {parameters:,} parameters", document)
