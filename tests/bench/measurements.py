"""All that is measured, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.bench import choosing, diff, index, interleave, memory, peering, recompile, seek, selection, startup
from tests.bench.bench import Bench
from tests.bench.figures import Line

MEASUREMENTS: Mapping[str, Callable[[Bench], list[Line]]] = {
    "index": index.measure,
    "memory": memory.measure,
    "selection": selection.measure,
    "choosing": choosing.measure,
    "interleave": interleave.measure,
    "check": startup.measure,
    "seek": seek.measure,
    "recompile": recompile.measure,
    "diff": diff.measure,
    "peers": peering.measure,
}
