"""TRL's `SFTTrainer` on a manifest. Started again, it goes on from its last checkpoint.

python recipes/training/sft.py --model MODEL --manifest MANIFEST --out RUN
"""

from __future__ import annotations

import os

from common import arguments
from trl import SFTConfig

from runtime.collate import load_processor
from runtime.models import load_model
from runtime.stream import ManifestDataset
from runtime.train.hf import last_checkpoint, trainer_arguments
from runtime.train.trl import ManifestSFTTrainer


def main() -> None:
    """Trains to the end."""
    told = arguments("Fine-tunes with TRL's SFTTrainer.")
    args = SFTConfig(
        str(told.out),
        **trainer_arguments(),
        assistant_only_loss=True,  # Else TRL learns the questions too.
        max_length=None,  # Cutting a sample cuts its image tokens.
        per_device_train_batch_size=told.batch // int(os.environ.get("WORLD_SIZE", "1")),
        max_steps=told.steps,
        learning_rate=told.rate,
        save_steps=told.save,
        dataloader_num_workers=told.workers,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = ManifestSFTTrainer(
        load_model(told.model),
        args,
        manifest=ManifestDataset(told.manifest),
        processing_class=load_processor(told.model),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(told.out))
    trainer.save_model(str(told.out / "final"))


if __name__ == "__main__":
    main()
