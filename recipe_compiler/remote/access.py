"""How stores are asked: with bounds, and again where asking again may help."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from recipe_compiler.errors import AccessDenied, DataError, FileMissing, RecipeError, StorageError

_Result = TypeVar("_Result")
_DENIED = (401, 403, 407)
_GONE = (404, 410)
_REPLACED = 412
_BEYOND = 416
_PASSING = (408, 425, 429)
_LONGEST_WAIT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`tries` of each request, `seconds` for each try, `wait` seconds before the second (twice as long before each
    further one), `connections` at once, and how many bytes of blocks are kept on the disk of a node."""

    tries: int = 7
    seconds: float = 30.0
    wait: float = 0.25
    connections: int = 32
    cache_bytes: int = 8 << 30


class ShortAnswer(Exception):
    """Fewer bytes than were asked for, or more, or others; asking again may help."""

    def __init__(self, found: int, asked: int) -> None:
        others = f"{asked:,} other bytes than those that were asked for"
        super().__init__(others if found == asked else f"{found:,} bytes where {asked:,} were asked for")


class WrongStatus(Exception):
    """A web server's answer that is neither the bytes nor a part of them."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


async def persist(
    url: str, access: Access, attempt: Callable[[], Awaitable[_Result]], seconds: float | None = None
) -> _Result:
    """What an attempt gives, made again while what went wrong may pass. Raises `StorageError` or `DataError`.

    Waits are doubled and spread by chance, so that the processes of a node do not come back all at once; nothing that
    is read depends on them.
    """
    # Who reads files of this disk needs the types of this module and no loop of events.
    import asyncio

    reason = ""
    limit = access.seconds if seconds is None else seconds
    for number in range(access.tries):
        if number:
            spread = 0.5 + int.from_bytes(os.urandom(2)) / (1 << 16)
            await asyncio.sleep(min(access.wait * 2 ** (number - 1), _LONGEST_WAIT) * spread)
        try:
            return await asyncio.wait_for(attempt(), limit)
        except Exception as error:  # noqa: BLE001 - every store has exceptions of its own
            for_good = _for_good(url, error)
            if for_good is not None:
                raise for_good from None
            reason = f"no answer within {limit:g} s" if isinstance(error, TimeoutError) else _told(error)
    noun = "try" if access.tries == 1 else "tries"
    raise StorageError(url, f"{reason}, after {access.tries} {noun}")


def _for_good(url: str, error: Exception) -> RecipeError | None:
    """The error that asking again will not mend, or None."""
    if isinstance(error, RecipeError):
        return error
    status = _status(error)
    if status in _DENIED or isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return AccessDenied(url)
    if status in _GONE or isinstance(error, FileNotFoundError):
        return FileMissing(url)
    if status in (_REPLACED, _BEYOND):
        return replaced(url)
    if status is not None and 300 <= status < 500 and status not in _PASSING:
        return StorageError(url, f"the store refuses to answer (HTTP {status})")
    return None


def replaced(url: str) -> DataError:
    """The error of an object that is not the one that was there before."""
    return DataError(url, "was replaced while it was read; bring back what was compiled, or compile anew")


def range_ignored(url: str) -> StorageError:
    """The error of a server that answers with a whole file."""
    reason = "the server answers with the whole file where a part of it was asked for"
    return StorageError(url, reason, "serve it from one that knows ranges (nginx, an object store)")


def _status(error: Exception) -> int | None:
    """The HTTP status behind an error of any store."""
    response = getattr(error.__cause__ or error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    found = getattr(error, "status", None)
    return found if isinstance(found, int) else None


def _told(error: Exception) -> str:
    """What went wrong, by kind. The words of libraries are left out: they may tell what they were configured with."""
    if isinstance(error, ShortAnswer):
        return str(error)
    status = _status(error)
    if status is not None:
        return f"HTTP {status}"
    number = error.errno if isinstance(error, OSError) else None
    return f"the store cannot be reached ({os.strerror(number) if number and number > 0 else type(error).__name__})"
