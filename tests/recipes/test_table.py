"""The table of realised counts in `recipes/README.md` is what compiling gives; `--update-table` writes it anew."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from recipe_compiler.manifest import store
from tests.recipes.shipped import RECIPES, SHIPPED, compiled
from tests.support import draws

HEAD = (
    "| recipe | available | selected | draws | stages | share of draws by group | manifest |\n"
    "|---|--:|--:|--:|---|---|---|\n"
)
DIGEST = "The data have the digest "
KEPT = re.compile(rf"{DIGEST}`(?P<digest>.*?)`(?P<between>.*?){re.escape(HEAD)}(?P<table>(?:\|[^\n]*\n)*)", re.DOTALL)


def digest(place: Path) -> str:
    """Of all files of data: which bytes a picture has depends on the libraries that write it."""
    found = hashlib.sha256()
    for path in sorted(path for path in place.glob("*/data/**/*") if path.is_file()):
        found.update(f"{path.relative_to(place).as_posix()}\n".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:12]


def row(place: Path, name: str) -> str:
    """The line of one recipe."""
    folder = compiled(place, name)
    manifest, drawn = store.read(folder), draws(folder)
    group = {pool.name: pool.group for pool in manifest.pools}
    counts: Counter[str] = Counter()
    for pool, number in drawn["pool"].value_counts().iter_rows():
        counts[group[pool] or "none"] += number
    assert drawn.height == manifest.draws == counts.total()
    cells = (
        f"[{name.removesuffix('.yaml')}]({name})",
        f"{sum(pool.samples for pool in manifest.pools if pool.role == 'train'):,}",
        f"{drawn['sample_id'].n_unique():,}",
        f"{manifest.draws:,}",
        ", ".join(f"{stage.name} {stage.draws:,}" for stage in manifest.stages),
        ", ".join(f"{kind} {100 * number / manifest.draws:.1f}%" for kind, number in sorted(counts.items())),
        f"`{manifest.ids.manifest[:12]}`",
    )
    return f"| {' | '.join(cells)} |\n"


def test_the_table_is_what_compiling_gives(place: Path, request: pytest.FixtureRequest) -> None:
    readme, table = RECIPES / "README.md", "".join(row(place, name) for name in SHIPPED)
    shown = KEPT.search(readme.read_text())
    assert shown is not None
    if request.config.getoption("--update-table"):
        made = f"{DIGEST}`{digest(place)}`{shown['between']}{HEAD}{table}"
        readme.write_text(readme.read_text().replace(shown[0], made))
    elif shown["digest"] == digest(place):
        assert shown["table"] == table, "run `pytest tests/recipes --update-table`"
    else:
        named = [[line.split(" | ")[:2] for line in text.splitlines()] for text in (shown["table"], table)]
        assert named[0] == named[1], "run `pytest tests/recipes --update-table`"
        pytest.skip("other versions of the libraries that write pictures make other data than the table's")
