"""A digest of a shard's file inside of it, so that no byte of it changes unseen.

A shard is named by a digest of its rows, so that no writer of Parquet has a say in an id. That digest says nothing of bytes
that no row depends on: statistics, names, the footer. The seal is a value in the footer: a digest of all other bytes.
"""

from __future__ import annotations

from typing import Final

from recipe_compiler.core import digest_parts

KEY: Final = "recipe.bytes"
#: What stands in the footer until the digest is known; it has as many characters.
EMPTY: Final = "0" * 64
#: What Parquet writes between a key and its value: that a text follows, and its length.
_BETWEEN: Final = b"\x18\x40"
#: What Parquet writes behind the footer: its length, in four bytes, and a mark.
_END: Final = 8


def seal(data: memoryview) -> None:
    """Puts the digest of a file, whose footer has `KEY`, in the place of the value."""
    start, stop = _place(data)
    data[start:stop] = _digest(data).encode()


def holds(data: memoryview) -> bool:
    """Whether each byte of a file is as it was when it was sealed."""
    start, stop = _place(data)
    return start > 0 and data[start:stop] == _digest(data).encode()


def _digest(data: memoryview) -> str:
    start, stop = _place(data)
    return digest_parts("shard file", [data[:start], data[stop:]])


def _place(data: memoryview) -> tuple[int, int]:
    """Where the value stands; (0, 0) where there is none."""
    footer = bytes(data[-_END - int.from_bytes(data[-_END:-4], "little") :])
    mark = KEY.encode() + _BETWEEN
    at = footer.rfind(mark)
    start = 0 if at < 0 else len(data) - len(footer) + at + len(mark)
    return start, start + len(EMPTY) if start else 0
