"""What can go wrong while streaming, beside a pool that changed (`recipe_compiler.errors.DataError`)."""

from recipe_compiler.errors import RecipeError
from recipe_compiler.manifest.schema import After


class StreamError(RecipeError):
    """A stream was asked for something it cannot do."""


class ForeignManifest(StreamError):
    """A cursor belongs to another manifest: going on would repeat some samples and lose others."""

    def __init__(self, found: str, consumed: int, expected: str, after: After | None) -> None:
        names = f"this state belongs to manifest {found[:12]}, and the stream reads manifest {expected[:12]}"
        if after is None:
            way_out = "resume with the manifest that was trained on, or start the new one from its beginning"
        elif found == after.manifest:
            names += f", which goes on after {after.position:,} of its draws, and {consumed:,} are consumed"
            way_out = (
                "begin without a state"
                if consumed <= 0
                else f"compile one that goes on here with `recipe compile RECIPE --after MANIFEST@{consumed}`"
            )
        else:
            names += f", which goes on from manifest {after.manifest[:12]} after {after.position:,} draws"
            way_out = "resume with the manifest that was trained on, or compile one that goes on from it with `--after`"
        super().__init__(f"{names}; {way_out}")


class StateError(StreamError):
    """A saved state is not one of ours."""


class CollateError(StreamError):
    """Samples cannot be made into what a model takes."""


class ModelError(RecipeError):
    """A folder holds no model or processor that can be loaded, or other weights than the model's."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class LedgerError(RecipeError):
    """The ledger of a run is not there, not one of ours, or lacks what it is asked for."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class CopyError(StreamError):
    """A copy of a manifest cannot be written here, or is not what was written."""
