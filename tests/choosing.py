"""Many selections over the same pools, in this process: the pools are bound once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from recipe_compiler import pipeline
from recipe_compiler.diagnostics import Findings
from recipe_compiler.execute.run import Selection, run
from recipe_compiler.execute.watch import Watch
from recipe_compiler.resolve.texts import KeptTexts
from recipe_compiler.resolve.workspace import Workspace


class Pools:
    """Pools in a folder, and the head of a recipe that names them."""

    def __init__(self, folder: Path, head: str) -> None:
        self.head = head
        findings = Findings()
        checked = self._checked("", findings)
        self.bound = pipeline.bind_recipe(checked, Workspace(root=folder, cache=folder / ".recipe"), findings)

    def _checked(self, rest: str, findings: Findings) -> pipeline.Checked:
        return pipeline.check_texts(KeptTexts({"recipe.yaml": self.head + rest}), "recipe.yaml", findings)

    def run(self, rest: str, watch: Watch | None = None) -> Selection:
        """The selection of a recipe. Raises `Rejected` where it has none."""
        findings = Findings()
        checked = self._checked(rest, findings)
        bound = dataclasses.replace(self.bound, plan=checked.plan)
        return run(bound, checked.recipe, findings, watch)
