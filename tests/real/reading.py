"""Pools of real files, bound as the compiler binds them: what each file is, and the ids and keys of its samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from recipe_compiler.diagnostics import Findings
from recipe_compiler.manifest.files import record_stream
from recipe_compiler.pipeline import bind_recipe, check_recipe
from recipe_compiler.resolve.bind import BoundFile, BoundPlan, BoundPool
from recipe_compiler.resolve.workspace import Workspace
from recipe_compiler.scanning import Mapper
from tests.support import SHARED_DATA, write_recipe

needs_data = pytest.mark.skipif(
    not (SHARED_DATA / "catalog.csv").is_file(), reason=f"the real data sets are not at {SHARED_DATA}"
)


def recipe_of(pools: Mapping[str, Mapping[str, Any]]) -> str:
    """A recipe of these pools; JSON is YAML."""
    return json.dumps({"recipe": 1, "name": "real", "pools": pools}, ensure_ascii=False)


def bind_text(folder: Path, text: str, *, root: Path = SHARED_DATA) -> tuple[BoundPlan, Findings]:
    """Indexes the pools of a recipe text; raises `Rejected` where they cannot be used."""
    findings = Findings()
    checked = check_recipe(write_recipe(folder, text), findings)
    return bind_recipe(checked, Workspace(root=root, cache=folder / ".recipe"), findings), findings


def bind_pools(folder: Path, *, root: Path = SHARED_DATA, **pools: Mapping[str, Any]) -> dict[str, BoundPool]:
    """The pools of a recipe by name, indexed."""
    bound, _ = bind_text(folder, recipe_of(pools), root=root)
    return {pool.scan.pool: pool for pool in bound.pools}


def bind_one(folder: Path, source: str, *, root: Path = SHARED_DATA, **settings: Any) -> BoundPool:
    """One pool, indexed."""
    return bind_pools(folder, root=root, pool={"source": source, **settings})["pool"]


def column(pool: BoundPool, name: str) -> list[Any]:
    """A column of a pool's index, in file order; a carried one may be kept as numbers alone."""
    tables = [file.index.table for file in pool.files]
    number = name.replace("column:", "number:")
    return [value for table in tables for value in table[name if name in table.column_names else number].to_pylist()]


def ids(pool: BoundPool) -> list[tuple[int, int]]:
    """The sample ids of a pool, in file order."""
    return list(zip(column(pool, "id_high"), column(pool, "id_low"), strict=True))


def keys(pool: BoundPool) -> list[str | None]:
    """The upstream keys of a pool, in file order."""
    return column(pool, "key")


def sample(folder: Path, pool: BoundPool, position: int = 0, *, root: Path = SHARED_DATA) -> dict[str, Any]:
    """The content of one sample of a pool's first file, read back from its bytes as training does."""
    file: BoundFile = pool.files[0]
    stream = record_stream(root / file.path, digest=file.digest, wrapping=file.wrapping, cache=folder / ".recipe")
    row = file.index.table.slice(position, 1).to_pylist()[0]
    with stream.open("rb") as handle:
        handle.seek(row["offset"])
        record = handle.read(row["length"])
    return Mapper(layout=file.layout, fields=pool.fields).sample(record).content


def text(content: Mapping[str, Any], role: str, turn: int = 0) -> str:
    """What a role says in a turn of a sample; media are left out."""
    message = [message for message in content["messages"] if message["role"] == role][turn]
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")
