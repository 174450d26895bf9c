"""A run from its config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recipe_compiler.errors import PackageMissing


def train(
    path: Path, *, resume: bool, say: Callable[[str], None], progress: Callable[[int, int, float], None]
) -> tuple[str, dict[str, Any]]:
    """Trains as a config says. What it came to, as text and as plain JSON."""
    try:
        from runtime.train import checkpoint, config, loop
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name or "torch", "train") from None

    checkpoint.disable_bars()

    def told(border: loop.Border) -> None:
        say(f"stage `{border.stage}` is done after {border.step:,} steps and {border.draws:,} draws")

    done = loop.fit(config.read(path), resume=resume, voices=loop.Voices(progress, say, told))
    share = done.wait_seconds / done.seconds if done.seconds else 0.0
    per_step = done.seconds / done.taken if done.taken else 0.0
    loss = "no loss" if done.loss is None else f"loss {done.loss:.4f}"
    text = (
        f"{done.steps:,} steps, {done.draws:,} draws, {loss}; {per_step * 1000:,.1f} ms a step, data wait {share:.1%} of it, "
        f"the first batch after {done.first_seconds:.2f} s\n"
        f"{done.checkpoint}"
    )
    document = {
        "steps": done.steps,
        "taken": done.taken,
        "draws": done.draws,
        "loss": done.loss,
        "tombstones": done.tombstones,
        "seconds": round(done.seconds, 3),
        "first_batch_seconds": round(done.first_seconds, 3),
        "data_wait_seconds": round(done.wait_seconds, 6),
        "data_wait_share": round(share, 6),
        "checkpoint": str(done.checkpoint),
    }
    return text, document
