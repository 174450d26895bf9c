"""The loop: a manifest, a model, and nothing hidden between them.

A step is one global batch of the manifest. Its loss is the sum over all label tokens of all ranks, divided by their
number, so that neither the number of ranks nor the size of a micro-batch changes what is computed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import torch
from transformers import PreTrainedModel

from recipe_compiler.manifest.files import hold
from recipe_compiler.manifest.schema import StageRef
from runtime.capabilities import Capabilities
from runtime.collate import Batch, Collator, load_processor
from runtime.cursor import Cursor
from runtime.ledger import Begin, Ledger, Tombstone
from runtime.loader import ManifestLoader
from runtime.models import load_model
from runtime.readahead.reading import Reading
from runtime.stream import ManifestDataset
from runtime.train import checkpoint, losses, optimizers
from runtime.train.batches import MicroBatches, worker_options
from runtime.train.config import Config, plain
from runtime.train.errors import TrainError
from runtime.train.metrics import Metrics
from runtime.train.ranks import Ranks, joined
from runtime.train.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """The last draw of a stage was trained on: `step` steps were taken. A step may hold the first draws of the next one."""

    stage: str
    step: int
    draws: int
    model: PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to. Seconds are of this life of it. `first_seconds` is what the first batch was waited for, when
    workers start; `seconds` and `wait_seconds` are of what came after."""

    steps: int
    taken: int
    draws: int
    loss: float | None
    tombstones: int
    first_seconds: float
    seconds: float
    wait_seconds: float
    checkpoint: Path


@dataclass(frozen=True, slots=True)
class Voices:
    """Whom a run tells: a progress of (steps done, steps in all, loss), remarks, and the borders of stages."""

    progress: Callable[[int, int, float], None] = lambda _done, _total, _loss: None
    say: Callable[[str], None] = lambda _remark: None
    on_stage: Callable[[Border], None] = lambda _border: None


