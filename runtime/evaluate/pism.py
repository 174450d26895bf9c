"""Progressive image semantic masking (PISM; Qi et al., arXiv 2511.06722): how much of an image an answer needs."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from runtime.evaluate.chance import key_of, splitmix
from runtime.evaluate.model import Model
from runtime.evaluate.questions import Question
from runtime.sample import Media

TRIALS: Final = 10
_LEVELS = 10
#: An answer is right from this score on; most metrics give 0 or 1.
_RIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Level:
    """`tenths` of the image that were masked when no answer was right any more: 0 is unsolved, None never fails. `solved`
    is whether the whole image was enough; None for a sample without an image or without an answer to judge by."""

    tenths: int | None
    solved: bool | None


UNKNOWN = Level(None, None)


def levels(
    model: Model, questions: Sequence[Question], *, batch: int, max_new_tokens: int, trials: int, seed: int
) -> list[Level]:
    """The level of each question: masks grow by a tenth of the pixels, and the first level at which none of the trials is
    right decides (the paper's tau of 0.1 at 10 trials). Answers are greedy, so that the whole image has one trial, and the
    masks alone differ between trials. A mask is a matter of sample, level and trial: no batch and no other sample moves it.
    """
    found = [UNKNOWN] * len(questions)
    left = [
        number
        for number, question in enumerate(questions)
        if question.metric is not None and any(media.kind == "image" for media in question.sample.media)
    ]
    for tenths in range(_LEVELS):
        failing = list(left)
        for trial in range(trials if tenths else 1):
            right = set()
            for part in _parts(failing, batch):
                asked = [_masked(questions[number], tenths, trial, seed) for number in part]
                for number, text in zip(part, model.answer(asked, max_new_tokens=max_new_tokens), strict=True):
                    verdict = questions[number].judge(text)
                    if verdict is not None and verdict.score >= _RIGHT:
                        right.add(number)
            failing = [number for number in failing if number not in right]
        for number in failing:
            found[number] = Level(tenths, tenths > 0)
        gone = set(failing)
        left = [number for number in left if number not in gone]
    for number in left:
        found[number] = Level(None, True)
    return found


def _parts(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _masked(question: Question, tenths: int, trial: int, seed: int) -> Question:
    sample = question.sample
    media = [
        media
        if media.kind != "image" or not tenths
        else masked(media, tenths, key_of("pism", sample.sample_id, number, tenths, trial, seed))
        for number, media in enumerate(sample.media)
    ]
    return dataclasses.replace(question, sample=dataclasses.replace(sample, media=media))


def masked(media: Media, tenths: int, key: int) -> Media:
    """An image with that part of its pixels (rounded down) black, which ones by chance."""
    image = media.image().convert("RGB")
    pixels = np.array(image).reshape(-1, 3)
    num = len(pixels) * tenths // _LEVELS
    order = np.argsort(splitmix(np.arange(len(pixels), dtype=np.uint64), key), kind="stable")
    pixels[order[:num]] = 0
    image.frombytes(pixels.tobytes())
    encoded = io.BytesIO()
    image.save(encoded, "BMP")
    return Media(kind="image", path=None, data=encoded.getvalue())
