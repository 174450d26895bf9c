"""What the examples share: their arguments."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(what: str) -> argparse.Namespace:
    """A model's folder, a manifest, and where the run is kept."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--model", type=Path, required=True, help="a folder with a model and its processor")
    parser.add_argument("--manifest", type=Path, required=True, help="a folder that `recipe compile` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--batch", type=int, default=8, help="draws a step, of all processes together")
    parser.add_argument("--steps", type=int, default=-1, help="at most so many steps; all unless given")
    parser.add_argument("--save", type=int, default=50, help="a checkpoint every so many steps")
    parser.add_argument("--rate", type=float, default=1e-3, help="the learning rate")
    parser.add_argument("--workers", type=int, default=0, help="processes that read ahead")
    return parser.parse_args()
