"""What of the Rust core takes no arrays. `kernels` has the rest, and passes this on.

Commands that read no data need no more, and numpy takes as long to import as all that they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from recipe_compiler import _core
from recipe_compiler.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The largest pack there can be.
LARGEST_PACK: Final = 1 << 20

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def call(kernel: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
    """Calls a kernel that reads files. Raises `DataError` for one that cannot be used."""
    try:
        return kernel(*args, **kwargs)
    except _core.FileError as error:
        path, reason = error.args
        raise DataError(str(path), str(reason)) from None


def unwrap(path: Path, kind: str, out: Path, *, limit: int) -> None:
    """Writes the record stream of a wrapped file to the new file `out`, synced, if it is no longer than `limit` bytes.

    A file that expands as no data do raises, see `rust_core/src/bounds.rs`.
    """
    call(_core.unwrap, path, kind, out, limit)


def digest_file(path: Path) -> str:
    """BLAKE3 of a file's bytes, as 64 hexadecimal digits."""
    return call(_core.digest_file, path).hex()


def digest_parts(domain: str, parts: Sequence[bytes | memoryview | NDArray[Any]]) -> str:
    """A digest (64 hexadecimal digits) of bytes and arrays in little-endian order, under a name of its own."""
    return _core.digest_parts(domain, [part if isinstance(part, bytes) else _as_bytes(part) for part in parts]).hex()


def _as_bytes(array: memoryview | NDArray[Any]) -> NDArray[np.uint8]:
    import numpy as np

    return np.ascontiguousarray(array).view(np.uint8)
