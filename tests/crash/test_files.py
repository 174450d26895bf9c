"""Files that are whole or not there: what is told where one cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe_compiler.manifest.files import write_atomically, write_bytes_atomically


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "table"
    with pytest.raises(FileNotFoundError) as error:
        write_bytes_atomically(target, b"x")
    assert error.value.filename == str(target)

    def gone(path: Path) -> None:
        path.unlink()

    with pytest.raises(FileNotFoundError) as error:
        write_atomically(tmp_path / "table", gone)
    assert error.value.filename == str(tmp_path / "table")


def test_an_error_of_another_file_names_that_one(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("old")
    with pytest.raises(FileNotFoundError) as error:
        write_atomically(tmp_path / "table", lambda _path: (tmp_path / "source").stat() and None)
    assert error.value.filename == str(tmp_path / "source")
    assert [path.name for path in tmp_path.iterdir()] == ["table"] and (tmp_path / "table").read_text() == "old"
