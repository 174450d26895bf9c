"""`python -m tests.bench [--quick] [MEASUREMENT...]`: measures, prints the table, writes `build/bench.json`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib import metadata

from tests.bench.bench import REPOSITORY, Bench
from tests.bench.figures import Line, table
from tests.bench.measurements import MEASUREMENTS, ON_REQUEST

_PACKAGES = (
    "numpy",
    "polars",
    "pyarrow",
    "duckdb",
    "faiss-cpu",
    "datasets",
    "numba",
    "trl",
    "torch",
    "webdataset",
    "mosaicml-streaming",
    "litdata",
    "megatron-energon",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "measurements",
        nargs="*",
        metavar="MEASUREMENT",
        help=f"of {', '.join(MEASUREMENTS)}; else all but {', '.join(ON_REQUEST)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a twentieth of the sizes: shows that it runs, not how fast"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="times the sizes: 10 is 100 million rows")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median stands; %(default)s")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats is at least 1")
    unknown = set(options.measurements) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"no measurement {', '.join(sorted(unknown))}")
    folder = REPOSITORY / "build" / "bench-data"
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(folder=folder, repeats=options.repeats, scale=0.05 if options.quick else options.scale)
    machine = {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    lines: list[Line] = []
    for name in options.measurements or (name for name in MEASUREMENTS if name not in ON_REQUEST):
        start = time.perf_counter()
        lines += MEASUREMENTS[name](bench)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    note = "; so small that the figures mean little" if options.quick else ""
    print(
        f"{machine['cores']} cores, load {machine['load']:.1f} at the start; medians of {bench.repeats} (least-most){note}\n"
    )
    print(table(lines))
    document = {
        "machine": machine,
        "scale": bench.scale,
        "repeats": bench.repeats,
        "lines": [line.document() for line in lines],
    }
    (folder.parent / "bench.json").write_text(json.dumps(document, indent=2) + "\n")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
