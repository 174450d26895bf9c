"""The exceptions, as a tree.

RecipeError                         something the user can act on; exit 1
 |- ManifestError                   a manifest cannot be read
 |   |- ManifestVersionError        its format is not one we read
 |   |- ManifestCorrupt             its bytes are not what its digests say
 |- DataError                       a file of a pool cannot be read, or is not the file that was compiled
 |   |- FileMissing                 a store has no such file
 |- StorageError                    a store does not answer; the data may well be right
 |   |- AccessDenied                it answers, and not to us
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


class FileMissing(DataError):
    """A store has no such file."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "is not there")


class StorageError(RecipeError):
    """A store does not answer, or not with what was asked for. Nothing is said about the data: trying again may help."""

    def __init__(self, url: str, reason: str, way_out: str = "") -> None:
        super().__init__(f"{url}: {reason}" + (f"; {way_out}" if way_out else ""))
        self.url = url
        self.reason = reason
        self.way_out = way_out


class AccessDenied(StorageError):
    """A store answers, and not to us."""

    def __init__(self, url: str) -> None:
        way_out = "give this process credentials for it, by the store's own configuration or fsspec's"
        super().__init__(url, "the store denies access", way_out)


class PackageMissing(RecipeError):
    """An optional package is not installed. `extra` is the one of ours that brings it, if there is one."""

    def __init__(self, package: str, extra: str | None) -> None:
        self.package = package
        wanted = package if extra is None else f"'recipe-compiler[{extra}]'"
        self.way_out = f"install it with `pip install {wanted}`"
        super().__init__(f"`{package}` is not installed; {self.way_out}")
