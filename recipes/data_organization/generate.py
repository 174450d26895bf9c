"""Writes three tasks as pictures of 48 pixels with a question and a short answer, and an exam of each.

    python recipes/data_organization/generate.py --out recipes/data_organization/data [--scale 1]

- general: the colour and the shape of one large object
- chart: which of four bars is the highest
- ocr: a number of one or two digits

There are twice as many general samples as of the others, in two files of which the first is as large as theirs. Every
choice is a hash of the sample's own key, so that every run draws the same pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE = 48
#: Samples at scale 1: a file of each task, and of its exam.
TRAINED, ASKED = 1024, 200
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "orange": (240, 140, 30),
    "white": (245, 245, 245),
    "cyan": (60, 210, 220),
}
SHAPES = ("circle", "square", "triangle", "cross")
#: Digits of 5 by 7 dots, drawn here so that no font of a machine changes a picture.
DIGITS = (
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00010 00100 01000 11111",
    "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)
QUESTIONS = {
    "general": "What is in the picture?",
    "chart": "Which bar is the highest?",
    "ocr": "Which number is this?",
}

Item = TypeVar("Item")


def pick(count: int, key: str, what: str) -> int:
    """A number below `count` that follows from a key and nothing else."""
    digest = hashlib.blake2b(f"{key} {what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count


def choose(items: list[Item] | tuple[Item, ...], key: str, what: str) -> Item:
    """One of several."""
    return items[pick(len(items), key, what)]


def canvas(key: str) -> Image.Image:
    """A dark ground."""
    return Image.new("RGB", (SIZE, SIZE), tuple(pick(40, key, f"ground {channel}") for channel in range(3)))


def general(key: str) -> tuple[Image.Image, str]:
    """One large object."""
    picture, colour, shape = canvas(key), choose(tuple(COLOURS), key, "colour"), choose(SHAPES, key, "shape")
    draw, size = ImageDraw.Draw(picture), 26 + pick(14, key, "size")
    left, top = pick(SIZE - size, key, "left"), pick(SIZE - size, key, "top")
    box, fill = (left, top, left + size, top + size), COLOURS[colour]
    match shape:
        case "circle":
            draw.ellipse(box, fill=fill)
        case "square":
            draw.rectangle(box, fill=fill)
        case "triangle":
            draw.polygon([(left, top + size), (left + size // 2, top), (left + size, top + size)], fill=fill)
        case _:
            third = size // 3
            draw.rectangle((left + third, top, left + size - third, top + size), fill=fill)
            draw.rectangle((left, top + third, left + size, top + size - third), fill=fill)
    return picture, f"{colour} {shape}"


def chart(key: str) -> tuple[Image.Image, str]:
    """Four bars, the highest by two pixels or more."""
    picture, highest = canvas(key), pick(4, key, "highest")
    draw, tallest = ImageDraw.Draw(picture), 14 + pick(30, key, "tallest")
    for bar in range(4):
        height = tallest if bar == highest else 3 + pick(tallest - 4, key, f"height {bar}")
        colour = COLOURS[choose(tuple(COLOURS), key, f"colour {bar}")]
        draw.rectangle((2 + 12 * bar, SIZE - 2 - height, 9 + 12 * bar, SIZE - 2), fill=colour)
    return picture, f"bar {highest + 1}"


def ocr(key: str) -> tuple[Image.Image, str]:
    """A number of one or two digits."""
    picture, number = canvas(key), pick(100, key, "number") if pick(2, key, "digits") else pick(10, key, "number")
    colour, across, down = COLOURS[choose(tuple(COLOURS), key, "colour")], 4, 5
    digits = str(number)
    width = len(digits) * 5 * across + (len(digits) - 1) * across
    left, top = (SIZE - width) // 2 - 2 + pick(5, key, "left"), 5 + pick(5, key, "top")
    pixels = np.array(picture)
    for place, digit in enumerate(digits):
        dots = np.array([[int(dot) for dot in line] for line in DIGITS[int(digit)].split()], dtype=bool)
        mask: NDArray[np.bool_] = np.kron(dots, np.ones((down, across), dtype=bool))
        start = left + place * 6 * across
        pixels[top : top + 7 * down, start : start + 5 * across][mask] = colour
    return Image.fromarray(pixels), digits


TASKS: dict[str, Callable[[str], tuple[Image.Image, str]]] = {"general": general, "chart": chart, "ocr": ocr}


def write(out: Path, task: str, name: str, count: int) -> None:
    """A file of a task: JSON Lines beside a folder of pictures."""
    lines = []
    (out / task).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        key = f"{name}-{number:06d}"
        picture, answer = TASKS[task](key)
        picture.save(out / task / f"{key}.png", compress_level=1)
        turns = [{"from": "human", "value": f"<image>\n{QUESTIONS[task]}"}, {"from": "gpt", "value": answer}]
        lines.append(json.dumps({"id": key, "image": f"{key}.png", "conversations": turns}) + "\n")
    (out / f"{name}.jsonl").write_text("".join(lines))


def main() -> None:
    """Writes all files. A folder that is there already is written anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--scale", type=float, default=1.0, help="times 1,024 samples of each file, in steps of 32")
    told = parser.parse_args()
    trained = max(32, 32 * math.floor(TRAINED * told.scale / 32))
    shutil.rmtree(told.out, ignore_errors=True)
    for task, name in (("general", "general-1"), ("general", "general-2"), ("chart", "chart"), ("ocr", "ocr")):
        write(told.out, task, name, trained)
    for task in TASKS:
        write(told.out, task, f"{task}-exam", ASKED)
    print(f"{4 * trained:,} samples to train on and {3 * ASKED:,} to be asked, in {told.out}")


if __name__ == "__main__":
    main()
