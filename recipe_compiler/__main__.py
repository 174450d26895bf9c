"""`python -m recipe_compiler` is the command `recipe`."""

from recipe_compiler.cli.main import main

main()
