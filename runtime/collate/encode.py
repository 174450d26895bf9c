"""Sample -> tokens and labels. Sizes of images and times of videos are enough; pixels are not looked at.

A token is learnt if it holds a character that the assistant says, and is no image and no video.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.collate.chat import Chat, Span, Template
from runtime.collate.families import IMAGE, VIDEO, WORDS, Family, Qwen, Shown, family
from runtime.collate.words import Words
from runtime.collate.writing import write
from runtime.decode import Clip
from runtime.errors import CollateError
from runtime.sample import Media, Sample

#: The label of a token that is not learnt.
NOTHING = -100


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sample as tokens. `images` are the tokens from, and up to, which each image or video lies; `kinds` as in `families`."""

    tokens: NDArray[np.int64]
    labels: NDArray[np.int64]
    kinds: NDArray[np.int64]
    images: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def image_tokens(self) -> int:
        """How many of the tokens stand for images and videos, with the marks between the tiles or times of one."""
        return sum(stop - start for start, stop in self.images)


def called(sample: Sample) -> str:
    """How a sample is called in messages."""
    key = f" ({sample.key})" if sample.key is not None else ""
    return f"sample {sample.sample_id[:12]}{key} at position {sample.position:,}"


def shown(sample: Sample) -> list[Media]:
    """The images and videos of a sample, in the order in which its messages show them."""
    parts = (part for message in sample.messages for part in message["content"])
    return [sample.media[part["media"]] for part in parts if part["type"] != "text"]


class Encoder:
    """A processor's way from conversations to tokens. Raises `CollateError` for one that does not say its way."""

    def __init__(self, processor: Any) -> None:
        self.family: Family = family(processor)
        self.words = Words(processor)
        self.template = Template(processor)
        #: The token that stands for one -> whether it is a video.
        self.shows = {str(processor.image_token): False}
        if isinstance(self.family, Qwen):
            self.shows[str(processor.video_token)] = True
        vocabulary = processor.tokenizer.get_vocab()
        named = {
            kind: vocabulary.get(getattr(processor, f"{kind}_token", None), -1)
            for kind in ("image", "video", "vision_start", "vision_end", "fake_image", "global_image")
        }
        self.image, self.video, self._before = named["image"], named["video"], named["vision_start"]
        self._silent = np.asarray(sorted(named.values()))

    def encode(self, sample: Sample, shown: Sequence[Sequence[Shown]]) -> Encoded:
        """The tokens of a sample whose media are shown as these: an image, a video, or the images that are those of one.

        Raises `CollateError` naming the sample.
        """
        try:
            said = [part.get("text", "") for message in sample.messages for part in message["content"]]
            tools = "" if sample.tools is None else self._tools(sample.tools)
            safe = self.words.mark([*said, tools])
            marked = safe != [*said, tools]
            if marked and self.words.confuses("".join([*said, tools])):
                raise CollateError(
                    "it holds the name of a special token, and also U+FDD0 or U+FDD1, which would mark it"
                )
            chat = self.template.render(_messages(sample, safe, shown), json.loads(safe[-1]) if tools else None)
            return self._encoded(chat, list(chain(*shown)), marked=marked)
        except CollateError as error:
            raise CollateError(f"{called(sample)}: {error}") from None

    def cut(self, encoded: Encoded, max_tokens: int) -> Encoded:
        """At most the first `max_tokens` tokens, ended before the first image that does not fit whole."""
        stop = min(max_tokens, len(encoded))
        for start, end in encoded.images:
            if end > stop:
                stop = min(stop, start)
                if stop and encoded.tokens[stop - 1] == self._before:
                    stop -= 1
                break
        kept = tuple(span for span in encoded.images if span[1] <= stop)
        return Encoded(encoded.tokens[:stop], encoded.labels[:stop], encoded.kinds[:stop], kept)

    def _tools(self, text: str) -> str:
        """The tools as JSON, a list."""
        if not self.template.shows_tools:
            raise CollateError("it has tools, and the chat template does not show tools")
        try:
            tools = json.loads(text)
        except ValueError:
            raise CollateError("its tools are no JSON, so that the chat template cannot show them") from None
        return json.dumps(tools if isinstance(tools, list) else [tools], ensure_ascii=False)

    def _encoded(self, chat: Chat, shown: Sequence[Shown], *, marked: bool) -> Encoded:
        written = write(chat, shown, self.shows, self.family, self.words, marked=marked)
        tokens, at = self.words.tokens(written.text, marked=marked)
        learnt = np.zeros(len(tokens), dtype=bool)
        for start, stop in written.spoken:
            learnt |= (at[:, 0] < stop) & (at[:, 1] > start) & (at[:, 0] < at[:, 1])
        images = []
        for start, stop in written.images:
            within = np.flatnonzero((at[:, 0] < stop) & (at[:, 1] > start))
            learnt[within] = False
            images.append((int(within[0]), int(within[-1]) + 1))
        learnt &= ~np.isin(tokens, self._silent)
        kinds = np.where(tokens == self.image, IMAGE, np.where(tokens == self.video, VIDEO, WORDS))
        if sum(np.count_nonzero(kinds[start:stop]) for start, stop in images) != np.count_nonzero(kinds):
            raise CollateError(
                "its text makes image tokens of its own; the tokenizer does not know them as special tokens"
            )
        return Encoded(tokens, np.where(learnt, tokens, NOTHING), kinds.astype(np.int64), tuple(images))


def _messages(sample: Sample, texts: Sequence[str], shown: Sequence[Sequence[Shown]]) -> list[dict[str, Any]]:
    """Messages as templates take them: `texts` in place of those of the parts, and what is shown in place of the media."""
    found = []
    left, media = iter(texts), iter(shown)
    for message in sample.messages:
        parts: list[dict[str, Any]] = []
        for part in message["content"]:
            text = next(left)
            if part["type"] == "text":
                parts.append({"type": "text", "text": text})
            else:
                parts += [{"type": "video" if isinstance(one, Clip) else "image"} for one in next(media)]
        found.append({"role": message["role"], "content": parts})
    return found
