"""What a manifest asks: each draw as a question, with what its answer is judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recipe_compiler.manifest.schema import PoolRef
from runtime.capabilities import Capabilities
from runtime.evaluate.choice import shown
from runtime.evaluate.metrics import METRICS, Choice
from runtime.evaluate.verdict import Reference, Verdict
from runtime.reader import Reader
from runtime.sample import Sample


@dataclass(frozen=True, slots=True)
class Question:
    """A draw without its last answer. `metric` is the name of what judges it; None where there is no answer to judge by, or
    none that the metric can read. `capabilities` are those that a table of scores says it asks for; None without a table."""

    sample: Sample
    prompt: str
    reference: Reference
    columns: Mapping[str, str | None]
    metric: str | None
    capabilities: Sequence[str] | None

    def judge(self, answer: str) -> Verdict | None:
        """What the answer is worth, or None where nothing is known to judge it by."""
        return None if self.metric is None else METRICS[self.metric](answer, self.reference)


class Questions:
    """The draws of a manifest as questions, by position."""

    def __init__(self, reader: Reader, choice: Choice, capabilities: Capabilities | None = None) -> None:
        self.reader = reader
        self.choice = choice
        self.capabilities = capabilities
        self._pools: dict[str, PoolRef] = {pool.name: pool for pool in reader.manifest.pools}

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, position: int) -> Question:
        """The question at a position. The answer is the last turn, if the assistant's; facts of the record come first."""
        sample, facts = self.reader.sample(position), self.reader.facts(position)
        answers: list[str] = facts["answers"]
        asked = sample.messages
        if asked and asked[-1]["role"] == "assistant":
            answers = answers or [_text(asked[-1])]
            asked = asked[:-1]
        prompt = _text(next((message for message in reversed(asked) if message["role"] == "user"), {"content": []}))
        options = [(letter, text) for letter, text in facts["options"] if letter] or shown(prompt)
        reference = Reference(answers, options)
        metric = self.choice.of(self._pools[sample.pool], reference)
        bare = dataclasses.replace(sample, messages=asked)
        return Question(bare, prompt, reference, facts["columns"], metric, self._asks_for(sample))

    def _asks_for(self, sample: Sample) -> list[str] | None:
        if self.capabilities is None:
            return None
        return [
            name for name, has in zip(self.capabilities.names, self.capabilities.of([sample])[0], strict=True) if has
        ]


def _text(message: Mapping[str, Any]) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
