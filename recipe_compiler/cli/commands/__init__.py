"""One command a function; a file for each thing a user is doing."""

from recipe_compiler.cli.commands.building import check, compile_, index, plan, schema
from recipe_compiler.cli.commands.comparing import diff
from recipe_compiler.cli.commands.counting import count
from recipe_compiler.cli.commands.evaluating import eval_, eval_compare, export_lmms, holdouts
from recipe_compiler.cli.commands.explaining import explain
from recipe_compiler.cli.commands.locking import lock, tree
from recipe_compiler.cli.commands.materializing import materialize
from recipe_compiler.cli.commands.reading import bench, show, verify
from recipe_compiler.cli.commands.scoring import score
from recipe_compiler.cli.commands.starting import init
from recipe_compiler.cli.commands.training import ledger, train
from recipe_compiler.cli.commands.trying import tiny

ALL = (
    init,
    check,
    tree,
    schema,
    index,
    lock,
    plan,
    compile_,
    count,
    verify,
    show,
    explain,
    diff,
    bench,
    materialize,
    tiny,
    train,
    ledger,
    holdouts,
    eval_,
    eval_compare,
    export_lmms,
    score,
)
