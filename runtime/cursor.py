"""The whole resume state: which manifest, and how many of its draws were consumed. Exact for any world size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipe_compiler.manifest.schema import Manifest
from runtime.errors import ForeignManifest, StateError

STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """`consumed` draws of a manifest are behind; the next position is `consumed`."""

    manifest: str
    consumed: int = 0

    def to_state(self) -> dict[str, Any]:
        """The state to save beside a checkpoint."""
        return {"version": STATE_VERSION, "manifest": self.manifest, "consumed": self.consumed}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], *, manifest: Manifest) -> Cursor:
        """A saved state, for the manifest it is to be used with. Raises `ForeignManifest` or `StateError`.

        That is its own manifest, or the one that goes on from it exactly where the state was taken.
        """
        if (
            type(state.get("version")) is not int
            or state["version"] != STATE_VERSION
            or type(state.get("consumed")) is not int
        ):
            raise StateError(f"not a saved state of version {STATE_VERSION}: {dict(state)!r}")
        own, after = manifest.ids.manifest, manifest.after
        consumed = state["consumed"]
        if state.get("manifest") != own:
            if after is None or state.get("manifest") != after.manifest or consumed != after.position:
                raise ForeignManifest(str(state.get("manifest")), consumed, own, after)
        elif not 0 <= consumed <= manifest.draws:
            raise StateError(f"{consumed:,} draws consumed of {manifest.draws:,}")
        return cls(own, consumed)
