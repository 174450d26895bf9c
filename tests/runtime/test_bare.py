"""The runtime works where the compiler's libraries are not installed: in an environment that has hardly anything."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.runtime.helpers import expected_ids
from tests.runtime.test_images import write_by_path
from tests.support import REPOSITORY, compile_text

#: What is there, besides Python's own library. Arrow and numpy keep shared libraries beside them.
_THERE = ("numpy", "numpy.libs", "pyarrow", "pyarrow.libs")

STREAM = """
import json, sys
from runtime.readahead.reading import Reading
from runtime.stream import ManifestDataset, ManifestStream
decode = sys.argv[2] == "decode"
stream = ManifestStream(ManifestDataset(sys.argv[1]), global_batch=6, reading=Reading(decode=decode))
samples = [sample for batch in stream for sample in batch]
assert all(sample.messages and sample.pool for sample in samples)
shapes = [media.pixels().shape for sample in samples for media in sample.media]
print(json.dumps({"ids": [sample.sample_id for sample in samples], "shapes": shapes, "modules": sorted(sys.modules)}))
"""


def bare(folder: Path, *more: str) -> Path:
    """A folder of packages, as an installation has one, with links to a few packages of ours."""
    site = folder / "site"
    site.mkdir()
    for name in ("recipe_compiler", "runtime"):
        (site / name).symlink_to(REPOSITORY / name)
    for name in (*_THERE, *more):
        found = importlib.util.find_spec(name.removesuffix(".libs"))
        assert found is not None and found.origin is not None
        place = Path(found.origin).parent
        place = place.with_name(name) if name.endswith(".libs") else place
        if place.exists():
            (site / name).symlink_to(place)
    return site


def run(site: Path, code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs Python with that folder and nothing else: no installed packages, no settings."""
    start = f"import sys; sys.path.insert(0, {str(site)!r})\n"
    command = [sys.executable, "-I", "-S", "-c", start + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=site)


@pytest.mark.parametrize("name", ["polars", "pydantic", "torch", "click", "PIL"])
def test_the_environment_is_bare(tmp_path: Path, name: str) -> None:
    done = run(bare(tmp_path), f"import {name}")
    assert f"No module named '{name}'" in done.stderr


def test_streaming_and_its_state_work_there(mixed: Path, tmp_path: Path) -> None:
    done = run(bare(tmp_path), STREAM, mixed, "")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ids"] == expected_ids(mixed)
    assert not {"polars", "pydantic", "torch", "PIL"} & set(found["modules"])


def test_decoding_needs_a_decoder_and_no_more(tmp_path: Path) -> None:
    compile_text(tmp_path, f"recipe: 1\nname: x\npools:\n  a: {write_by_path(tmp_path)}\n")
    site = bare(tmp_path, "PIL", "simplejpeg")
    libraries = Path(Image.__file__).parent.with_name("pillow.libs")
    if libraries.exists():
        (site / libraries.name).symlink_to(libraries)
    done = run(site, STREAM, tmp_path / "out", "decode")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shapes"] == [[17, 23, 3]] * 3
