"""Writes the data of the recipes beside it: questions about pictures and about short clips, and a table of descriptors.

    python recipes/gdo/generate.py --out recipes/gdo/data

A clip is kept as its frames, as video sets for fine-tuning often are. Every choice is a hash of a sample's own key, so
every run writes the same bytes. The descriptors are made up by the same hashes: they have the shape of what a model
measures, and mean nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

MARKER = ".gdo"
PICTURES, ASKED_OF_A_PICTURE = 320, 4
CLIPS, ASKED_OF_A_CLIP, FRAMES = 120, 10, 8
SIZE = 32
COLOURS = ("red", "green", "blue", "orange", "purple", "brown", "pink", "grey")
SHAPES = ("square", "disc", "bar", "cross")
PLACES = ("left", "right", "top", "bottom")
SOURCES = {
    "pictures": ("shapes", "colours(train)", "chart_qa_cot_v1_extra", "chart_qa_cot_v1_more"),
    "clips": ("academic_v0_1", "youtube_v0_1", "drives"),
}
#: What is asked of either, in words: the last of each asks for a choice.
STATIC = (
    ("What colour is it?", "{colour}"),
    ("What is shown here?", "A {colour} {shape} on the {place}."),
    (
        "Describe the {shape} in the picture.",
        "It is a {colour} {shape}. The {shape} lies on the {place} of the picture.",
    ),
    ("Which of these choices is the colour: {colour} or {other}?", "{colour}"),
)
TEMPORAL = (
    ("What does the {shape} do after it leaves the {place}?", "It moves on to the other side."),
    ("Where is the {shape} before it moves?", "On the {place}."),
    (
        "Describe what happens first and what happens next to the {colour} {shape}.",
        "First it rests on the {place}. Then the {colour} {shape} moves slowly to the other side, where it stops.",
    ),
    ("Which of these choices comes first: the {place}, or the other side?", "the {place}"),
)


class Asked(NamedTuple):
    """One question, its answer, and the descriptors of the two."""

    key: str
    question: str
    answer: str
    source: str


def draw(*names: object) -> int:
    """A number that depends on these names alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:6])


def pick(options: tuple[str, ...], *names: object) -> str:
    """One of the options."""
    return options[draw(*names) % len(options)]


def part(*names: object) -> float:
    """A number from 0 to 1, with four decimals."""
    return draw(*names) % 10_001 / 10_000


def words(key: str, at: int) -> dict[str, str]:
    """What a question about a subject can say."""
    named = f"{pick(COLOURS, key, 'colour')} {draw(key) % 1000}"
    return {
        "colour": named,
        "shape": pick(SHAPES, key, "shape"),
        "place": pick(PLACES, key, "place"),
        "other": pick(COLOURS, key, "other", at),
    }


def asked(kind: str, subject: str, count: int) -> Iterator[Asked]:
    """The questions about one subject; every third about a clip is static."""
    for at in range(count):
        key = f"{subject}/{at}"
        forms = TEMPORAL if kind == "clips" and draw(key, "temporal") % 3 else STATIC
        question, answer = forms[(draw(subject) + at) % len(forms)]
        said = words(subject, at)
        number = f" (question {at + 1})" if at >= len(forms) else ""
        yield Asked(key, question.format(**said) + number, answer.format(**said), pick(SOURCES[kind], subject))


def picture(subject: str, step: float) -> Image.Image:
    """A subject at a point of its way across the picture."""
    image = Image.new("RGB", (SIZE, SIZE), "white")
    left = 4 + int(step * (SIZE - 16))
    pen, colour = ImageDraw.Draw(image), pick(COLOURS, subject, "colour")
    if pick(SHAPES, subject, "shape") == "disc":
        pen.ellipse((left, 8, left + 10, 18), fill=colour)
    else:
        pen.rectangle((left, 8, left + 10, 18), fill=colour)
    return image


def descriptors(kind: str, sample: Asked) -> dict[str, object]:
    """Numbers of the shape of those that a model measures; one in twenty samples has none."""
    key = sample.key
    if draw(key, "missing") % 20 == 0:
        return {}
    blind = round(1 + 2 * part(key, "blind"), 4)
    visual = round(blind - part(key, "vds") + 0.3, 4)
    moving = {"flow": 3 * part(key, "flow"), "frame_diversity": part(key, "frames") / 4} if kind == "clips" else {}
    agree = {"consistency": part(key, "consistency"), "coverage": part(key, "coverage")}
    return {"loss_blind": blind, "loss_visual": visual, "ppl": round(2.5**visual, 4), **agree, **moving}


def write(out: Path) -> None:
    """Replaces the folder. One that is not the generator's own is refused."""
    if out.exists():
        if not (out / MARKER).is_file():
            raise SystemExit(f"{out} is left alone: it is there and holds no {MARKER}")
        shutil.rmtree(out)
    scores: list[dict[str, object]] = []
    for kind, subjects, count in (("pictures", PICTURES, ASKED_OF_A_PICTURE), ("clips", CLIPS, ASKED_OF_A_CLIP)):
        (out / kind).mkdir(parents=True)
        lines = []
        for subject in (f"{kind}-{number:04d}" for number in range(subjects)):
            steps = FRAMES if kind == "clips" else 1
            shown = [f"{subject}-{step}.png" for step in range(steps)]
            for step, name in enumerate(shown):
                picture(subject, step / FRAMES).save(out / kind / name)
            for sample in asked(kind, subject, count):
                turns = [
                    {"role": "user", "content": "<image>" * steps + sample.question},
                    {"role": "assistant", "content": sample.answer},
                ]
                record = {"id": sample.key, "data_source": sample.source, "messages": turns, "images": shown}
                lines.append(json.dumps(record) + "\n")
                scores.append({"key": sample.key} | descriptors(kind, sample))
        (out / f"{kind}.jsonl").write_text("".join(lines))
        print(f"{kind:<9} {len(lines):>6,} samples of {subjects:,}")
    numbers = ("loss_blind", "loss_visual", "ppl", "consistency", "coverage", "flow", "frame_diversity")
    schema = pa.schema({"key": pa.string()} | dict.fromkeys(numbers, pa.float64()))
    pq.write_table(pa.Table.from_pylist(scores, schema), out / "descriptors.parquet")
    (out / MARKER).touch()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes the data of the recipes beside it.")
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder to write, or to replace if it was written so"
    )
    write(parser.parse_args().out)
