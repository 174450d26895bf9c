"""Columns of a table that lie in pieces, and what becomes of its rows. Beside `kernels`, another door to the Rust core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recipe_compiler import _core
from recipe_compiler.kernels import U8, U32, U64, Bools, Keys, Times

_Item = TypeVar("_Item", bound=np.generic)
#: A column of whole numbers as wide as they need to be, in pieces of one width.
Numbers: TypeAlias = Sequence[U8 | NDArray[np.uint16] | U32]

#: How many different texts are few: they are worth a number each.
FEW = 1 << 12


def gather(
    columns: Sequence[Sequence[NDArray[Any]]], rows: U32, wanted: Sequence[np.dtype[Any]] | None = None
) -> list[NDArray[Any]]:
    """The cells of rows, column by column. A column may lie in pieces, one behind another; a cell has 1 to 8 bytes.

    Unsigned numbers come as they are `wanted`, at least as wide as they are.
    """
    dtypes = [pieces[0].dtype if pieces else np.dtype(np.uint32) for pieces in columns]
    wanted = dtypes if wanted is None else wanted
    cells = [
        ([np.ascontiguousarray(piece).view(np.uint8) for piece in pieces], own.itemsize, dtype.itemsize)
        for pieces, own, dtype in zip(columns, dtypes, wanted, strict=True)
    ]
    return [found.view(dtype) for found, dtype in zip(_core.gather(cells, rows), wanted, strict=True)]


def keys_of(keys: Keys, rows: U32) -> Keys:
    """The keys of some rows."""
    half, number = np.dtype(np.uint64), np.dtype(np.uint32)
    columns: list[Sequence[NDArray[Any]]] = [keys.high, keys.low, [keys.occurrence], [keys.pool]]
    high, low, occurrence, pool = gather(columns, rows, [half, half, number, number])
    return Keys(high=[high], low=[low], occurrence=occurrence, pool=pool)


def codes(pieces: Numbers) -> U32:
    """The pieces of a column of small numbers as one, 32 bits each."""
    return _core.codes(list(pieces))


def renumbered(codes: Numbers, numbers: U32) -> U32:
    """The number that stands at the place of each code; codes lie in pieces."""
    return _core.renumbered(list(codes), numbers)


def numbered(column: Sequence[pa.StringViewArray], missing: str, most: int) -> tuple[U32, list[str]] | None:
    """The number of each text among the sorted different ones, and those; None where there are more than `most`.

    A missing text is `missing`. The column lies in pieces.
    """
    return _core.numbered([_views(piece) for piece in column], missing, most)


def differs(
    cells: Sequence[Sequence[NDArray[Any]]], texts: Sequence[Sequence[pa.StringViewArray]], rows: U32, asked: Bools
) -> Bools:
    """Marks those of some rows, of the ones that are `asked`, that differ from the row before them in any of the columns.

    Columns of cells (1 to 8 bytes, compared as bytes) and of texts, in pieces. The first row cannot be asked.
    """
    columns = [
        ([np.ascontiguousarray(piece).view(np.uint8) for piece in pieces], pieces[0].dtype.itemsize) for pieces in cells
    ]
    return _core.differs(columns, [[_views(piece) for piece in pieces] for pieces in texts], rows, asked)


def _views(piece: pa.StringViewArray) -> tuple[U8, tuple[U8, int] | None, list[U8]]:
    """The buffers of a piece: its views, whether each text is there (bits, the first of them), and the texts."""
    valid, views, *data = piece.buffers()
    own = _bytes(views)[16 * piece.offset : 16 * (piece.offset + len(piece))]
    return own, None if valid is None else (_bytes(valid), piece.offset), [_bytes(buffer) for buffer in data]


def _bytes(buffer: pa.Buffer | None) -> U8:
    return np.frombuffer(buffer or b"", dtype=np.uint8)


def tokens(text: Numbers, images: Numbers, videos: Numbers, *, per_image: int, per_video: int) -> tuple[U32, int]:
    """(the tokens of each row, the most of a row), with an image and a video counted as so many.

    Where the most has more than 32 bits, the tokens mean nothing.
    """
    return _core.tokens(list(text), list(images), list(videos), per_image, per_video)


def zeros(num: int, dtype: type[_Item]) -> NDArray[_Item]:
    """So many zeros, for what is written here and there: numpy's own are slow where some of them are read before."""
    return _core.zeros(num * np.dtype(dtype).itemsize).view(dtype)


def taken_rows(times: Times) -> U32:
    """The rows that are taken at all, in order."""
    return _core.taken_rows(times)


def num_different(rows: U32, height: int) -> int:
    """How many different rows there are among these, all of which are below `height`."""
    return _core.num_different(rows, height)


def leave(ends: U64, *, before: Bools, after: Bools, left_at: NDArray[np.uint16], step: int) -> tuple[U64, U64]:
    """Rows leave at a step, which is noted in `left_at`: those of `before` that are not among `after`.

    Pools lie one behind another, and these are their `ends`. Gives (of each pool, how many rows stay; how many left).
    """
    return _core.leave(ends, (before, after), left_at, step)
