"""A loop of one's own with Accelerate, on a manifest. Started again, it goes on from its last checkpoint.

python recipes/training/with_accelerate.py --model MODEL --manifest MANIFEST --out RUN
accelerate launch --num_processes 2 --cpu recipes/training/with_accelerate.py --model MODEL --manifest MANIFEST --out RUN

The model and the optimizer are prepared, the loader is not: it deals samples out to ranks by itself, and two that do so
lose half of the samples without a word.
"""

from __future__ import annotations

import json
import os

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from common import arguments
from torch.optim import AdamW

from recipe_compiler.manifest.files import write_bytes_atomically
from runtime.collate import Collator, load_processor
from runtime.ledger import Begin, Ledger
from runtime.loader import ManifestLoader
from runtime.models import load_model
from runtime.partition import World
from runtime.stream import ManifestDataset
from runtime.train.checkpoint import weights_digest
from runtime.train.losses import count_labels, token_losses


def main() -> None:
    """Trains to the end."""
    told = arguments("Fine-tunes with Accelerate.")
    # Texts leave the vision tower unused, and LLaVA leaves its last layer unused always.
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    world = World(accelerator.process_index, accelerator.num_processes)
    dataset = ManifestDataset(told.manifest)
    loader = ManifestLoader(
        dataset,
        global_batch=told.batch,
        world=world,
        num_workers=told.workers,
        collate=Collator(load_processor(told.model)),
    )
    model = load_model(told.model)
    model, optimizer = accelerator.prepare(model.train(), AdamW(model.parameters(), lr=told.rate))

    # A checkpoint counts once `cursor.json` is in it; `save_state` comes before that.
    whole = [path.parent for path in told.out.glob("step-*/cursor.json")]
    step = 0
    if whole:
        last = max(whole, key=lambda folder: int(folder.name.partition("-")[2]))
        step = int(last.name.partition("-")[2])
        accelerator.load_state(str(last))
        kept = json.loads((last / "cursor.json").read_text())
        loader.load_state_dict(kept["cursor"])
        assert weights_digest(accelerator.unwrap_model(model)) == kept["weights"], "other weights than were saved"
    ledger = None
    if accelerator.is_main_process:
        told.out.mkdir(parents=True, exist_ok=True)
        folder = os.path.relpath(told.manifest, told.out)
        start = loader.stream.cursor.consumed
        begin = Begin(
            manifest=dataset.manifest_id,
            folder=folder,
            world=world.num_ranks,
            global_batch=told.batch,
            step=step,
            start=start,
        )
        ledger = Ledger(told.out, begin)

    start = loader.stream.cursor.consumed
    for batch in loader:
        inputs = batch.to(accelerator.device)
        labels = inputs.pop("labels")
        tokens = accelerator.reduce(torch.tensor(count_labels(labels), device=accelerator.device))
        losses, _ = token_losses(model(**inputs, use_cache=False).logits, labels, batch.owner.to(accelerator.device))
        # DDP averages over processes; the loss is a mean over the tokens of all of them.
        loss = losses.sum() * world.num_ranks / tokens.clamp(min=1)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        stop = loader.stream.cursor.consumed
        whole_loss = accelerator.reduce(loss.detach()) / world.num_ranks
        if ledger is not None:
            ledger.step(step, start, stop)
            print(json.dumps({"step": step, "loss": whole_loss.item()}), flush=True)
        step, start = step + 1, stop
        if step % told.save == 0:
            accelerator.save_state(str(told.out / f"step-{step}"))
            if ledger is not None:
                kept = {"cursor": loader.state_dict(), "weights": weights_digest(accelerator.unwrap_model(model))}
                write_bytes_atomically(told.out / f"step-{step}" / "cursor.json", json.dumps(kept).encode())
                ledger.checkpoint(step)
        if step == told.steps:
            break
    if accelerator.is_main_process:
        accelerator.unwrap_model(model).save_pretrained(told.out / "final")


if __name__ == "__main__":
    main()
