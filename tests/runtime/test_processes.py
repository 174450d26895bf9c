"""Real processes that share nothing but the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.runtime.helpers import cut, expected_ids
from tests.support import REPOSITORY

TRAIN = """
import json, os, sys
from runtime.loader import ManifestLoader
from runtime.stream import ManifestDataset
import torch.distributed as dist

folder, out, stop = sys.argv[1], sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo")
loader = ManifestLoader(ManifestDataset(folder), global_batch=7, num_workers=1)
state = os.path.join(out, "state.json")
if os.path.exists(state):
    with open(state) as file:
        loader.load_state_dict(json.load(file))
steps = []
for number, batch in enumerate(loader, 1):
    mine = [(sample.position, sample.sample_id) for sample in batch]
    everyone = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, mine)
    steps.append([draw for part in everyone for draw in part])
    if number == stop:
        break
if dist.get_rank() == 0:
    with open(state, "w") as file:
        json.dump(loader.state_dict(), file)
    with open(os.path.join(out, f"steps-{dist.get_world_size()}.json"), "w") as file:
        json.dump(steps, file)
dist.destroy_process_group()
"""

STREAM = """
import json, sys
from runtime.partition import World
from runtime.stream import ManifestDataset, ManifestStream
stream = ManifestStream(ManifestDataset(sys.argv[1]), global_batch=7, world=World.from_environment())
print(json.dumps([[[sample.position, sample.sample_id] for sample in batch] for batch in stream]))
"""


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_two_torchrun_processes_then_one_read_exactly_the_manifest(mixed: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    for num_ranks, stop in ((2, 3), (1, -1)):
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_ranks}"]
        run([*command, str(script), str(mixed), str(tmp_path), str(stop)])
    steps = [step for ranks in (2, 1) for step in json.loads((tmp_path / f"steps-{ranks}.json").read_text())]
    assert [[tuple(draw) for draw in step] for step in steps] == cut(
        list(enumerate(expected_ids(mixed))), 7, drop_last=False
    )


def test_processes_that_know_only_rank_and_world_size_read_exactly_the_manifest(mixed: Path) -> None:
    per_rank = [json.loads(run(["-c", STREAM, str(mixed)], RANK=str(rank), WORLD_SIZE="3").stdout) for rank in range(3)]
    joined = [[tuple(draw) for part in step for draw in part] for step in zip(*per_rank, strict=True)]
    assert joined == cut(list(enumerate(expected_ids(mixed))), 7, drop_last=False)
