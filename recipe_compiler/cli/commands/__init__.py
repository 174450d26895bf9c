"""One command a function; a file for each thing a user is doing. A command's file is imported when it is called."""

from collections.abc import Mapping
from typing import Final

#: Name -> the file and the function.
ALL: Final[Mapping[str, tuple[str, str]]] = {
    "init": ("starting", "init"),
    "check": ("building", "check"),
    "tree": ("locking", "tree"),
    "schema": ("building", "schema"),
    "index": ("building", "index"),
    "lock": ("locking", "lock"),
    "plan": ("building", "plan"),
    "compile": ("building", "compile_"),
    "count": ("counting", "count"),
    "verify": ("reading", "verify"),
    "show": ("reading", "show"),
    "explain": ("explaining", "explain"),
    "diff": ("comparing", "diff"),
    "bench": ("reading", "bench"),
    "materialize": ("materializing", "materialize"),
    "tiny": ("trying", "tiny"),
    "train": ("training", "train"),
    "ledger": ("training", "ledger"),
    "holdouts": ("evaluating", "holdouts"),
    "eval": ("evaluating", "eval_"),
    "eval-compare": ("evaluating", "eval_compare"),
    "export-lmms": ("evaluating", "export_lmms"),
    "score": ("scoring", "score"),
}
