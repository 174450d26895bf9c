"""A tiny model to try things with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recipe_compiler.errors import PackageMissing, RecipeError


def write_tiny(folder: Path, family: str, *, texts: Sequence[str] | None, **numbers: int) -> int:
    """Writes a model into a folder that is new or empty, and gives its number of parameters; see `runtime.tiny.write`."""
    if folder.exists() and any(folder.iterdir()):
        raise RecipeError(f"{folder} is not empty; name a new folder")
    try:
        from runtime import tiny
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name or "transformers", "train") from None
    return tiny.write(folder, family, texts=texts, **numbers)
