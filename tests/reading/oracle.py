"""The mapping of `llava`, `alpaca` and `qa`, in plain Python and one record at a time: slow, and obviously right."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

LLAVA = {
    "key": ["id"],
    "turns": {"path": "conversations", "role": "from", "text": "value"},
    "images": ["image?"],
}
ALPACA = {
    "key": ["id"],
    "system": ["system?"],
    "pairs": {"path": "history?", "user": "[0]", "assistant": "[1]"},
    "user": ["instruction", "input?"],
    "assistant": ["output"],
}
QA = {"key": ["id"], "user": ["question"], "choices": ["choices?"], "assistant": ["answer"]}

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "observation": "tool",
}

#: Unicode's White_Space, which is not what `str.strip` takes off.
WHITE_SPACE = {*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


SPACE = "[" + "".join(rf"\U{point:08x}" for point in sorted(WHITE_SPACE)) + "]*"


class Unusable(Exception):
    """The record is malformed."""


def scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int):
        return json.dumps(value)
    raise Unusable(f"{value!r} is no text")


def is_blank(text: str) -> bool:
    return all(ord(character) in WHITE_SPACE for character in text)


def part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def shown(text: str) -> list[dict[str, Any]]:
    return [] if is_blank(text) else [part(text)]


def message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "content": content}


def sample(
    record: Mapping[str, Any], messages: list[dict[str, Any]], media: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    if not messages:
        raise Unusable("no messages")
    key = record.get("id")
    is_scalar = isinstance(key, str | bool | int)
    return {"key": scalar(key) if is_scalar else None, "messages": messages, "media": media or [], "tools": None}


def joined(*values: Any) -> str:
    return "\n".join(text for text in (scalar(value) for value in values if value is not None) if text)


def llava(record: Mapping[str, Any]) -> dict[str, Any]:
    """Image marks are replaced in order; with no mark at all, images stand before the first question."""
    image = record.get("image")
    images = [name for name in (image if isinstance(image, list) else [image]) if name]
    turns = record.get("conversations")
    if not isinstance(turns, list):
        raise Unusable("no turns")
    num_marks = 0
    messages = []
    for turn in turns:
        role, text = turn.get("from"), turn.get("value")
        if role not in ROLES or text is None:
            raise Unusable("a turn without role or text")
        content: list[dict[str, Any]] = []
        # Without images, a mark inside a sentence is text; one at an edge of a turn asks for an image.
        marked = (
            bool(images) or re.search(rf"\A{SPACE}<(image|video)>|<(image|video)>{SPACE}\Z", scalar(text)) is not None
        )
        for piece in re.split("(<image>|<video>)", scalar(text)) if marked else [scalar(text)]:
            if piece == "<image>":
                content.append({"type": "image", "media": num_marks})
                num_marks += 1
            elif piece == "<video>":
                raise Unusable("a video mark without a video")
            else:
                content += shown(piece.removeprefix("\n") if content else piece)
        messages.append(message(ROLES[role], content))
    if num_marks not in (0, len(images)):
        raise Unusable("marks and images do not match")
    if num_marks == 0 and images:
        first: list[dict[str, Any]] = [{"type": "image", "media": number} for number in range(len(images))]
        for candidate in messages:
            if candidate["role"] == "user":
                candidate["content"] = first + candidate["content"]
                break
        else:
            messages.insert(0, message("user", first))
    return sample(record, messages, [{"kind": "image", "path": name} for name in images])


def alpaca(record: Mapping[str, Any]) -> dict[str, Any]:
    """System, exchanges of the past, then instruction and input as one question."""
    messages = []
    system = joined(record.get("system"))
    if system:
        messages.append(message("system", [part(system)]))
    for question, answer in record.get("history") or []:
        messages.append(message("user", shown(scalar(question))))
        messages.append(message("assistant", [part(scalar(answer))]))
    if record.get("instruction") is None or record.get("output") is None:
        raise Unusable("no instruction or output")
    messages.append(message("user", shown(joined(record["instruction"], record.get("input")))))
    messages.append(message("assistant", [part(scalar(record["output"]))]))
    return sample(record, messages)


def qa(record: Mapping[str, Any]) -> dict[str, Any]:
    """Lettered choices below the question; an answer that is a position becomes a letter."""
    choices = record.get("choices")
    if isinstance(choices, dict):
        options = [(name, scalar(text)) for name, text in choices.items() if text is not None]
    elif isinstance(choices, list):
        options = [
            (chr(ord("A") + place) if place < 26 else str(place + 1), scalar(c)) for place, c in enumerate(choices)
        ]
    elif choices is None:
        options = []
    else:
        options = [("", scalar(choices))]
    if record.get("question") is None or record.get("answer") is None:
        raise Unusable("no question or answer")
    question = scalar(record["question"])
    has_letters = all(re.match(rf"\(*{re.escape(name)}[.):]", text) for name, text in options)
    for name, text in options:
        line = f"{name}. {text}" if name and not has_letters else text
        question = f"{question}\n{line}" if question else line
    answer = record["answer"]
    if isinstance(answer, int) and not isinstance(answer, bool) and options:
        if not 0 <= answer < len(options) or not options[answer][0]:
            raise Unusable("no such choice")
        said = options[answer][0]
    elif isinstance(answer, list) and all(isinstance(item, str) for item in answer):
        if not answer:
            raise Unusable("no answer in the list")
        said = answer[0]
    elif isinstance(answer, list | dict):
        said = json.dumps(answer, separators=(",", ":"), ensure_ascii=False)
    else:
        said = scalar(answer)
    return sample(record, [message("user", shown(question)), message("assistant", [part(said)])])
