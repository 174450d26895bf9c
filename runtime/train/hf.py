"""transformers' `Trainer` over a manifest: its loop, our order. Whoever deals out samples is us, and nobody else.

    arguments = TrainingArguments("runs/1.4", **trainer_arguments(), per_device_train_batch_size=8, max_steps=...)
    trainer = ManifestTrainer(model, arguments, manifest=ManifestDataset("releases/1.4"), collator=Collator(processor))
    trainer.train(resume_from_checkpoint=last_checkpoint("runs/1.4"))

What `Trainer` would do to a manifest left to itself: shuffle it, shard it a second time, pad the last batch with samples
from the beginning, drop columns, skip by counting micro-batches, and restore no weights for some families.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe_compiler.manifest.files import write_bytes_atomically
from runtime.cursor import Cursor
from runtime.ledger import Begin, Ledger
from runtime.loader import ManifestLoader
from runtime.partition import World
from runtime.sample import Sample
from runtime.stream import ManifestDataset
from runtime.train.batches import Chunks, worker_options
from runtime.train.errors import TrainError

#: Written last into a checkpoint, so that one without it was not finished.
CURSOR: Final = "recipe_cursor.json"

Inputs = Mapping[str, Any]


def trainer_arguments() -> dict[str, Any]:
    """What `TrainingArguments`, or those of a trainer derived from it, must say beside our loader."""
    return {
        "remove_unused_columns": False,
        "ignore_data_skip": True,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "dataloader_drop_last": False,
        "accelerator_config": {"dispatch_batches": False, "split_batches": False, "even_batches": False},
        "average_tokens_across_devices": True,
        "restore_callback_states_from_checkpoint": False,
    }


def last_checkpoint(out: str | Path) -> str | None:
    """The last checkpoint that was finished, or None where there is none and a run begins."""
    whole = [path.parent for path in Path(out).glob(f"checkpoint-*/{CURSOR}")]
    return str(max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]))) if whole else None


def read_cursor(checkpoint: str) -> dict[str, Any]:
    """The cursor of a checkpoint. Raises `TrainError` where it was not finished."""
    state = Path(checkpoint) / CURSOR
    if not state.is_file():
        raise TrainError(f"{checkpoint}: no checkpoint that was finished; `last_checkpoint` finds the last one")
    found: dict[str, Any] = json.loads(state.read_text())
    return found


class StepBatches:
    """What a trainer takes for a `DataLoader`: its rank's micro-batches, as many for each step.

    `len` counts those of the whole manifest, as trainers expect; iterating goes on from the loader's cursor.
    """

    def __init__(self, loader: ManifestLoader[list[Inputs]], steps: int, accumulation: int) -> None:
        self.loader = loader
        self._length = steps * accumulation
        #: For trainers that ask how many samples there are.
        self.dataset = loader.stream.dataset

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Inputs]:
        for batches in self.loader:
            yield from batches


class ProvedWeights(Trainer):
    """A trainer that resumes with the weights of its checkpoint: put it before other trainers among the bases."""

    _resumed_from: str | None = None

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **options: Any) -> Any:
        """`Trainer.train`, from a checkpoint that was finished; `True` is the last one."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_checkpoint(str(self.args.output_dir))
        self._resumed_from = resume_from_checkpoint or None
        return super().train(self._resumed_from, *args, **options)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Loads weights as `from_pretrained` does, with the names that a family saves under, and proves that all came.

        `Trainer` loads them by name, which gives LLaVA and Qwen2.5-VL none of theirs (transformers 5.23, #43701).
        """
        into = self.model if model is None else model
        if not isinstance(into, PreTrainedModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        kept, told = type(into).from_pretrained(resume_from_checkpoint, dtype=into.dtype, output_loading_info=True)
        lost = [*told["missing_keys"], *told["unexpected_keys"], *told["mismatched_keys"]]
        weights = dict(kept.named_parameters())
        own = dict(into.named_parameters())
        if lost or weights.keys() != own.keys():
            which = min(map(str, lost or weights.keys() ^ own.keys()))
            raise TrainError(f"{resume_from_checkpoint}: its weights are not those of the model: {which}")
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(weights[name])


class ManifestOrder(ProvedWeights):
    """A trainer reads a manifest: put before `Trainer`, `SFTTrainer` or another one among the bases of a class."""

    manifest: ManifestDataset
    collate_samples: Callable[[Sequence[Sample]], Inputs]

    def get_train_dataloader(self) -> Any:
        """Our loader, at the cursor of the checkpoint that the run goes on from. accelerate has no part in it."""
        args = self.args
        world = World(args.process_index, args.world_size)
        accumulation = args.gradient_accumulation_steps
        size = args.per_device_train_batch_size * accumulation * world.num_ranks
        loader: ManifestLoader[list[Inputs]] = ManifestLoader(
            self.manifest,
            global_batch=size,
            world=world,
            num_workers=args.dataloader_num_workers,
            collate=Chunks(self.collate_samples, accumulation),
            **worker_options(args.dataloader_num_workers),
        )
        steps = len(loader)
        if self._resumed_from is not None:
            loader.load_state_dict(read_cursor(self._resumed_from))
        keeper = Keeper(
            self.manifest,
            Path(args.output_dir),
            world,
            global_batch=size,
            start=loader.stream.cursor.consumed,
            consumed=lambda _state: loader.stream.cursor.consumed,
        )
        self.add_callback(keeper)
        return StepBatches(loader, steps, accumulation)


class ManifestTrainer(ManifestOrder):
    """`Trainer` over a manifest. `collator` is a `runtime.collate.Collator`."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        *,
        manifest: ManifestDataset,
        collator: Callable[[Sequence[Sample]], Any],
        **options: Any,
    ) -> None:
        self.manifest = manifest
        self.collate_samples = Tensors(collator)
        super().__init__(model, args, train_dataset=Positions(manifest), **options)


