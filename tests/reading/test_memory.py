"""What is read of a file does not stay in memory: the index may grow with it, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECORD = {
    "id": 7,
    "image": "a.png",
    "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "word " * 2000}],
}
NUM_RECORDS = 20_000

#: Run by itself, so that the peak is this work's own; file pages that are mapped count.
WORK = """
import json, sys
from pathlib import Path
from recipe_compiler import kernels, scanning

stream, layout, fields = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
before = peak()
kernels.digest_file(stream)
found = scanning.index(stream, layout=layout, fields=fields)
print(len(found.numbers["offset"]), peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells its peak in another way")
@pytest.mark.parametrize(
    ("start", "between", "end", "shape"), [("", "\n", "\n", "json-lines"), ("[", ",\n", "]", "json-array")]
)
def test_a_large_file_does_not_stay_in_memory(tmp_path: Path, start: str, between: str, end: str, shape: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(start + between.join([json.dumps(RECORD)] * NUM_RECORDS) + end)
    layout = {"shape": shape} if shape == "json-lines" else {"shape": shape, "at": ""}
    fields = {"turns": {"path": "conversations", "role": "from", "text": "value"}, "images": ["image"]}
    command = [sys.executable, "-c", WORK, str(path), json.dumps(layout), json.dumps(fields)]
    num_samples, growth = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert num_samples == NUM_RECORDS
    assert path.stat().st_size > 200e6
    assert growth < 100e6