def fit(config: Config, *, resume: bool = False, voices: Voices | None = None) -> Outcome:
    """Trains as a config says, from the beginning or from the last checkpoint. Under `torchrun`, every rank calls it.

    Raises `TrainError` where a run is there already or is being written, or none that could be resumed goes with the config.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(config.deterministic)
    try:
        with joined(config.device) as ranks, _held(config.out, ranks):
            return _Run(config, ranks, voices or Voices(), resume=resume).run()
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _held(out: Path, ranks: Ranks) -> Iterator[None]:
    """Holds the folder of a run for this one, by the rank that writes."""
    if not ranks.leads:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        hold(lock, TrainError(f"{out}: another run is writing here; nothing was changed by this one"))
        yield


class _Run:
    """One life of a run."""

    def __init__(self, config: Config, ranks: Ranks, voices: Voices, *, resume: bool) -> None:
        self.config, self.ranks = config, ranks
        self.voices = voices if ranks.leads else Voices(on_stage=voices.on_stage)
        kept = checkpoint.saved(config.out)
        if kept and not resume:
            raise TrainError(f"{config.out}: a run is here; go on with `--resume`, or name another folder with `out`")
        self.dataset = ManifestDataset(config.manifest, root=config.root)
        self.manifest = self.dataset.reader.manifest
        self.processor = load_processor(config.model)
        self.loader: ManifestLoader[list[Batch]] = ManifestLoader(
            self.dataset,
            global_batch=config.batch,
            world=ranks.world,
            num_workers=config.workers,
            # Pictures are decoded ahead, where one that cannot be may still become a tombstone.
            reading=Reading(on_error=config.on_error, decode=True),
            collate=MicroBatches(Collator(self.processor, video_frames=config.video_frames), config.micro_batch),
            **worker_options(config.workers),
        )
        state = checkpoint.read(kept[-1]) if kept else None
        if state is None:
            self.step = 0
            model = load_model(config.model)
        else:
            self.step = state.step
            self.loader.load_state_dict(state.cursor)
            model = checkpoint.load(kept[-1], state)
        #: The draws that the weights have seen; the loader is one batch ahead.
        self.consumed = self.loader.stream.cursor.consumed
        if resume:
            self.voices.say(f"going on at step {self.step:,}" if kept else "no checkpoint was kept; beginning anew")
        if state is not None:
            self._tell_of_changes(state)
        self.model = model.to(ranks.device)
        self.model.train()
        _freeze(self.model, config.freeze)
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizers = optimizers.build(self.model, config)
        if state is not None:
            checkpoint.load_optimizers(kept[-1], self.optimizers)
        total = self.step + len(self.loader)
        self.total = min(total, config.steps or total)
        if config.steps is not None and config.steps > total:
            self.voices.say(f"`steps: {config.steps}` were asked for, and the manifest has {total:,}")
        if not isinstance(config.warmup, Fraction) and config.warmup > self.total:
            raise TrainError(
                f"`schedule.warmup: {config.warmup}` is longer than the run, which has {self.total:,} steps; "
                "say fewer, or a share such as `3%`"
            )
        self.schedule = optimizers.Schedule(config, self.total, self.manifest.own_stages or self.manifest.stages)
        capabilities = None if config.capabilities is None else Capabilities(config.capabilities)
        self.tally = Tally(self.manifest, capabilities)

    def run(self) -> Outcome:
        """Takes the steps that are left, and keeps a checkpoint at the end."""
        self._tell_of_cut_borders()
        first, loss, dead = self.step, None, 0
        taught: Counter[str] = Counter()
        begun = time.perf_counter()
        waits: list[float] = []
        with self._ledger() as ledger, self._metrics() as metrics:
            for batches, start, seconds in self._batches():
                waits.append(seconds)
                record, tombstones = self._take(batches, start)
                loss, dead = record["loss"], dead + len(tombstones)
                taught.update(record.get("capability_draws", ()))
                ledger.step(self.step, start, self.consumed, tombstones)
                metrics.write({**record, "wait_seconds": round(seconds, 6)})
                self.step += 1
                self.voices.progress(self.step, self.total, loss)
                passed = self._passed(start)
                every = self.config.checkpoint_every
                if (
                    self.step == self.total
                    or (passed and self.config.checkpoint_at_stages)
                    or (every is not None and self.step % every == 0)
                ):
                    self._keep(ledger, at_border=bool(passed) and self.config.checkpoint_at_stages)
                for stage in passed:
                    border = Border(stage=stage.name, step=self.step, draws=self.consumed, model=self.model)
                    self.voices.on_stage(border)
        self._tell_of_untaught(taught)
        return Outcome(
            steps=self.step,
            taken=self.step - first,
            draws=self.consumed,
            loss=loss,
            tombstones=dead,
            first_seconds=sum(waits[:1]),
            seconds=time.perf_counter() - begun - sum(waits[:1]),
            wait_seconds=sum(waits[1:]),
            checkpoint=self.config.out / checkpoint.FOLDER / checkpoint.name(self.step),
        )

    def _batches(self) -> Iterator[tuple[list[Batch], int, float]]:
        """The micro-batches of each step, where it starts, and how long they were waited for.

        A thread takes the next ones from the loader while a step is computed.
        """
        batches, stream = iter(self.loader), self.loader.stream

        def read() -> tuple[list[Batch], int]:
            return next(batches), stream.cursor.consumed

        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(read) if self.step < self.total else None
            while coming is not None:
                asked = time.perf_counter()
                found, stop = coming.result()
                waited = time.perf_counter() - asked
                coming = ahead.submit(read) if self.step + 1 < self.total else None
                start, self.consumed = self.consumed, stop
                yield found, start, waited

    def _take(self, batches: list[Batch], start: int) -> tuple[dict[str, Any], list[Tombstone]]:
        """One step of the weights. What it was like, and the tombstones of all ranks."""
        begun = time.perf_counter()
        device = self.ranks.device
        counted = sum(losses.count_labels(batch.inputs["labels"]) for batch in batches)
        dead = [sample for batch in batches for sample in batch.samples if sample.tombstone is not None]
        tokens, num_dead = self.ranks.sum(torch.tensor([counted, len(dead)], device=device)).tolist()
        sums = self.tally.sums(device)
        for batch in batches:
            self._seed(batch, start)
            inputs = {"use_cache": False, **batch.to(device)}
            labels = inputs.pop("labels")
            with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
                logits = self.model(**inputs).logits
            found, owners = losses.token_losses(logits, labels, batch.owner.to(device))
            (found.sum() / max(1, tokens)).backward()
            sums.add(found, owners, batch.samples)
        self.ranks.sum_gradients(self.trained)
        rates = self.schedule.rates(self.step, start)
        optimizers.set_rates(self.optimizers, rates)
        norm = optimizers.step(self.optimizers, self.trained, self.config.clip)
        record = {
            "step": self.step,
            "stage": self.schedule.stage(start).name,
            "start": start,
            "stop": self.consumed,
            **self.tally.told(self.ranks.sum(sums.table).tolist()),
            "rate": {name: getattr(rates, name) for name in self.optimizers},
            "gradient_norm": norm,
        }
        if not all(map(torch.isfinite, (torch.tensor(record["loss"] or 0.0), torch.tensor(norm)))):
            raise TrainError(
                f"step {self.step:,}, positions {start:,} to {self.consumed:,}: the loss is {record['loss']} and the norm of "
                f"the gradient {norm}; look at them with `recipe show {self.config.manifest} --step {self.step} --batch "
                f"{self.config.batch}`, or lower the learning rate"
            )
        listed = [(sample.position, str(sample.tombstone)) for sample in dead]
        if num_dead:
            listed = self.ranks.gathered(listed)
        record["seconds"] = round(time.perf_counter() - begun, 6)
        return record, [Tombstone(*found) for found in sorted(listed)]

    def _seed(self, batch: Batch, start: int) -> None:
        """What is drawn at random follows from the seed and the position, and from nothing that came before."""
        position = batch.samples[0].position if batch.samples else start
        text = f"{self.config.seed} {position}".encode()
        torch.manual_seed(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))

    def _passed(self, start: int) -> list[StageRef]:
        """The stages whose last draw was in a step."""
        ends = [(stage, stage.start + stage.draws) for stage in self.manifest.stages if stage.draws]
        return [stage for stage, end in ends if start < end <= self.consumed]

    def _tell_of_changes(self, state: checkpoint.State) -> None:
        """Says which settings are others than those of the checkpoint."""
        now = plain(self.config)
        for name in sorted(now.keys() | state.settings.keys()):
            if now.get(name) != state.settings.get(name):
                was, is_ = (json.dumps(settings.get(name)) for settings in (state.settings, now))
                self.voices.say(f"`{name}` is {is_} from step {self.step:,} on, and was {was}")

    def _tell_of_untaught(self, taught: Mapping[str, int]) -> None:
        asked = self.config.capabilities
        if asked is None:
            return
        for name, least in asked.levels.items():
            if name not in taught:
                self.voices.say(f"no draw of these steps has a `{name}` of at least {least:g} in {asked.source}")

    def _tell_of_cut_borders(self) -> None:
        starts = [stage for stage in self.manifest.stages if stage.draws and stage.start > self.consumed]
        for batch in self.loader.stream.batches() if starts else ():
            for stage in starts:
                if batch.start < stage.start < batch.stop:
                    self.voices.say(
                        f"stage `{stage.name}` begins inside a step, after {stage.start - batch.start:,} of its {len(batch):,} "
                        f"draws; `batch: {{rows: {self.config.batch}}}` in the recipe ends stages with full batches"
                    )

    def _keep(self, ledger: Ledger | _NoLedger, *, at_border: bool) -> None:
        """Keeps a checkpoint: the leader writes, the others wait."""
        if self.ranks.leads:
            ledger.sync()
            state = checkpoint.State(
                step=self.step,
                cursor=Cursor(self.dataset.manifest_id, self.consumed).to_state(),
                world=self.ranks.world.num_ranks,
                at_border=at_border,
                weights=checkpoint.weights_digest(self.model),
                settings=plain(self.config),
            )
            checkpoint.save(self.config.out, state, self.model, self.optimizers, self.processor.save_pretrained)
            ledger.checkpoint(self.step)
            if self.config.keep is not None:
                checkpoint.remove_old(self.config.out, self.config.keep)
        self.ranks.wait()

    def _ledger(self) -> Ledger | _NoLedger:
        if not self.ranks.leads:
            return _NoLedger()
        begin = Begin(
            manifest=self.dataset.manifest_id,
            folder=os.path.relpath(self.config.manifest, self.config.out),
            world=self.ranks.world.num_ranks,
            global_batch=self.config.batch,
            step=self.step,
            start=self.consumed,
        )
        return Ledger(self.config.out, begin)

    def _metrics(self) -> Any:
        return Metrics(self.config.out, self.step, self.config.log) if self.ranks.leads else _NoLedger()


class _NoLedger:
    """What the ranks that do not lead write: nothing."""

    def step(self, *_: Any) -> None: ...

    def write(self, _record: Mapping[str, Any]) -> None: ...

    def checkpoint(self, _step: int) -> None: ...

    def sync(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def _freeze(model: PreTrainedModel, names: tuple[str, ...]) -> None:
    """Keeps the weights below modules as they are. A name is one or more parts of a weight's path, whole: `lm_head`,
    `model.vision_tower`."""
    for name in names:
        found = [weight for path, weight in model.named_parameters() if f".{name}." in f".{path}."]
        if not found:
            known = sorted({path.split(".")[0] for path, _ in model.named_parameters()})
            raise TrainError(
                f"`freeze: {name}`: no weight of the model is called so; it begins with {', '.join(known)}"
            )
        for weight in found:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise TrainError(f"`freeze: [{', '.join(names)}]` leaves no weight to train; name fewer")