class Tensors:
    """Of a batch, what the model takes."""

    def __init__(self, collator: Callable[[Sequence[Sample]], Any]) -> None:
        self.collator = collator

    def __call__(self, samples: Sequence[Sample]) -> Inputs:
        """The tensors of samples by name."""
        inputs: Inputs = self.collator(samples).inputs
        return inputs


class Positions(Dataset[int]):
    """How long a manifest is, for trainers that want a data set before they ask for a loader."""

    def __init__(self, manifest: ManifestDataset) -> None:
        self.manifest = manifest

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, position: int) -> int:
        return position


class Keeper(TrainerCallback):
    """Writes the ledger of every step, and the cursor into every checkpoint, as the last of it."""

    def __init__(
        self,
        manifest: ManifestDataset,
        out: Path,
        world: World,
        *,
        global_batch: int,
        start: int,
        consumed: Callable[[TrainerState], int],
    ) -> None:
        """`consumed` says how many draws the steps so far took, of all ranks; `start` is where this life begins."""
        self.manifest, self.out, self.world = manifest, out, world
        self.global_batch, self.start, self.consumed = global_batch, start, consumed
        self.ledger: Ledger | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Begins the ledger, or goes on with it."""
        if self.world.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            begin = Begin(
                manifest=self.manifest.manifest_id,
                folder=os.path.relpath(self.manifest.reader.folder, self.out),
                world=self.world.num_ranks,
                global_batch=self.global_batch,
                step=state.global_step,
                start=self.start,
            )
            self.ledger = Ledger(self.out, begin)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Notes the step that was taken."""
        stop = self.consumed(state)
        if self.ledger is not None:
            self.ledger.step(state.global_step - 1, self.start, stop)
        self.start = stop

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Finishes a checkpoint."""
        if self.ledger is not None:
            cursor = Cursor(self.manifest.manifest_id, self.consumed(state)).to_state()
            self.ledger.sync()
            folder = self.out / f"checkpoint-{state.global_step}"
            write_bytes_atomically(folder / CURSOR, json.dumps(cursor).encode())
            self.ledger.checkpoint(state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ends the ledger."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None
