"""`recipe verify`, as a user runs it: whatever was changed is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.cli.mix import expect, shown
from tests.support import run_recipe


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def shard(folder: Path) -> Path:
    (path,) = (folder / "out/shards").iterdir()
    return path


def test_an_intact_manifest(release: Path) -> None:
    rows = "7 rows in 1 shard are as compiled\n"
    expect(run_recipe("verify", "out", cwd=release), 0, rows + "2 of 2 sources are as compiled\n")
    shutil.rmtree(release / "data")
    expect(run_recipe("verify", "out", "--rows-only", cwd=release), 0, rows)


def test_a_flipped_byte_of_the_document(release: Path) -> None:
    document = release / "out/manifest.json"
    flip(document, document.read_bytes().index(b'"seed": 7') + 8)
    reason = "its content does not match its ids; it was changed after it was compiled"
    expect(run_recipe("verify", "out", cwd=release), 1, err=f"error: out/manifest.json: {reason}\n")


def test_a_flipped_byte_of_a_shard(release: Path) -> None:
    path = shard(release)
    ids = pq.read_metadata(path).row_group(0).column(1)
    flip(path, ids.data_page_offset + ids.total_compressed_size - 1)
    reason = "the rows are not those that were compiled; the first differing row is position 6"
    expect(run_recipe("verify", "out", cwd=release), 1, err=f"error: out/shards/<digest>.parquet: {reason}\n")


def test_a_flipped_byte_that_no_row_depends_on(release: Path) -> None:
    path = shard(release)
    good = path.read_bytes()
    flip(path, good.rindex(b"recipe-compiler"))
    reason = "the rows are those that were compiled, but other bytes of the file were changed; compiling writes it anew"
    expect(run_recipe("verify", "out", cwd=release), 1, err=f"error: out/shards/<digest>.parquet: {reason}\n")
    assert run_recipe("compile", "recipe.yaml", "--out", "out", cwd=release).code == 0
    assert path.read_bytes() == good


def test_a_changed_row_names_its_position(release: Path) -> None:
    path = shard(release)
    table = pq.read_table(path)
    tokens = table["tokens"].to_pylist()
    tokens[3] += 1
    number = table.schema.get_field_index("tokens")
    pq.write_table(table.set_column(number, table.schema.field(number), pa.array(tokens, pa.uint32())), path)
    reason = "the rows are not those that were compiled; the first differing row is position 3"
    expect(run_recipe("verify", "out", cwd=release), 1, err=f"error: out/shards/<digest>.parquet: {reason}\n")


def test_a_changed_pool_names_the_file_and_the_position(release: Path) -> None:
    path = release / "data/ocr.jsonl"
    path.write_text(path.read_text().replace("It is 1", "It is 9"))
    ran = run_recipe("verify", "out", cwd=release)
    rows, sources, changed = shown(ran.out).splitlines()
    assert (ran.code, ran.err) == (1, "")
    assert (rows, sources) == ("7 rows in 1 shard are as compiled", "1 of 2 sources are as compiled")
    reason = "other bytes than were compiled; the first differing row: position 3"
    assert changed.startswith(f"changed: data/ocr.jsonl: {reason}")
    assert "the record is not the one that was compiled" in changed


def test_a_pool_that_grew(release: Path) -> None:
    """No draw reads what was added, so there is no position to name."""
    with (release / "data/ocr.jsonl").open("a") as file:
        file.write('{"id": "new", "question": "q", "answer": "a"}\n')
    out = """\
7 rows in 1 shard are as compiled
1 of 2 sources are as compiled
changed: data/ocr.jsonl: 182 bytes where 136 were compiled
"""
    expect(run_recipe("verify", "out", cwd=release), 1, out)


def test_what_is_no_manifest(release: Path) -> None:
    reason = "No such file or directory; a manifest is a folder that `recipe compile` wrote"
    expect(run_recipe("verify", "data", cwd=release), 1, err=f"error: data/manifest.json: {reason}\n")
