"""What is not as it was written is refused, naming the file; what is not ours is left alone."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe_compiler.cli.main import run
from recipe_compiler.errors import DataError, ManifestCorrupt, RecipeError
from runtime.errors import CopyError
from tests.materialize.helpers import STREAMED, copy, files, told_all
from tests.support import REPOSITORY


@pytest.fixture(params=STREAMED)
def mine(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> Path:
    """A copy of each streamed kind that a test may spoil."""
    copy(source, tmp_path / "copy", request.param)
    return tmp_path / "copy"


def flip(path: Path, at: int) -> bytes:
    """Changes one bit; the file as it was."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[at] ^= 1
    path.write_bytes(changed)
    return before


def data_file(folder: Path) -> Path:
    """The second file of draws."""
    return sorted(path for path in (folder / "data").iterdir() if path.name.startswith("shard"))[1]


def test_a_flipped_bit_of_a_record_is_refused_by_the_reader_and_by_verify(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data_file(mine)
    size = path.stat().st_size
    whole = told_all(mine)
    for at in (size // 3, size // 2, size * 2 // 3):
        before = flip(path, at)
        try:
            # What the reader does not take from a record (a name, the size of a picture) it need not look at.
            assert told_all(mine) == whole
        except DataError as error:
            assert path.name in str(error)
        assert run(["verify", str(mine)]) == 1
        assert f"changed: data/{path.name}: other bytes than were written" in capsys.readouterr().out
        path.write_bytes(before)
    assert run(["verify", str(mine)]) == 0


def test_a_bit_of_a_text_or_of_media_or_of_a_key_is_noticed(mine: Path) -> None:
    data = data_file(mine).read_bytes()
    first = data.index(b'"source_key":"') + 15
    wanted = [first, data.index(b"What is ") + 3, data.index(b'"id":"') + 8, data.index(b'"role":"user"') + 10]
    if b"mds" in data or b"ustar" in data:
        wanted += [at + 9 for at in (data.find(b"\x89PNG"), data.find(b"\xff\xd8\xff")) if at >= 0][:1]
    for at in wanted:
        before = flip(data_file(mine), at)
        with pytest.raises(DataError, match=data_file(mine).name):
            told_all(mine)
        data_file(mine).write_bytes(before)


def test_a_file_that_was_cut_short_is_refused(mine: Path) -> None:
    path = data_file(mine)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(DataError, match=path.name):
        told_all(mine)
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        told_all(mine)


def test_changed_locators_and_documents_are_refused(mine: Path) -> None:
    for path in (mine / "locators" / f"{data_file(mine).name}.npy", mine / "materialized.json", mine / "manifest.json"):
        before = flip(path, path.stat().st_size - 9)
        with pytest.raises(ManifestCorrupt, match=path.name):
            told_all(mine)
        path.write_bytes(before)


def test_a_copy_of_another_manifest_is_told(mine: Path) -> None:
    path = mine / "materialized.json"
    document = json.loads(path.read_text())
    document["manifest"] = "0" * 64
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    with pytest.raises(ManifestCorrupt, match="written of manifest 000000000000"):
        told_all(mine)


def test_a_changed_file_of_media_is_refused(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy(source, tmp_path / "copy", "jsonl")
    path = max((tmp_path / "copy/data/media").rglob("*.jpg"))
    flip(path, 30)
    with pytest.raises(DataError, match=path.name):
        told_all(tmp_path / "copy")
    assert run(["verify", str(tmp_path / "copy")]) == 1
    assert f"{path.name}: other bytes than were written" in capsys.readouterr().out


def test_a_folder_with_anything_else_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(CopyError, match=r"holds `notes.txt` and no copy of a manifest; name a new folder"):
        copy(source, tmp_path / "full", "mds")
    assert files(tmp_path / "full") == {"notes.txt": b"mine"}
    copy(source, tmp_path / "copy", "mds")
    before = files(tmp_path / "copy")
    for kind, size in (("jsonl", 8_000), ("mds", 9_000)):
        with pytest.raises(CopyError, match=r"holds a copy of manifest .* as mds in files of 8,000 bytes"):
            copy(source, tmp_path / "copy", kind, shard_bytes=size)
    with pytest.raises(CopyError, match="no copy of a manifest"):
        copy(source, source, "mds")
    for target in (tmp_path / "full/notes.txt", tmp_path / "full/notes.txt/copy"):
        with pytest.raises(CopyError, match=r"notes\.txt.*: is no folder; name a new one"):
            copy(source, target, "mds")
    for size in (0, 2**31, 2**32):
        with pytest.raises(CopyError, match=r"bytes are asked for; they may have 1 to 2,000,000,000"):
            copy(source, tmp_path / "other", "mds", shard_bytes=size)
    assert files(tmp_path / "copy") == before


def test_a_second_writer_is_refused(source: Path, tmp_path: Path) -> None:
    copy(source, tmp_path / "copy", "mds")
    before = files(tmp_path / "copy")
    with (tmp_path / "copy/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CopyError, match="another run is writing here; nothing was changed by this one"):
            copy(source, tmp_path / "copy", "mds")
    assert {name: data for name, data in files(tmp_path / "copy").items() if ".materialize" not in name} == before


def test_a_damaged_file_is_written_again(source: Path, tmp_path: Path) -> None:
    for kind in STREAMED:
        copy(source, tmp_path / kind, kind)
        before = files(tmp_path / kind)
        flip(data_file(tmp_path / kind), 700)
        copy(source, tmp_path / kind, kind)
        assert files(tmp_path / kind) == before


def test_a_draw_that_cannot_be_read_stops_it_and_names_the_file(tmp_path: Path) -> None:
    from tests.materialize.helpers import compiled

    manifest = compiled(tmp_path)
    lost = tmp_path / "media/5.jpg"
    kept = lost.read_bytes()
    lost.unlink()
    with pytest.raises(RecipeError, match=r"media/5\.jpg: No such file"):
        copy(manifest, tmp_path / "copy", "webdataset")
    assert not (tmp_path / "copy/manifest.json").exists()
    lost.write_bytes(kept)
    copy(manifest, tmp_path / "copy", "webdataset")
    assert told_all(tmp_path / "copy") == told_all(manifest)


def test_a_full_disk_is_told_and_the_same_command_goes_on(source: Path, tmp_path: Path) -> None:
    """A limit on the size of files stops the write where a full disk would."""
    asked = ["materialize", str(source), str(tmp_path / "copy"), "--to", "webdataset", "--shard-size", "1MB"]
    limited = f"ulimit -f 16; trap '' XFSZ; exec \"$0\" -m recipe_compiler {' '.join(asked)}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["bash", "-c", limited, sys.executable], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "File too large; the files that were completed stay, and the same command goes on" in done.stderr
    assert not (tmp_path / "copy/manifest.json").exists()
    assert run(asked) == 0
    assert told_all(tmp_path / "copy") == told_all(source)


def test_a_folder_that_cannot_be_made_is_told(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "blocked").write_text("a file where the folder should be")
    assert run(["materialize", str(source), str(tmp_path / "blocked"), "--to", "mds"]) == 1
    assert "blocked: is no folder; name a new one" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "x", "1e6", "-1MB"])
def test_a_size_that_is_none_is_told(
    size: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["materialize", str(source), str(tmp_path / "c"), "--to", "mds", "--shard-size", size]) == 1
    assert f"`{size}` is no size, such as 256MB" in capsys.readouterr().err
