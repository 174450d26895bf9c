"""Which part of a version a change asks for, by the definitions of Croissant 1.0 ("Dataset versioning").

PATCH: the data are the same and may be packaged otherwise. MINOR: what was there is the same, and there is more.
MAJOR: what was there was edited or removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from recipe_compiler.manifest.schema import Manifest
from recipe_compiler.report.tables import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """The part to raise, the version that gives (None where the old one is no version), and why."""

    part: Literal["none", "patch", "minor", "major"]
    version: str | None
    reason: str


def bump(before: Manifest, after: Manifest, *, added: int, removed: int) -> Bump:
    """The suggestion for a release that goes from one manifest to the other."""
    part: Literal["none", "patch", "minor", "major"]
    if before.ids.manifest == after.ids.manifest:
        part, reason = "none", "it is the same manifest"
    elif removed:
        were, are = ("was", "is") if removed == 1 else ("were", "are")
        part, reason = "major", f"{counted(removed, 'sample')} that {were} trained on {are} gone or edited"
    elif added:
        part, reason = "minor", f"all samples are kept and {added:,} {'is' if added == 1 else 'are'} added"
    elif before.ids.selection != after.ids.selection:
        part, reason = "minor", "the same samples, some drawn more or less often"
    elif before.ids.order != after.ids.order:
        part, reason = "patch", "the same samples in another order"
    else:
        part, reason = "patch", "the same samples in the same order, packaged otherwise"
    return Bump(part=part, version=_raised(before.version, part), reason=reason)


def _raised(version: str | None, part: str) -> str | None:
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version or "")
    if match is None or part == "none":
        return version if part == "none" else None
    major, minor, patch = (int(number or 0) for number in match.groups())
    raised = {"major": (major + 1, 0, 0), "minor": (major, minor + 1, 0), "patch": (major, minor, patch + 1)}[part]
    return ".".join(map(str, raised))
