"""All that is measured, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.bench import (
    choosing,
    diff,
    index,
    interleave,
    large,
    memory,
    neighbours,
    packing,
    peering,
    recompile,
    seek,
    selection,
    startup,
    streaming,
    written,
)
from tests.bench.bench import Bench
from tests.bench.figures import Line

MEASUREMENTS: Mapping[str, Callable[[Bench], list[Line]]] = {
    "index": index.measure,
    "memory": memory.measure,
    "selection": selection.measure,
    "choosing": choosing.measure,
    "neighbours": neighbours.measure,
    "written": written.measure,
    "interleave": interleave.measure,
    "packing": packing.measure,
    "check": startup.measure,
    "seek": seek.measure,
    "recompile": recompile.measure,
    "diff": diff.measure,
    "streaming": streaming.measure,
    "peers": peering.measure,
    "large": large.measure,
}
#: What wants so much memory and disk that it runs only where it is asked for.
ON_REQUEST = frozenset(("large",))
