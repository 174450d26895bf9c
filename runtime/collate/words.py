"""Text -> tokens, where what people wrote never becomes a special token, however much it looks like one.

A look-alike (`<image>`, `<|im_end|>` in the text of a message) is marked before the template sees it: a character that is
in no text is put behind its first one. A text with marks is read by a twin of the tokenizer, which knows the special tokens
under other names, so that the look-alikes are split like any other words. Texts without look-alikes, nearly all, are read
by the tokenizer as they are. Added tokens that are not special (`<think>`, `<tool_call>`) are words that may be said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer

from runtime.errors import CollateError

#: Characters that Unicode promises are in no text that is exchanged.
_MARK, _NAME = "\ufdd0", "\ufdd1"
_FIRST_NAME = 0xF0000


class Words:
    """A tokenizer that tells the template's special tokens from look-alikes. Safe to pickle."""

    def __init__(self, processor: Any) -> None:
        self.tokenizer = processor.tokenizer
        if not getattr(self.tokenizer, "is_fast", False):
            raise CollateError(
                f"{type(self.tokenizer).__name__} is no fast tokenizer, and only those say where tokens lie"
            )
        added = self.tokenizer.added_tokens_decoder.values()
        named = {getattr(processor, "image_token", None), getattr(processor, "video_token", None)}
        special = {token.content for token in added if token.special or token.content in named}
        self.special = tuple(sorted(special, key=lambda text: (-len(text), text)))
        self._pattern = re.compile("|".join(map(re.escape, self.special)) or "(?!)")
        self._reach = max(map(len, self.special), default=1) - 1
        self._twin: tuple[Tokenizer, NDArray[np.int64]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_twin": None}

    def mark(self, texts: Sequence[str]) -> list[str]:
        """Neighbouring texts with their look-alikes marked; those that lie across several of them too."""
        marked: list[str] = []
        tail = ""
        for text in texts:
            found = self._pattern.sub(lambda match: match[0][0] + _MARK + match[0][1:], text)
            across = self._pattern.finditer(tail + text[: self._reach])
            if any(match.start() < len(tail) < match.end() for match in across):
                found = _MARK + found
            marked.append(found)
            tail = (tail + text)[-self._reach :] if self._reach else ""
        return marked

    @staticmethod
    def confuses(text: str) -> bool:
        """Whether a text holds the characters that mark look-alikes, so that marks could not be told from it."""
        return _MARK in text or _NAME in text

    @staticmethod
    def without_marks(text: str) -> str:
        """A marked text as it was."""
        return text.replace(_MARK, "")

    def special_spans(self, text: str) -> list[tuple[int, int]]:
        """Where special tokens lie in a rendered text."""
        return [match.span() for match in self._pattern.finditer(text)]

    def renamed(self, text: str) -> str:
        """A text of the template, or of an image, as the twin reads it."""
        return self._pattern.sub(lambda match: self.name(match[0]), text)

    def name(self, token: str) -> str:
        """The name of a special token to the twin."""
        return _NAME + chr(_FIRST_NAME + self.special.index(token))

    def tokens(self, text: str, *, marked: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(tokens, their spans of characters (tokens, 2)). A marked text has its special tokens renamed and no marks.

        Tokens that the tokenizer adds at the begin of a text (`<s>`) are added unless the text begins with them.
        """
        begin = self.tokenizer.bos_token
        begins = begin is not None and text.startswith(self.name(begin) if marked else begin)
        if not marked:
            read = self.tokenizer(
                text, add_special_tokens=not begins, split_special_tokens=False, return_offsets_mapping=True
            )
            ids = np.asarray(read["input_ids"], dtype=np.int64)
            return ids, np.asarray(read["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        if self._twin is None:
            self._twin = self._make_twin()
        twin, meaning = self._twin
        found = twin.encode(text, add_special_tokens=not begins)
        ids = meaning[np.asarray(found.ids, dtype=np.int64)]
        return ids, np.asarray(found.offsets, dtype=np.int64).reshape(-1, 2)

    def _make_twin(self) -> tuple[Tokenizer, NDArray[np.int64]]:
        twin = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        twin.no_padding()
        twin.no_truncation()
        twin.encode_special_tokens = True
        decoder = self.tokenizer.added_tokens_decoder
        strips = {token.content: (token.lstrip, token.rstrip) for token in decoder.values()}
        names = []
        for token in self.special:
            left, right = strips.get(token, (False, False))
            names.append(AddedToken(self.name(token), lstrip=left, rstrip=right, normalized=False, special=False))
        twin.add_tokens(names)
        meaning = np.arange(twin.get_vocab_size(with_added_tokens=True) + len(names), dtype=np.int64)
        for token in self.special:
            meaning[twin.token_to_id(self.name(token))] = self.tokenizer.convert_tokens_to_ids(token)
        return twin, meaning
