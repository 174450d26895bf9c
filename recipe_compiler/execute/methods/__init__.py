"""Ways of choosing, a file each."""

from __future__ import annotations

from typing import assert_never

from recipe_compiler.execute.methods.band import band
from recipe_compiler.execute.methods.deita import deita
from recipe_compiler.execute.methods.difficulty import difficulty
from recipe_compiler.execute.methods.facility_location import facility_location
from recipe_compiler.execute.methods.gdo import gdo
from recipe_compiler.execute.methods.k_center import k_center
from recipe_compiler.execute.methods.mmr import mmr
from recipe_compiler.execute.methods.mmssr import mmssr
from recipe_compiler.execute.methods.top import top
from recipe_compiler.execute.methods.vote import vote
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
        case nodes.Difficulty():
            return difficulty(task, operation)
        case nodes.Vote():
            return vote(task, operation)
        case nodes.Deita():
            return deita(task, operation)
        case nodes.KCenter():
            return k_center(task, operation)
        case nodes.Mmr():
            return mmr(task, operation)
        case nodes.FacilityLocation():
            return facility_location(task, operation)
        case nodes.GoalDriven():
            return gdo(task, operation)
        case nodes.Mmssr():
            return mmssr(task, operation)
        case _:
            assert_never(operation)
