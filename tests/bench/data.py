"""The data of the yardstick: records made of templates and a number, the same bytes on every machine.

A file that is there is taken as it is: after a change here, `make clean`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

#: Each number of a template is this long, so that all records of a template are.
_NUMBER = "%09d"
#: Files are as old as this, so that none counts as just written.
_LONG_AGO = 1_700_000_000
_TEXT = "the image shows a small red boat near an old stone bridge while two people walk along and talk about rain"


def chats(
    path: Path, num_bytes: int, *, turns: tuple[int, int] = (2, 8), first: int = 0, as_array: bool = False
) -> Path:
    """LLaVA-like chat records numbered from `first`, about 1 KB each for 2 to 8 turns, as JSON Lines or as one array."""
    templates = _chat_templates(turns)
    rounds = max(1, num_bytes // sum(len(template) - 3 * (len(_NUMBER) - 4) for template in templates))
    return _written(path, templates, rounds * len(templates), first=first, as_array=as_array)


def questions(path: Path, num_records: int) -> Path:
    """Short questions and answers, about 120 bytes each."""
    pool = path.stem
    record = {
        "id": f"{pool}-{_NUMBER}",
        "question": f"Which number of {pool} is {_NUMBER}?",
        "answer": f"It is {_NUMBER}, the number asked for.",
    }
    return _written(path, [json.dumps(record).encode()], num_records, first=0, as_array=False)


def _chat_templates(turns: tuple[int, int]) -> list[bytes]:
    """Records with a number in their id, their image and their first question."""
    chance = np.random.default_rng(17)
    words, templates = _TEXT.split(), []
    for _ in range(499):
        conversations = []
        for turn in range(int(chance.integers(turns[0], turns[1] + 1))):
            size = int(chance.integers(8, 20) if turn % 2 == 0 else chance.integers(20, 60))
            text = " ".join(words[at] for at in chance.integers(0, len(words), size))
            if turn == 0:
                text = f"<image>\nOf picture {_NUMBER}: {text}"
            conversations.append({"from": "human" if turn % 2 == 0 else "gpt", "value": text})
        record = {"id": f"chat-{_NUMBER}", "image": f"images/{_NUMBER}.jpg", "conversations": conversations}
        templates.append(json.dumps(record).encode())
    return templates


def _written(path: Path, templates: list[bytes], num_records: int, *, first: int, as_array: bool) -> Path:
    """Writes a file unless it is there, whole or not at all, and on the disk."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(b"[\n" if as_array else b"")
            file.writelines(_blocks(templates, num_records, first, b",\n" if as_array else b"\n"))
            file.write(b"\n]\n" if as_array else b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.utime(temporary, (_LONG_AGO, _LONG_AGO))

    return made(path, write)


def _blocks(templates: list[bytes], num_records: int, first: int, between: bytes) -> Iterator[bytes]:
    block = templates * (4096 // len(templates))
    whole = between.join(block)
    for start in range(0, num_records, len(block)):
        num = min(len(block), num_records - start)
        text = whole if num == len(block) else between.join(block[:num])
        numbers = np.arange(first + start, first + start + num)
        yield (between if start else b"") + text % tuple(numbers.repeat(3).tolist())


def made(path: Path, make: Callable[[Path], object]) -> Path:
    """Makes a file or a folder unless it is there, whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        make(temporary)
        temporary.rename(path)
    return path
