"""What lmms-eval calls for each document of an exported task. Documents are the rows that `lmms` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.evaluate.metrics import METRICS
from runtime.evaluate.verdict import Reference
from runtime.sample import Media


def pictures(doc: Mapping[str, Any]) -> list[Any]:
    """`doc_to_visual`: the images as PIL has them, in the order of the conversation."""
    return [Media(kind="image", path=None, data=data).image().convert("RGB") for data in doc["images"]]


def question(doc: Mapping[str, Any], _options: Mapping[str, Any] | None = None) -> str:
    """`doc_to_text`: the last question, for models that take one text and images."""
    return str(doc["prompt"])


def messages(doc: Mapping[str, Any], _options: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """`doc_to_messages`: the whole conversation up to the answer, for models that take chats."""
    shown = iter(pictures(doc))
    chat: list[dict[str, Any]] = json.loads(doc["messages"])
    for message in chat:
        message["content"] = [
            part if part["type"] == "text" else {"type": "image", "url": next(shown)} for part in message["content"]
        ]
    return chat


def target(doc: Mapping[str, Any]) -> str:
    """`doc_to_target`: the first accepted answer."""
    return str(doc["answers"][0])


def judged(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """`process_results`: the score that `recipe eval` gives, and whether the answer is malformed."""
    options = [(letter, text) for letter, text in json.loads(doc["options"])]
    verdict = METRICS[doc["metric"]](results[0], Reference(list(doc["answers"]), options))
    return {"score": verdict.score, "malformed": float(verdict.malformed)}
