"""What a run tells of each step: lines of `metrics.jsonl`, and TensorBoard and W&B where they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from recipe_compiler.errors import PackageMissing
from recipe_compiler.manifest.files import write_bytes_atomically

FILE = "metrics.jsonl"


class Listener(Protocol):
    """Somebody who is told every step."""

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name, after `step` steps."""

    def close(self) -> None:
        """The run ends."""


class Metrics:
    """Appends a line a step, and tells the listeners. What an earlier life wrote of steps it takes again is dropped."""

    def __init__(self, run: Path, step: int, loggers: Sequence[str]) -> None:
        path = run / FILE
        if path.exists():
            # A line that a kill cut short ends without a break, and is of a step that is taken again.
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith(b"\n") and json.loads(line)["step"] < step]
            write_bytes_atomically(path, b"".join(kept))
        self._listeners = [_LISTENERS[name](run, step) for name in loggers]
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """A step's record; its numbers and tables of numbers go to the listeners."""
        self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._file.flush()
        values: dict[str, float] = {}
        for name, value in record.items():
            if isinstance(value, Mapping):
                values |= {f"{name}/{key}": number for key, number in value.items() if number is not None}
            elif isinstance(value, int | float) and name != "step":
                values[name] = value
        for listener in self._listeners:
            listener.tell(record["step"], values)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        for listener in self._listeners:
            listener.close()


class _TensorBoard:
    def __init__(self, run: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            raise PackageMissing("tensorboard", "log") from None
        self._writer: Any = SummaryWriter(str(run / "tensorboard"), purge_step=step)

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    """One W&B run a run's folder, which keeps its id: folders of one name are not one run. Where it sends is the user's
    `WANDB_MODE`."""

    def __init__(self, run: Path, step: int) -> None:
        try:
            import wandb
        except ModuleNotFoundError:
            raise PackageMissing("wandb", "log") from None
        kept = run / "wandb.id"
        known = kept.read_text() if step and kept.exists() else None
        self._run: Any = wandb.init(dir=str(run), name=run.name, id=known, resume="allow")
        write_bytes_atomically(kept, self._run.id.encode())

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


_LISTENERS: dict[str, Callable[[Path, int], Listener]] = {"tensorboard": _TensorBoard, "wandb": _WeightsAndBiases}
