"""Messages -> the text of a chat, by the processor's template, with the characters that the assistant says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from runtime.errors import CollateError

#: First and last character, the last one outside.
Span = tuple[int, int]
Messages = Sequence[dict[str, Any]]

_GENERATION = re.compile(r"\{%-?\+?\s*generation\s*[-+]?%\}")


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation as text. `spoken` are the spans that the assistant says, in order."""

    text: str
    spoken: tuple[Span, ...]


class Template:
    """A chat template. Which tokens are learnt is said by its `{% generation %}`, or else found by rendering.

    Without `{% generation %}`, an answer is what a conversation up to it has beyond the conversation before it with a
    prompt for an answer. A template whose text is not the beginning of its own continuation says neither, and is refused.
    """

    def __init__(self, processor: Any) -> None:
        self.source = _source(processor)
        self._says = _GENERATION.search(self.source) is not None
        self.shows_tools = re.search(r"\btools\b", self.source) is not None
        self._names = dict(processor.tokenizer.special_tokens_map)
        ends = sorted({token.content for token in processor.tokenizer.added_tokens_decoder.values() if token.special})
        self._last = re.compile(f"(?:{'|'.join(map(re.escape, sorted(ends, key=len, reverse=True))) or '(?!)'})\\s+\\Z")
        self._try()

    def render(self, messages: Messages, tools: Sequence[Any] | None = None) -> Chat:
        """The text of a conversation, and what the assistant says of it. Raises `CollateError`."""
        if self._says:
            text, spoken = self._rendered(messages, tools, spans=True)
            return Chat(text, tuple(spoken))
        text, _ = self._rendered(messages, tools)
        spoken = []
        for number, message in enumerate(messages):
            if message["role"] == "assistant":
                before, _ = self._rendered(messages[:number], tools, asking=True)
                after, _ = self._rendered(messages[: number + 1], tools)
                if not (after.startswith(before) and text.startswith(after)):
                    raise CollateError(
                        "the chat template has no `{% generation %}` and does not write a conversation as the beginning of "
                        "its continuation, so that what the assistant says cannot be found in its text; mark it in the "
                        "template with `{% generation %}` and `{% endgeneration %}`"
                    )
                # What follows the end of a turn is written by the template, whoever speaks.
                end = self._last.search(after, len(before))
                spoken.append((len(before), len(after) if end is None else len(after.rstrip())))
        return Chat(text, tuple(spoken))

    def _try(self) -> None:
        """Has a small conversation written, so that a template that cannot be used is refused before training."""
        chat = self.render(
            [_said("user", "uno"), _said("assistant", "dos"), _said("user", "tres"), _said("assistant", "cuatro")]
        )
        said = " ".join(chat.text[start:stop] for start, stop in chat.spoken)
        if "'type'" in chat.text or '"type"' in chat.text:
            raise CollateError("the chat template writes the parts of a message as a list; it is one for texts alone")
        if not ("dos" in said and "cuatro" in said) or "uno" in said or "tres" in said:
            raise CollateError(
                f"the `{{% generation %}}` of the chat template does not mark what the assistant says: {said!r}"
            )

    def _rendered(
        self, messages: Messages, tools: Sequence[Any] | None, *, asking: bool = False, spans: bool = False
    ) -> tuple[str, list[Span]]:
        try:
            texts, found = render_jinja_template(
                conversations=[list(messages)],
                tools=None if tools is None else list(tools),
                chat_template=self.source,
                add_generation_prompt=asking,
                return_assistant_tokens_mask=spans,
                **self._names,
            )
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            raise CollateError(f"the chat template refuses the conversation: {error}") from None
        return texts[0], [(int(start), int(stop)) for start, stop in (found[0] if found else [])]


def _source(processor: Any) -> str:
    template = getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str):
        raise CollateError("the processor has no chat template; save one as chat_template.jinja beside it")
    return template


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
