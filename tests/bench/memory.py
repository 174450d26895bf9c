"""The memory of an index: what it takes beyond its result must not grow with the file."""

from __future__ import annotations

from pathlib import Path

from tests.bench import data
from tests.bench.bench import Bench
from tests.bench.figures import Line, Spread, limit
from tests.bench.processes import Variant, fresh, peak_bytes, warm

_MB = 1e6


def measure(bench: Bench) -> list[Line]:
    beyond = {}
    for size in (bench.size(250_000_000), bench.size(1_000_000_000)):
        path = str(data.chats(bench.folder / f"chats-{size}.json", size, as_array=True))
        beyond[size] = Spread.of([fresh(index_array, path).found / _MB for _ in range(bench.repeats)])
    small, large = beyond.values()
    # A difference is measured to some 0.1 MB, and smaller files cannot take more.
    growth = limit(max(large.median - small.median, 0.1))
    what = "index {:,.0f} MB array, peak beyond result".format
    return [
        *(
            Line(what=what(size / _MB), ours=found, against="its size", theirs=limit(size / _MB), unit="MB")
            for size, found in beyond.items()
        ),
        Line(what="the same, growth", ours=growth, against="limit", theirs=limit(64), unit="MB", target=1),
    ]


def index_array(path: str) -> Variant:
    from recipe_compiler import kernels

    stream = Path(path)
    warm(path)
    before = peak_bytes()
    yield
    layout = kernels.layout(stream.name, stream, hint={}, preset="auto", fields={})
    _, fields, _ = kernels.detect(stream, layout=layout, preset="auto", fields={})
    found = kernels.index(stream, layout=layout, fields=fields)
    yield
    texts = [found.keys, found.media, *(column for column, _ in found.columns.values())]
    arrays = [*found.numbers.values(), *(part for text in texts for part in (text.offsets, text.data, text.valid))]
    yield peak_bytes() - before - sum(array.nbytes for array in arrays)
