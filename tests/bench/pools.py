"""37 pools of unequal size with 10 million short records, and what real recipes make of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from tests.bench import data
from tests.bench.bench import Bench
from tests.bench.processes import recipe

NUM_POOLS = 37
#: What each recipe does with the pools; all else is the same.
RECIPES = {
    "all": "stages: [{name: train}]",
    "most": "select: {budget: 90%}\nstages: [{name: train}]",
    "tenth": "dedup: {exact: true}\nselect: {budget: 10%, method: stratified, by: [pool]}\nstages: [{name: train}]",
}


def place(bench: Bench) -> Path:
    """The folder with the pools and the recipes."""
    total = bench.size(10_000_000)
    shares = 1 / np.arange(3, NUM_POOLS + 3)
    sizes = np.diff(np.floor(total * np.cumsum(shares) / shares.sum() + 0.5).astype(int), prepend=0)
    folder = bench.folder / f"pools-{total}"
    names = [f"p{number:02}" for number in range(NUM_POOLS)]
    for name, size in zip(names, sizes, strict=True):
        data.questions(folder / f"{name}.jsonl", int(size))
    listed = "\n".join(f"  {name}: {{source: {name}.jsonl}}" for name in names)
    for name, rules in RECIPES.items():
        (folder / f"{name}.yaml").write_text(f"recipe: 1\nname: {name}\nseed: 17\npools:\n{listed}\n{rules}\n")
    return folder


@cache
def manifest(bench: Bench, name: str) -> Path:
    """The manifest of one of the recipes, compiled once in a run: an older one may be of an older compiler."""
    folder = place(bench)
    recipe("compile", folder / f"{name}.yaml", "--out", folder / name)
    return folder / name
