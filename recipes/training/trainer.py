"""transformers' `Trainer` on a manifest. Started again, it goes on from its last checkpoint.

python recipes/training/trainer.py --model MODEL --manifest MANIFEST --out RUN
torchrun --nproc_per_node=2 recipes/training/trainer.py --model MODEL --manifest MANIFEST --out RUN
"""

from __future__ import annotations

import os

from common import arguments
from transformers import TrainingArguments

from runtime.collate import Collator, load_processor
from runtime.models import load_model
from runtime.stream import ManifestDataset
from runtime.train.hf import ManifestTrainer, last_checkpoint, trainer_arguments


def main() -> None:
    """Trains to the end."""
    told = arguments("Fine-tunes with transformers' Trainer.")
    args = TrainingArguments(
        str(told.out),
        **trainer_arguments(),  # Without these, Trainer shuffles, shards or pads on its own.
        per_device_train_batch_size=told.batch // int(os.environ.get("WORLD_SIZE", "1")),
        max_steps=told.steps,
        learning_rate=told.rate,
        save_steps=told.save,
        dataloader_num_workers=told.workers,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
    )
    processor = load_processor(told.model)
    manifest = ManifestDataset(told.manifest)
    trainer = ManifestTrainer(
        load_model(told.model), args, manifest=manifest, collator=Collator(processor), processing_class=processor
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(told.out))
    trainer.save_model(str(told.out / "final"))


if __name__ == "__main__":
    main()
