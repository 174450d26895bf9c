"""Where the text of a recipe and of those it extends comes from: a folder, a commit of git, or a manifest.

Every name is relative to the folder of the recipe that was asked for, and nothing outside of it is read.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from recipe_compiler.errors import RecipeError
from recipe_compiler.manifest.files import is_file, leads_out

if TYPE_CHECKING:
    import subprocess

MAX_RECIPE_BYTES = 1 << 20
#: What is read from git: a recipe, or a lock.
MAX_REVISION_BYTES = 16 << 20


class Texts(Protocol):
    """A place that holds recipes."""

    def shown(self, name: str) -> str:
        """How diagnostics call a file."""
        ...

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None where there is none. Raises `RecipeError` where it cannot be read."""
        ...

    def names(self) -> Iterable[str]:
        """Recipes that could have been meant."""
        ...


def beside(name: str, written: str) -> str | None:
    """The name that a recipe `name` means by `written`; None where that leads out of the folder."""
    if written.startswith("/"):
        return None
    found = posixpath.normpath(posixpath.join(posixpath.dirname(name), written))
    return None if found == ".." or found.startswith("../") else found


@dataclass(frozen=True, slots=True)
class FolderTexts:
    """The recipes of a folder."""

    folder: Path

    def shown(self, name: str) -> str:
        """The path as it was typed."""
        return str(self.folder / name)

    def read(self, name: str) -> bytes | None:
        """The file's bytes."""
        path = self.folder / name
        if leads_out(path, self.folder):
            # Mistakes are shown with the line they stand on, and the line of another file may be nobody's business.
            raise RecipeError(f"{path}: a link that leads out of its folder; name the file itself")
        if not is_file(path):
            return None
        try:
            with path.open("rb") as file:
                data = file.read(MAX_RECIPE_BYTES + 1)
        except OSError as error:
            raise RecipeError(f"{path}: {error.strerror}") from None
        if len(data) > MAX_RECIPE_BYTES:
            raise RecipeError(f"{path}: a recipe is at most {MAX_RECIPE_BYTES:,} bytes; share settings with `extends`")
        return data

    def names(self) -> Iterable[str]:
        """The YAML files there are."""
        return (path.name for path in self.folder.glob("*.yaml"))


@dataclass(frozen=True, slots=True)
class KeptTexts:
    """The recipes that a manifest keeps."""

    texts: Mapping[str, str]

    def shown(self, name: str) -> str:
        """Its name."""
        return name

    def read(self, name: str) -> bytes | None:
        """The kept text."""
        text = self.texts.get(name)
        return None if text is None else text.encode()

    def names(self) -> Iterable[str]:
        """All that are kept."""
        return self.texts


@dataclass(frozen=True, slots=True)
class RevisionTexts:
    """The recipes of a folder, at a revision of git. Nothing of the working tree is read or changed."""

    folder: Path
    revision: str

    def shown(self, name: str) -> str:
        """As git writes it."""
        return f"{self.revision}:{(self.folder / name).as_posix()}"

    def read(self, name: str) -> bytes | None:
        """The file's bytes at the revision."""
        if not self.folder.is_dir():
            raise RecipeError(f"{self.shown(name)}: there is no folder `{self.folder}` to look from")
        known = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{self.revision}^{{commit}}")
        if known.returncode:
            reason = known.stderr.decode(errors="replace").strip() or f"git knows no revision `{self.revision}` here"
            raise RecipeError(f"{self.shown(name)}: {reason}")
        blob = f"{known.stdout.decode().strip()}:./{name}"
        size = self._git("cat-file", "-s", blob)
        if size.returncode:
            return None
        if int(size.stdout) > MAX_REVISION_BYTES:
            raise RecipeError(f"{self.shown(name)}: {int(size.stdout):,} bytes are too many for a recipe or a lock")
        found = self._git("show", "--end-of-options", blob)
        return found.stdout if found.returncode == 0 else None

    def names(self) -> Iterable[str]:
        """None: a revision is not searched."""
        return ()

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        import subprocess

        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        try:
            return subprocess.run(
                ["git", "-C", str(self.folder), *arguments], capture_output=True, check=False, env=environment
            )
        except FileNotFoundError:
            raise RecipeError("git is not installed, so revisions cannot be read") from None
