"""What can go wrong while streaming, beside a pool that changed (`recipe_compiler.errors.DataError`)."""

from recipe_compiler.errors import RecipeError


class StreamError(RecipeError):
    """A stream was asked for something it cannot do."""


class ForeignManifest(StreamError):
    """A cursor belongs to another manifest: going on would repeat some samples and lose others."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(
            f"this state belongs to manifest {found[:12]}, and the stream reads manifest {expected[:12]}; "
            "resume with the manifest that was trained on, or start the new one from its beginning"
        )


class StateError(StreamError):
    """A saved state is not one of ours."""
