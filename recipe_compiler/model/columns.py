"""The columns that every sample has. Those that say where it is are not for rules, and none may be replaced."""

from __future__ import annotations

from typing import Final

BUILT_IN: Final = (
    "pool",
    "group",
    "category",
    "license",
    "tags",
    "key",
    "tokens",
    "text_tokens",
    "characters",
    "answer_characters",
    "turns",
    "answers",
    "images",
    "videos",
)
#: Where a sample is, which it is, and what the compiler notes of it.
PLACE: Final = ("source", "offset", "length", "id_high", "id_low", "occurrence", "media", "times", "stage")
TAKEN: Final = frozenset((*BUILT_IN, *PLACE))
