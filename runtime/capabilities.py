"""Which samples have which capability: a table of scores, and from which score on a sample counts.

A sample may have several capabilities, or none. The table is one that a recipe names under `annotations`, joined as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recipe_compiler.kernels import digest_file
from recipe_compiler.scanning import check_table
from runtime.errors import StreamError
from runtime.sample import Sample

Match = Literal["sample_id", "key"]
MATCHES: Final[tuple[Match, ...]] = ("sample_id", "key")


class ScoresError(StreamError):
    """A table of scores cannot be read, or is not what was said of it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What makes a capability: a column of the table `source`, and the least score in it. Rows are joined to samples by
    their column `sample_id` or `key`, as `match` says; a sample without a row has no capability."""

    source: Path
    match: Match
    levels: Mapping[str, float]


class Capabilities:
    """The capabilities of samples, by `names`. `identity` is what decides who has which, as plain JSON."""

    def __init__(self, levels: Levels) -> None:
        """Reads the table. Raises `ScoresError` where it cannot be, or has a sample twice."""
        self.names = tuple(levels.levels)
        self.match: Match = levels.match
        table = _read(levels.source, [levels.match, *self.names], text=levels.match)
        ids = _texts(levels.source, table[levels.match], levels.match)
        columns = [_reached(levels.source, table[name], name, least) for name, least in levels.levels.items()]
        has: NDArray[np.bool_] = np.stack(columns, axis=1)
        self.identity = {"scores": digest_file(levels.source), "match": levels.match, "levels": dict(levels.levels)}
        # Who has none is not looked for; the last row is theirs.
        kept = has.any(axis=1) & ids.is_valid().to_numpy(zero_copy_only=False)
        self._rows = dict(zip(ids.filter(pa.array(kept)).to_pylist(), range(int(kept.sum())), strict=True))
        self._has = np.concatenate([has[kept], np.zeros((1, len(self.names)), dtype=bool)])

    def of(self, samples: Sequence[Sample]) -> NDArray[np.bool_]:
        """Who has what, of shape (samples, names). A sample without a key has nothing that is matched by key."""
        asked = (sample.sample_id if self.match == "sample_id" else sample.key for sample in samples)
        rows = [-1 if text is None else self._rows.get(text, -1) for text in asked]
        return self._has[np.array(rows, dtype=np.intp)]


def _read(path: Path, columns: Sequence[str], *, text: str) -> pa.Table:
    """Some columns of a table; that of `text` as it is written, so that `007` stays `007`."""
    if not path.is_file():
        raise ScoresError(path, "there is no such file")
    try:
        match path.suffix:
            case ".parquet":
                import pyarrow.parquet as pq

                check_table(path)
                table = pq.ParquetFile(path)
                _expect(path, columns, table.schema_arrow.names)
                return table.read(columns=list(columns))
            case ".csv":
                from pyarrow import csv

                table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={text: pa.string()}))
            case ".jsonl" | ".ndjson":
                from pyarrow import json

                table = json.read_json(path)
            case _:
                raise ScoresError(path, "scores are a .parquet, .csv or .jsonl file")
        _expect(path, columns, table.column_names)
        return table.select(list(columns))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise ScoresError(path, reason) from None


def _expect(path: Path, wanted: Sequence[str], there: Sequence[str]) -> None:
    lacking = [name for name in wanted if name not in there]
    if lacking:
        listed = ", ".join(f"`{name}`" for name in sorted(there))
        other = next((name for name in MATCHES if name in there and lacking[0] in MATCHES), None)
        way_out = f"; match by `{other}`, which it has" if other else f"; it has {listed}"
        raise ScoresError(path, f"has no column {', '.join(f'`{name}`' for name in lacking)}{way_out}")


def _texts(path: Path, column: pa.ChunkedArray, name: str) -> pa.Array:
    try:
        texts = column.cast(pa.string()).combine_chunks()
    except pa.ArrowException:
        raise ScoresError(path, f"its column `{name}` has no texts") from None
    whole = pc.utf8_lower(texts) if name == "sample_id" else texts
    counts = pc.value_counts(whole.drop_null())
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise ScoresError(path, f"has several rows for one {name.replace('_', ' ')}, for example `{pc.min(repeated)}`")
    return whole


def _reached(path: Path, column: pa.ChunkedArray, name: str, least: float) -> NDArray[np.bool_]:
    """Which rows have at least this score. No value, and what is not a number, is below every score."""
    kind = column.type
    numbers = pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null
    if not any(is_so(kind) for is_so in numbers):
        raise ScoresError(path, f"its column `{name}` has no numbers, but {kind}")
    reached = pc.greater_equal(column.cast(pa.float64(), safe=False), least)
    found: NDArray[np.bool_] = pc.fill_null(reached, False).combine_chunks().to_numpy(zero_copy_only=False)
    return found
