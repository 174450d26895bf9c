"""What a kernel found in a file as the columns of an index: in the narrowest types that give the values back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recipe_compiler import scanning, table
from recipe_compiler.manifest import rows
from recipe_compiler.resolve.index import BOOLEAN, CARRIED, FLOAT, INTEGER, NUMBER, TEXT
from recipe_compiler.scanning import Texts

#: The least bytes of numbers that are small nearly everywhere.
_LEAST = {"length": 4, "images": 1, "videos": 1, "answers": 1}


def build(index: scanning.Index) -> pa.Table:
    """The table of an index, with what is known of all its rows as metadata."""
    numbers = dict(index.numbers)
    counts = numbers.pop("num_media")
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    columns = {name: rows.column(values) for name, values in narrow(numbers).items()}
    # What no sample has takes no room.
    nothing = pa.nulls(len(counts))
    columns["key"] = _viewed(_texts(index.keys)) if index.keys.valid.any() else nothing
    media = pa.LargeListArray.from_arrays(rows.column(offsets), _texts(index.media))
    columns["media"] = media if offsets[-1] else nothing
    for name, (texts, seen) in index.columns.items():
        columns |= _carried(name, _texts(texts), seen)
    facts = {
        "seen": {name: seen for name, (_, seen) in index.columns.items()},
        "malformed": [{"record": bad.record, "offset": bad.offset, "reason": bad.reason} for bad in index.malformed],
    }
    return pa.table(columns).replace_schema_metadata({"recipe": json.dumps(facts)})


def narrow(numbers: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The numbers of an index in as few bytes as the largest of them needs.

    Only those that are small nearly everywhere: tables of files with columns of the same types are read as one.
    """
    found = dict(numbers)
    for name, least in _LEAST.items():
        needed = np.min_scalar_type(int(found[name].max(initial=0))).itemsize
        found[name] = found[name].astype(f"u{max(least, needed)}")
    return found


def _carried(name: str, texts: pa.Array, seen: int) -> dict[str, pa.Array]:
    """A carried column as it is kept."""
    kind = {BOOLEAN: pa.bool_(), INTEGER: pa.int64(), FLOAT: pa.float64(), FLOAT | INTEGER: pa.float64()}.get(seen)
    numbers = None
    if kind is not None:
        try:
            numbers = pc.cast(texts, kind)
        except pa.ArrowInvalid:
            # A whole number that is too large stays as it was written.
            numbers = None
    if numbers is None:
        viewed = _viewed(texts)
        few = _few(viewed) if seen & TEXT else None
        return {f"{CARRIED}{name}": viewed if few is None else few}
    if seen & FLOAT:
        # One number can be written in several ways.
        return {f"{NUMBER}{name}": numbers, f"{CARRIED}{name}": _viewed(texts)}
    again = pc.cast(numbers, pa.large_string())
    exact = pc.all(pc.equal(again, texts), skip_nulls=True).as_py() is not False
    kept = {f"{NUMBER}{name}": _narrowed(numbers) if seen == INTEGER else numbers}
    return kept if exact else kept | {f"{CARRIED}{name}": _viewed(texts)}


def _narrowed(numbers: pa.Array) -> pa.Array:
    """Whole numbers in as many bytes as the largest of them needs."""
    ends = pc.min_max(numbers).as_py()
    for bits in (8, 16, 32):
        if ends["min"] is not None and -(1 << bits - 1) <= ends["min"] and ends["max"] < 1 << bits - 1:
            return pc.cast(numbers, getattr(pa, f"int{bits}")())
    return numbers


def _few(texts: pa.Array) -> pa.DictionaryArray | None:
    """Texts as the numbers of sorted different ones, where these are few."""
    found = table.numbered([texts], "", table.FEW) if isinstance(texts, pa.StringViewArray) else None
    if found is None:
        return None
    codes, names = found
    absent = pc.is_null(texts).to_numpy(zero_copy_only=False) if texts.null_count else None
    if absent is not None and names and not names[0] and absent[codes == 0].all():
        # Nobody says nothing: that text stands for those that are missing alone.
        codes, names = np.where(absent, codes, codes - np.uint32(1)), names[1:]
    numbers = rows.column(codes.astype(np.uint8 if len(names) < 1 << 8 else np.uint16))
    if absent is not None:
        there = pa.py_buffer(np.packbits(~absent, bitorder="little"))
        numbers = pa.Array.from_buffers(numbers.type, len(numbers), [there, numbers.buffers()[1]])
    return pa.DictionaryArray.from_arrays(numbers, _texts(_joined(names)))


def _joined(texts: Sequence[str]) -> Texts:
    parts = [text.encode() for text in texts]
    return Texts(
        offsets=np.cumsum([0, *map(len, parts)], dtype=np.int64),
        data=np.frombuffer(b"".join(parts), dtype=np.uint8),
        valid=np.ones(len(parts), dtype=np.uint8),
    )


def _viewed(texts: pa.LargeStringArray) -> pa.Array:
    """Texts as polars has them, so that it need not make them anew each time an index is opened."""
    # A view points at 2 GiB at most.
    return texts if texts.nbytes >= 1 << 31 else pc.cast(texts, pa.string_view())


def _texts(texts: Texts) -> pa.Array:
    valid = np.packbits(texts.valid, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(texts.offsets), pa.py_buffer(texts.data)]
    return pa.Array.from_buffers(pa.large_string(), len(texts.valid), buffers)
