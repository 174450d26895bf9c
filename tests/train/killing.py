"""Kills training runs at random moments and resumes them, for every integration, and compares with runs left alone.

    python -m tests.train.killing --points 200 --seed 1

Libraries are loaded once, and every process of a run is a fork: a life takes a second and not ten. What a process does is
what its example does when a user starts it. Every collation is noted beside the run, apart from our ledger, so that two
accounts of what was seen are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

from runtime import ledger, tiny
from tests.support import REPOSITORY, compile_text, write_jsonl

EXAMPLES = REPOSITORY / "recipes" / "training"
BATCH, STEPS, EVERY = 4, 12, 2
INTEGRATIONS = ("loop", "torchrun", "trainer", "sft", "accelerate", "grpo")
#: How many processes a life of an integration may have.
WORLDS = {"loop": (1,), "torchrun": (2, 1, 3), "trainer": (1, 2), "sft": (1, 2), "accelerate": (1, 2), "grpo": (1,)}

RECIPE = """recipe: 1
name: killed
pools: {a: {source: a.jsonl, media: img, group: general, category: naming}, b: {source: b.jsonl, media: img, group: ocr, category: reading}}
stages: [{name: one, where: group == "general"}, {name: two, mix: {by: pool}}]
"""
CONFIG = f"""train: 1
model: model
manifest: out
out: {{out}}
batch: {BATCH}
micro_batch: 2
learning_rate: {{{{adamw: 0.002, muon: 0.02}}}}
checkpoint: {{{{every: {EVERY}}}}}
threads: 1
"""


def make_place(folder: Path) -> Path:
    """A tiny model and a manifest of 48 draws in two stages, whose border is inside a step."""
    from PIL import Image

    (folder / "img").mkdir(parents=True)
    for pool, count in (("a", 26), ("b", 22)):
        records = []
        for at in range(count):
            Image.new("RGB", (48, 48), (at * 9, 255 - at * 9, 80 if pool == "a" else 200)).save(
                folder / f"img/{pool}{at}.png"
            )
            said = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": f"It is {at}."}]
            records.append({"id": f"{pool}{at}", "image": f"{pool}{at}.png", "conversations": said})
        write_jsonl(folder / f"{pool}.jsonl", records)
    tiny.write(folder / "model", "llava", hidden=32, layers=1, vocabulary=320)
    compile_text(folder, RECIPE)
    return folder


def load_libraries(integration: str) -> None:
    """Imports what the examples import, so that forks need not."""
    import runtime.commands.training
    import runtime.train.loop

    if integration in ("trainer", "sft", "grpo", "accelerate"):
        import runtime.train.hf
    if integration in ("sft", "grpo"):
        import runtime.train.trl  # noqa: F401


def note_collations(path: Path) -> None:
    """From here on, this process appends the positions of each micro-batch it collates to a file."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def noted(owner: Any, name: str, positions: Any) -> None:
        original = getattr(owner, name)

        def call(self: Any, samples: Any) -> Any:
            os.write(handle, (json.dumps(positions(samples)) + "\n").encode())
            return original(self, samples)

        setattr(owner, name, call)

    from runtime.collate import Collator

    noted(Collator, "__call__", lambda samples: [sample.position for sample in samples])
    trl = sys.modules.get("runtime.train.trl")
    if trl is not None:
        noted(trl._Collated, "__call__", lambda samples: [sample.position for sample in samples])
        noted(trl._Rows, "__call__", lambda batch: list(batch["position"]))


