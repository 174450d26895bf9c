"""TRL's `GRPOTrainer` on a manifest's prompts, in its order, each with its image and the answer it should come to.

python recipes/training/grpo.py --model MODEL --manifest MANIFEST --out RUN
"""

from __future__ import annotations

from typing import Any

from common import arguments
from trl import GRPOConfig

from runtime.collate import load_processor
from runtime.models import load_model
from runtime.stream import ManifestDataset
from runtime.train.hf import last_checkpoint
from runtime.train.trl import ManifestGRPOTrainer, grpo_arguments


def right(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
    """Rewards the answer that the manifest has, and a short one."""
    said = [completion[0]["content"].strip() for completion in completions]
    return [float(text == wanted) - 0.01 * len(text) for text, wanted in zip(said, answer, strict=True)]


def main() -> None:
    """Trains to the end."""
    told = arguments("Reinforces with TRL's GRPOTrainer.")
    args = GRPOConfig(
        str(told.out),
        **grpo_arguments(),
        per_device_train_batch_size=told.batch,
        num_generations=2,
        max_completion_length=6,
        max_steps=told.steps,
        learning_rate=told.rate,
        save_steps=told.save,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = ManifestGRPOTrainer(
        load_model(told.model),
        args,
        manifest=ManifestDataset(told.manifest),
        reward_funcs=right,
        processing_class=load_processor(told.model),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(told.out))
    trainer.save_model(str(told.out / "final"))


if __name__ == "__main__":
    main()
