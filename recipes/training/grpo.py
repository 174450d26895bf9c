"""TRL's `GRPOTrainer` on a manifest's prompts, in its order, each with its image and the answer it should come to.

python recipes/training/grpo.py --model MODEL --manifest MANIFEST --out RUN
"""

from __future__ import annotations

import json
from typing import Any

from common import arguments
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig, GRPOTrainer

from runtime.collate import load_processor
from runtime.stream import ManifestDataset
from runtime.train.checkpoint import load_model
from runtime.train.hf import ProvedWeights
from runtime.train.trl import grpo_arguments, prompts


class Trainer(ProvedWeights, GRPOTrainer):
    """Resumes with the weights that were saved."""


def main() -> None:
    """Trains to the end, and notes which positions each generation was asked about."""
    told = arguments("Reinforces with TRL's GRPOTrainer.")
    told.out.mkdir(parents=True, exist_ok=True)

    def right(completions: list[Any], answer: list[str], position: list[int], **_: Any) -> list[float]:
        with (told.out / "asked.jsonl").open("a") as file:
            file.write(json.dumps(position) + "\n")
        said = [completion[0]["content"].strip() for completion in completions]
        return [float(text == wanted) - 0.01 * len(text) for text, wanted in zip(said, answer, strict=True)]

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
    trainer = Trainer(
        load_model(told.model),
        reward_funcs=right,
        args=args,
        train_dataset=prompts(ManifestDataset(told.manifest)),
        processing_class=load_processor(told.model),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(told.out)))
    trainer.save_model(str(told.out / "final"))


if __name__ == "__main__":
    main()
