"""Parquet with embedded media, as data sets for trainers are: `messages`, `images`, `videos`, and where a draw is from.

The columns are those of common data sets for vision-language tuning: a message's content is a list of parts with `type`,
`text` and `index`, an image is a struct of `bytes` and `path`. The k-th image part of a sample shows its k-th image. The
schema carries the features that `datasets` reads, so that images are images there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from runtime.materialize.records import Record

_TEXTS = ("id", "source_key", "pool", "group", "stage", "rule")
_NUMBERS = ("position", "repeat", "tokens")
_FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_PART = pa.struct([("index", pa.int64()), ("text", pa.string()), ("type", pa.string())])
_MESSAGE = pa.struct([("content", pa.list_(_PART)), ("role", pa.string())])


def _features() -> dict[str, Any]:
    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    part = {"index": value("int64"), "text": value("string"), "type": value("string")}
    message = {"content": {"feature": part, "_type": "List"}, "role": value("string")}
    return {
        **{name: value("string") for name in _TEXTS},
        **{name: value("int64") for name in _NUMBERS},
        "messages": {"feature": message, "_type": "List"},
        "images": {"feature": {"_type": "Image"}, "_type": "List"},
        "videos": {"feature": {"bytes": value("binary"), "path": value("string")}, "_type": "List"},
        "tools": value("string"),
    }


SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in _TEXTS),
        *(pa.field(name, pa.int64()) for name in _NUMBERS),
        pa.field("messages", pa.list_(_MESSAGE)),
        pa.field("images", pa.list_(_FILE)),
        pa.field("videos", pa.list_(_FILE)),
        pa.field("tools", pa.string()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _features()}})},
)
_COMPRESSION = {
    name: "NONE" if name.startswith(("images", "videos")) else "ZSTD"
    for name in (
        *_TEXTS,
        *_NUMBERS,
        *(
            "messages.list.element.role",
            *(f"messages.list.element.content.list.element.{field.name}" for field in _PART),
        ),
        *(f"{kind}.list.element.{field.name}" for kind in ("images", "videos") for field in _FILE),
        "tools",
    )
}


def encode(records: Sequence[Record]) -> tuple[bytes, list[int]]:
    """Rows as an Arrow stream, and about how many bytes each has."""
    rows = [_row(record) for record in records]
    sizes = [
        sum(len(attachment.data) for attachment in record.attachments)
        + sum(
            len(part["text"].encode())
            for message in record.sample.messages
            for part in message["content"]
            if "text" in part
        )
        for record in records
    ]
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, SCHEMA) as stream:
        stream.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    return out.getvalue().to_pybytes(), sizes


def decode(data: bytes) -> pa.Table:
    """The rows of an Arrow stream."""
    return pa.ipc.open_stream(data).read_all()


def writer(path: str) -> pq.ParquetWriter:
    """A new file of rows. Media are not compressed again."""
    return pq.ParquetWriter(
        path,
        SCHEMA,
        compression=_COMPRESSION,
        use_dictionary=["pool", "group", "stage", "rule"],
        write_statistics=["position"],
        write_page_checksum=True,
    )


def _row(record: Record) -> dict[str, Any]:
    """One draw. Media are in the order in which the text shows them, so that the k-th part shows the k-th."""
    sample, files = record.sample, {"image": [], "video": []}  # type: ignore[var-annotated]
    messages = []
    for message in sample.messages:
        content = []
        for part in message["content"]:
            if part["type"] == "text":
                content.append({"type": "text", "text": part["text"], "index": None})
                continue
            kind, attachment = part["type"], record.attachments[part["media"]]
            name = f"{record.name}.{part['media']}.{attachment.extension}"
            content.append({"type": kind, "text": None, "index": len(files[kind])})
            files[kind].append({"bytes": attachment.data, "path": name})
        messages.append({"role": message["role"], "content": content})
    return {
        "id": sample.sample_id,
        "source_key": sample.key,
        **{name: getattr(sample, name) for name in (*_TEXTS[2:], *_NUMBERS)},
        "messages": messages,
        "images": files["image"],
        "videos": files["video"],
        "tools": sample.tools,
    }
