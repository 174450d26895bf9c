"""The memory of an index: what it takes beyond its result must not grow with the file.

Pages of the file that the process has mapped count, as they do for whoever limits it. Anonymous memory, which only the
process itself can give back, is told beside it.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from tests.bench import data
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Variant, fresh, held, round_robin, warm

_MB = 1e6


def measure(bench: Bench) -> list[Line]:
    sizes = bench.size(250_000_000), bench.size(1_000_000_000)
    paths = [str(data.chats(bench.folder / f"chats-{size}.json", size, as_array=True)) for size in sizes]
    runs = round_robin({path: partial(fresh, index_array, path) for path in paths}, bench.repeats)
    lines = []
    for kind, target in (("peak", 1), ("anonymous", None)):
        small, large = (Spread.of([ran.found[kind] / _MB for ran in runs[path]]) for path in paths)
        # A difference is known to some 0.1 MB.
        growth = limit(max(large.median - small.median, 0.1))
        for size, found in zip(sizes, (small, large), strict=True):
            what = f"index {size / _MB:,.0f} MB array, {kind} beyond result"
            lines.append(Line(what=what, ours=found, against="its size", theirs=limit(size / _MB), unit="MB"))
        lines.append(
            Line(what=f"growth of the {kind}", ours=growth, against="limit", theirs=limit(64), unit="MB", target=target)
        )
    return lines


def index_array(path: str) -> Variant:
    from recipe_compiler import scanning

    stream = Path(path)
    warm(path)
    before, anonymous = held("VmHWM"), [held("RssAnon")]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            anonymous.append(held("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    layout = scanning.layout(stream.name, stream, hint={}, preset="auto", fields={})
    _, fields, _ = scanning.detect(stream, layout=layout, preset="auto", fields={})
    found = scanning.index(stream, layout=layout, fields=fields)
    yield
    done.set()
    watcher.join()
    texts = [found.keys, found.media, *(column for column, _ in found.columns.values())]
    arrays = [*found.numbers.values(), *(part for text in texts for part in (text.offsets, text.data, text.valid))]
    result = sum(array.nbytes for array in arrays)
    yield {"peak": held("VmHWM") - before - result, "anonymous": max(anonymous) - anonymous[0] - result}
