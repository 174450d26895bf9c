"""What can go wrong while training."""

from recipe_compiler.errors import RecipeError


class TrainError(RecipeError):
    """A run cannot begin, or cannot go on."""
