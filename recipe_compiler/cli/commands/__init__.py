"""One command a function; a file for each thing a user is doing."""

from recipe_compiler.cli.commands.building import check, compile_, index, plan, schema
from recipe_compiler.cli.commands.comparing import diff
from recipe_compiler.cli.commands.explaining import explain
from recipe_compiler.cli.commands.locking import lock, tree
from recipe_compiler.cli.commands.materializing import materialize
from recipe_compiler.cli.commands.reading import bench, show, verify
from recipe_compiler.cli.commands.starting import init

ALL = (init, check, tree, schema, index, lock, plan, compile_, verify, show, explain, diff, bench, materialize)
