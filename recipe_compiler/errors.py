"""The exceptions, as a tree.

RecipeError                         something the user can act on; exit 1
 |- ManifestError                   a manifest cannot be read
 |   |- ManifestVersionError        its format is not one we read
 |   |- ManifestCorrupt             its bytes are not what its digests say
 |- DataError                       a file of a pool cannot be read, or is not the file that was compiled
 |- PackageMissing                  an optional package is not installed

`recipe_compiler.diagnostics.Rejected` is the RecipeError that carries located diagnostics.
"""

from __future__ import annotations

from typing import Any


class RecipeError(Exception):
    """Something the user can act on. It passes between processes as it is."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[RecipeError], arguments: tuple[Any, ...], state: dict[str, Any]) -> RecipeError:
    """An error without its constructor, which takes more than the message."""
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    return error


class ManifestError(RecipeError):
    """A manifest cannot be read."""


class ManifestVersionError(ManifestError):
    """The manifest was written in a format this version does not read."""

    def __init__(self, path: str, found: object, supported: int) -> None:
        super().__init__(f"{path}: manifest format {found} is not supported; this version reads format {supported}")


class ManifestCorrupt(ManifestError):
    """What is on disk is not what was written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class DataError(RecipeError):
    """A file of a pool cannot be read, or is not the file that was compiled."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class PackageMissing(RecipeError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"`{package}` is not installed; install it with `pip install 'recipe-compiler[{extra}]'`")
