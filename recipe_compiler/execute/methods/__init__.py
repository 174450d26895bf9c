"""Ways of choosing, a file each."""

from __future__ import annotations

from typing import assert_never

from recipe_compiler.execute.methods.band import band
from recipe_compiler.execute.methods.mmssr import mmssr
from recipe_compiler.execute.methods.top import top
from recipe_compiler.execute.methods.walk import walk
from recipe_compiler.execute.task import Chosen, Task
from recipe_compiler.plan import nodes


def take(task: Task, operation: nodes.Take) -> Chosen:
    """Carries out a selection. What cannot be had is told to the task's findings."""
    match operation:
        case nodes.Select():
            return walk(task, operation)
        case nodes.Quotas():
            # The solver takes time to import, and few recipes need it.
            from recipe_compiler.execute.quotas import fill

            return fill(task, operation)
        case nodes.Top():
            return top(task, operation)
        case nodes.Band():
            return band(task, operation)
        case nodes.Mmssr():
            return mmssr(task, operation)
        case _:
            assert_never(operation)
