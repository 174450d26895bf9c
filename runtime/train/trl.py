"""TRL over a manifest: `SFTTrainer` in our order, and prompts for `GRPOTrainer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from runtime.cursor import Cursor
from runtime.partition import World
from runtime.sample import Sample
from runtime.stream import ManifestDataset
from runtime.train.errors import TrainError
from runtime.train.hf import Inputs, Keeper, ManifestOrder, ProvedWeights, read_cursor

Row = dict[str, Any]


def row(sample: Sample) -> Row:
    """A sample as TRL's `messages` and `images`; images stand where they stood."""
    if sample.tombstone is not None:
        raise TrainError(f"position {sample.position:,}: TRL has no row for what could not be read: {sample.tombstone}")
    images: list[Any] = []
    messages = []
    for message in sample.messages:
        parts: list[Row] = []
        for part in message["content"]:
            if part["type"] == "text":
                parts.append({"type": "text", "text": part["text"]})
            elif part["type"] == "image":
                parts.append({"type": "image"})
                images.append(sample.media[part["media"]].image().convert("RGB"))
            else:
                raise TrainError(
                    f"position {sample.position:,}: TRL takes texts and images, and this has a {part['type']}"
                )
        messages.append({"role": message["role"], "content": parts})
    return {"messages": messages, "images": images}


def prompt(sample: Sample) -> Row:
    """A sample as a prompt, up to its last answer, which is `answer`; with its `position` and `sample_id` for rewards."""
    whole = row(sample)
    messages = whole["messages"]
    if not messages or messages[-1]["role"] != "assistant":
        raise TrainError(f"position {sample.position:,}: a prompt ends before an answer, and there is none")
    answer = "".join(part.get("text", "") for part in messages[-1]["content"])
    origin = {"position": sample.position, "sample_id": sample.sample_id, "pool": sample.pool}
    return {"prompt": messages[:-1], "images": whole["images"], "answer": answer, **origin}


def grpo_arguments() -> dict[str, Any]:
    """What `GRPOConfig` must say so that prompts come in the manifest's order, and resuming skips to the right one."""
    return {"shuffle_dataset": False, "ignore_data_skip": False, "num_train_epochs": 1, "remove_unused_columns": False}


class ManifestSFTTrainer(ManifestOrder, SFTTrainer):
    """`SFTTrainer` over a manifest, with TRL's own collator and loss. `args` are made with `trainer_arguments()`."""

    def __init__(
        self,
        model: PreTrainedModel,
        args: SFTConfig,
        *,
        manifest: ManifestDataset,
        processing_class: Any,
        **options: Any,
    ) -> None:
        self.manifest = manifest
        super().__init__(model, args, train_dataset=_lazy(manifest, row), processing_class=processing_class, **options)
        self.collate_samples = _Collated(self.data_collator)


class ManifestGRPOTrainer(ProvedWeights, GRPOTrainer):
    """`GRPOTrainer` over the prompts of a manifest, in its order. `args` are made with `grpo_arguments()`.

    TRL repeats each prompt for its generations and deals them out among ranks, and resumes by skipping prompts; the
    manifest has no part in that. A step asks about as many prompts as fill its batch; TRL leaves out those at the very end
    that fill none.
    """

    def __init__(
        self, model: PreTrainedModel, args: GRPOConfig, *, manifest: ManifestDataset, reward_funcs: Any, **options: Any
    ) -> None:
        super().__init__(model, args=args, reward_funcs=reward_funcs, train_dataset=_lazy(manifest, prompt), **options)
        if args.num_iterations != 1 or args.steps_per_generation != args.gradient_accumulation_steps:
            raise TrainError("a step of GRPO that is taken on generations of another one cannot be resumed exactly")
        prompts = args.generation_batch_size // args.num_generations
        world = World(args.process_index, args.world_size)
        self.manifest = manifest
        self.add_callback(
            Keeper(
                manifest,
                Path(args.output_dir),
                world,
                global_batch=prompts,
                start=0,
                consumed=lambda state: state.global_step * prompts,
            )
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        cursor = Cursor.from_state(read_cursor(resume_from_checkpoint), manifest=self.manifest.reader.manifest)
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, Keeper):
                callback.start = cursor.consumed
        super()._load_from_checkpoint(resume_from_checkpoint, model)


class _Collated:
    """TRL's collator on rows made of samples."""

    def __init__(self, collator: Callable[[list[Row]], Inputs]) -> None:
        self.collator = collator

    def __call__(self, samples: Sequence[Sample]) -> Inputs:
        if not samples:
            raise TrainError(
                "the last global batch has fewer draws than there are micro-batches, and TRL collates no empty one; "
                "`batch: {rows: N}` in the recipe makes all global batches full"
            )
        return self.collator([row(sample) for sample in samples])


class _Rows:
    """Reads the samples of positions when a row is asked for."""

    def __init__(self, manifest: ManifestDataset, make: Callable[[Sample], Row]) -> None:
        self.manifest, self.make = manifest, make

    def __call__(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        rows = [self.make(self.manifest[position]) for position in batch["position"]]
        return {name: [one[name] for one in rows] for name in rows[0]}


def _lazy(manifest: ManifestDataset, make: Callable[[Sample], Row]) -> Dataset:
    positions = Dataset.from_dict({"position": range(len(manifest))})
    return positions.with_transform(_Rows(manifest, make))
