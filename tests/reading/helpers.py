"""What the reading tests share: the same records written in every container, and read by the kernels."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from recipe_compiler import scanning
from recipe_compiler.scanning import Malformed

Record = Mapping[str, Any]
Records = Sequence[Record]


def json_lines(records: Records) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def json_array(records: Records) -> bytes:
    return json.dumps(records, indent=1).encode()


def json_object(records: Records) -> bytes:
    return json.dumps({f"entry {number}": record for number, record in enumerate(records)}).encode()


def wrapped_list(records: Records) -> bytes:
    return json.dumps({"version": "1.0", "info": {"split": "train"}, "data": records}, ensure_ascii=False).encode()


def delimited(records: Records, delimiter: str, line_end: str = "\r\n") -> bytes:
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_MINIMAL)
    writer.writerow(names)
    for record in records:
        writer.writerow(["" if record.get(name) is None else str(record[name]) for name in names])
    return text.getvalue().encode()


def comma_separated(records: Records) -> bytes:
    return delimited(records, ",")


def tab_separated(records: Records) -> bytes:
    return delimited(records, "\t")


def parquet(records: Records, *, schema: Sequence[str] | None = None, **options: Any) -> bytes:
    sink = io.BytesIO()
    texts = None if schema is None else pa.schema([(name, pa.string()) for name in schema])
    pq.write_table(pa.Table.from_pylist(list(records), schema=texts), sink, **options)
    return sink.getvalue()


def tar(members: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, **options) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = 1_700_000_000
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def web_dataset(records: Records) -> bytes:
    members = [(f"{number:06}.json", json.dumps(record).encode()) for number, record in enumerate(records)]
    return tar(members)


def plain(data: bytes) -> bytes:
    return data


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)


def zstandard_compressed(data: bytes) -> bytes:
    return zstandard.compress(data)


@dataclass(frozen=True, slots=True)
class Container:
    """A way to write records down. `flat` ones hold text cells only."""

    name: str
    ending: str
    write: Callable[[Records], bytes]
    flat: bool = False


CONTAINERS = (
    Container("json lines", ".jsonl", json_lines),
    Container("json array", ".json", json_array),
    Container("json object", ".json", json_object),
    Container("wrapped list", ".json", wrapped_list),
    Container("csv", ".csv", comma_separated, flat=True),
    Container("tsv", ".tsv", tab_separated, flat=True),
    Container("web dataset", ".tar", web_dataset),
    Container("parquet", ".parquet", parquet),
)

WRAPPINGS: Mapping[str, Callable[[bytes], bytes]] = {"": plain, ".gz": gzipped, ".zst": zstandard_compressed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One indexed sample: where it lies, its id by the index, and what the mapper makes of its bytes."""

    offset: int
    length: int
    indexed_id: bytes
    mapped_id: bytes
    content: dict[str, Any]
    blobs: list[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file gave."""

    preset: str
    layout: Mapping[str, Any]
    stream: bytes
    entries: list[Entry]
    malformed: Sequence[Malformed]

    @property
    def ids(self) -> list[bytes]:
        return [entry.mapped_id for entry in self.entries]

    @property
    def contents(self) -> list[dict[str, Any]]:
        return [entry.content for entry in self.entries]


def read_file(path: Path, *, preset: str = "auto", fields: Mapping[str, Any] | None = None) -> Reading:
    """Reads a file as the compiler does, and every sample again from its bytes as the runtime does."""
    own = dict(fields or {})
    wrapping = scanning.wrapping(path)
    stream = path
    if wrapping != "plain":
        stream = path.with_name(path.name + ".records")
        scanning.unwrap(path, wrapping, stream, limit=1 << 30)
    layout = scanning.layout(path.name, stream, hint={}, preset=preset, fields=own)
    found, mapping, _ = scanning.detect(stream, layout=layout, preset=preset, fields=own)
    index = scanning.index(stream, layout=layout, fields=mapping)
    mapper = scanning.Mapper(layout=layout, fields=mapping)
    data = stream.read_bytes()
    entries = []
    numbers = index.numbers
    for row in range(len(numbers["offset"])):
        offset, length = int(numbers["offset"][row]), int(numbers["length"][row])
        sample = mapper.sample(data[offset : offset + length])
        halves = [int(numbers[name][row]).to_bytes(8, "big") for name in ("id_high", "id_low")]
        entries.append(
            Entry(
                offset=offset,
                length=length,
                indexed_id=b"".join(halves),
                mapped_id=sample.sample_id,
                content=sample.content,
                blobs=sample.blobs,
            )
        )
    return Reading(preset=found, layout=layout, stream=data, entries=entries, malformed=index.malformed)


def read_bytes(folder: Path, name: str, data: bytes, **options: Any) -> Reading:
    """Reads a file with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return read_file(path, **options)