@dataclass
class Life:
    """The processes of a run between a start and an end."""

    run: Path
    number: int
    processes: list[int]
    began: bool = False

    def notes(self) -> list[int]:
        """Every position that was collated, by any rank, in no order."""
        lines = [
            line for path in self.run.parent.glob(f"{self.run.name}.{self.number}.*.notes") for line in path.open()
        ]
        return [position for line in lines if line.endswith("\n") for position in json.loads(line)]

    def log(self) -> str:
        return "\n".join(path.read_text() for path in self.run.parent.glob(f"{self.run.name}.{self.number}.*.log"))

    def alive(self) -> bool:
        """Whether any is left; those that ended are reaped, and one that failed is told."""
        for process in list(self.processes):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                self.processes.remove(process)
                if os.waitstatus_to_exitcode(status):
                    self.kill([0.0] * 9)
                    raise AssertionError(f"{self.run} failed:\n{self.log()[-6000:]}")
        return bool(self.processes)

    def wait(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                self.kill([0.0] * 9)
                raise AssertionError(f"{self.run} hangs:\n{self.log()[-6000:]}")
            time.sleep(0.002)

    def kill(self, pauses: Sequence[float]) -> None:
        for process, pause in zip(list(self.processes), pauses, strict=False):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            time.sleep(pause)
        for process in self.processes:
            os.waitpid(process, 0)
        self.processes.clear()


def command(place: Path, integration: str, run: Path) -> tuple[str, list[str]]:
    """The file that is run, and its arguments."""
    if integration in ("loop", "torchrun"):
        config = run.parent / f"{run.name}.yaml"
        text = CONFIG.format(out=run).replace("model: model", f"model: {place / 'model'}")
        config.write_text(text.replace("manifest: out", f"manifest: {place / 'out'}"))
        return "", ["train", str(config), "--resume", "--quiet"]
    file = {"accelerate": "with_accelerate.py"}.get(integration, f"{integration}.py")
    told = {"--model": place / "model", "--manifest": place / "out", "--out": run, "--batch": BATCH, "--save": EVERY}
    return str(EXAMPLES / file), [str(part) for pair in told.items() for part in pair]


def start(place: Path, integration: str, run: Path, number: int, world: int) -> Life:
    """Forks the ranks of a life."""
    file, arguments = command(place, integration, run)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(world):
        sys.stdout.flush()
        process = os.fork()
        if process:
            processes.append(process)
            continue
        name = f"{run.name}.{number}.{rank}"
        try:
            log = os.open(run.parent / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if world > 1:
                place_in = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
                os.environ |= {key: str(value) for key, value in place_in.items()} | {"MASTER_ADDR": "127.0.0.1"}
            os.environ["ACCELERATE_USE_CPU"] = "true"
            note_collations(run.parent / f"{name}.notes")
            sys.argv = [file, *arguments]
            if file:
                sys.path.insert(0, str(EXAMPLES))
                runpy.run_path(file, run_name="__main__")
                code = 0
            else:
                from recipe_compiler.cli.main import run as run_recipe

                code = run_recipe(arguments)
        except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return Life(run, number, processes)


def weights(integration: str, run: Path) -> dict[str, Any]:
    """The final weights, by name, as the bytes of safetensors."""
    from safetensors.numpy import load_file

    folder = max(run.glob("checkpoints/[0-9]*/model")) if integration in ("loop", "torchrun") else run / "final"
    return dict(load_file(folder / "model.safetensors"))


def losses(integration: str, run: Path) -> list[Any]:
    """The losses of all steps, as the run itself kept them."""
    if integration in ("loop", "torchrun"):
        return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").open()]
    if integration == "accelerate":
        return []  # It prints them, and the lives' logs are not one.
    state = max(run.glob("checkpoint-*/trainer_state.json"), key=lambda path: int(path.parent.name[11:]))
    return [entry["loss"] for entry in json.loads(state.read_text())["log_history"] if "loss" in entry]


def _begins(run: Path) -> int:
    path = run / ledger.FILE
    return path.read_bytes().count(b'{"kind":"begin"') if path.exists() else 0


class Killer:
    """Runs left alone, one for each number of ranks, and killed ones beside them."""

    def __init__(self, place: Path, folder: Path, integration: str) -> None:
        self.place, self.folder, self.integration = place, folder, integration
        self.whole: dict[int, Path] = {}

    def left_alone(self, world: int) -> Path:
        if world not in self.whole:
            run = self.folder / f"{self.integration}-whole-{world}"
            start(self.place, self.integration, run, 0, world).wait()
            self.whole[world] = run
        return self.whole[world]

    def point(self, number: int, seed: int) -> dict[str, Any]:
        """One run, killed once or twice. Raises where what it saw or learnt is not what the others did."""
        chance = random.Random(f"{seed} {self.integration} {number}")  # noqa: S311
        worlds = WORLDS[self.integration]
        change = chance.random() < 0.5
        run = self.folder / f"{self.integration}-{number}"
        lives: list[Life] = []
        used: list[int] = []
        kills = 0
        for left in (*[1] * chance.choice((1, 1, 2)), 0):
            world = chance.choice(worlds) if change or not used else used[0]
            used.append(world)
            life = start(self.place, self.integration, run, len(lives), world)
            lives.append(life)
            before = _begins(run)
            if not left:
                life.wait()
            else:
                kills += self._kill(life, run, chance)
            life.began = _begins(run) > before
        self._compare(run, lives, used)
        for path in self.folder.glob(f"{run.name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return {"worlds": used, "killed": kills}

    def _kill(self, life: Life, run: Path, chance: random.Random) -> bool:
        """Kills a life some time after so many steps of the run were noted, or while it starts."""
        path = run / ledger.FILE
        before = path.read_bytes().count(b'"kind":"step"') if path.exists() else 0
        wanted = before + chance.randrange(0, STEPS)
        deadline = time.monotonic() + 120
        while life.alive() and (not path.exists() or path.read_bytes().count(b'"kind":"step"') < wanted):
            assert time.monotonic() < deadline, f"{run} does not move:\n{life.log()[-6000:]}"
            time.sleep(0.001)
        time.sleep(chance.random() * 0.05)
        alive = life.alive()
        life.kill([chance.random() * 0.01 for _ in life.processes])
        return alive

    def _compare(self, run: Path, lives: Sequence[Life], used: Sequence[int]) -> None:
        history, whole = ledger.read(run), ledger.read(self.left_alone(used[0]))
        seen = [(step.step, step.start, step.stop) for step in history.steps]
        assert seen == [(step.step, step.start, step.stop) for step in whole.steps], "the ledger has other steps"
        if self.integration != "grpo":
            assert seen == [(step, step * BATCH, (step + 1) * BATCH) for step in range(STEPS)]
        # What was collated, by the notes: a life counts from where it went on to where the next one did.
        if self.integration in ("loop", "torchrun", "trainer", "accelerate"):
            begun = [life for life in lives if life.began]
            assert len(begun) == len(history.begins)
            stops = [begin.start for begin in history.begins[1:]] + [STEPS * BATCH]
            counts: Counter[int] = Counter()
            for life, begin, stop in zip(begun, history.begins, stops, strict=True):
                counts.update(position for position in life.notes() if begin.start <= position < stop)
            assert counts == Counter(range(STEPS * BATCH)), "the notes have other draws"
        if len(set(used)) == 1:
            ours, theirs = (weights(self.integration, path) for path in (run, self.left_alone(used[0])))
            assert ours.keys() == theirs.keys() and len(ours) > 10
            assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours), (
                "the weights are not the same bits"
            )
            assert losses(self.integration, run) == losses(self.integration, self.left_alone(used[0]))


def main() -> None:
    """Kills and prints what came of it, a line of JSON for each integration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10, help="kill points of all integrations together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--integrations", nargs="+", default=list(INTEGRATIONS), choices=INTEGRATIONS)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = make_place(Path(folder) / "place")
        for at, integration in enumerate(told.integrations):
            load_libraries(integration)
            killer = Killer(place, Path(folder), integration)
            begun = time.monotonic()
            count = told.points // len(told.integrations) + (at < told.points % len(told.integrations))
            points = [killer.point(number, told.seed) for number in range(count)]
            summary = {
                "integration": integration,
                "points": count,
                "kills": sum(point["killed"] for point in points),
                "same_world": sum(len(set(point["worlds"])) == 1 for point in points),
                "seconds": round(time.monotonic() - begun, 1),
            }
            sys.stdout.write(json.dumps(summary) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
