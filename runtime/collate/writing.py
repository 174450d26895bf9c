"""A chat with its images and videos written out: the text that is split into tokens, and what lies where in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.collate.chat import Chat, Span
from runtime.collate.families import Family, Shown
from runtime.collate.words import Words
from runtime.decode import Clip
from runtime.errors import CollateError


@dataclass(frozen=True, slots=True)
class Written:
    """The text for the tokenizer, where the assistant speaks in it, and where each image or video lies."""

    text: str
    spoken: tuple[Span, ...]
    images: tuple[Span, ...]


def write(
    chat: Chat, shown: Sequence[Shown], shows: Mapping[str, bool], family: Family, words: Words, *, marked: bool
) -> Written:
    """Puts what stands for each image or video where the template put the token that `shows` one (True: a video).

    A `marked` chat loses its marks, and its special tokens get the names by which the twin knows them.
    """
    pieces: list[str] = []
    #: Where pieces begin, in the chat and in what is written.
    before, after = [], []
    length = 0
    images: list[Span] = []
    last = 0
    for start, stop in [*words.special_spans(chat.text), (len(chat.text), len(chat.text))]:
        plain, token = chat.text[last:start], chat.text[start:stop]
        is_shown = token in shows
        if is_shown:
            if len(images) == len(shown):
                raise CollateError(f"the chat template shows more images than the {len(shown)} there are")
            one = shown[len(images)]
            if shows[token] != isinstance(one, Clip):
                raise CollateError("the chat template shows a video where an image is, or an image where a video is")
            token = family.stand_in(one)
        if marked:
            plain, token = words.without_marks(plain), words.renamed(token)
        before += [last, start]
        after += [length, length + len(plain)]
        length += len(plain) + len(token)
        if is_shown:
            images.append((length - len(token), length))
        pieces += [plain, token]
        last = stop
    if len(images) != len(shown):
        raise CollateError(f"the chat template shows {len(images)} of {len(shown)} images")

    def moved(place: int) -> int:
        number = bisect_right(before, place) - 1
        head = chat.text[before[number] : place]
        return after[number] + len(words.without_marks(head) if marked else head)

    return Written("".join(pieces), tuple((moved(start), moved(stop)) for start, stop in chat.spoken), tuple(images))
