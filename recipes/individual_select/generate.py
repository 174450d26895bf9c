"""Writes the data of the recipe beside it: twelve small pools, one for each category of Individual Select.

    python recipes/individual_select/generate.py --out recipes/individual_select/data

A pool has 20 samples for each data set that the paper tries in its category (arXiv 2405.11850, table 3). Every choice is a
hash of a sample's own key, so every run writes the same bytes. The samples have the shape of their category, and teach
nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

MARKER = ".individual-select"
SIZE, SAMPLES = 48, 20
COLOURS = ("red", "green", "blue", "orange", "purple", "brown", "pink", "grey")
#: For each category, how many data sets the paper tries, and what a sample asks and answers.
CATEGORIES = {
    "captioning": (6, "Describe the picture.", "Four bars under {number}. The first is {first}, the last {last}."),
    "general_qa": (2, "Is the first bar taller than the last?", "{taller}"),
    "science": (3, "Which stem grew more?\nA. the first\nB. the last", "{more}"),
    "chart": (5, "By how much do the first and the last bar differ?", "{difference}"),
    "mathematics": (4, "The sides of a rectangle are as long as the first and the last bar. Its area?", "{area}"),
    "knowledge": (1, "What is number {number} called in the catalogue?", "The {first} one."),
    "ocr": (5, "Which number is written here?", "{number}"),
    "document": (1, "What do the first and the last bar of report {number} sum up to?", "{total}"),
    "grounding": (1, "Give the box of the first bar.", "[0, {top}, 10, 47]"),
    "conversation": (5, "What may come after the {last} bar?", "Another one, perhaps {first} like the first."),
    "text_only": (3, "What is {number} plus {height}?", "{sum}"),
    "screen": (1, "Which button is on the left of screen {number}?", "The {first} one."),
}


def draw(*names: object) -> int:
    """A number that depends on these names alone."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:6])


@dataclass(frozen=True)
class Bars:
    """Four bars and a number: the heights and colours of the first and the last are asked for."""

    key: str
    number: int
    heights: tuple[int, ...]
    colours: tuple[str, ...]

    @staticmethod
    def of(key: str) -> Bars:
        """The bars of a sample."""
        return Bars(
            key=key,
            number=draw(key) % 100_000,
            heights=tuple(4 + draw(key, "height", at) % 30 for at in range(4)),
            colours=tuple(COLOURS[draw(key, "colour", at) % len(COLOURS)] for at in range(4)),
        )

    def say(self, form: str) -> str:
        """A form, filled in."""
        first, last = self.heights[0], self.heights[-1]
        return form.format(
            number=self.number,
            first=self.colours[0],
            last=self.colours[-1],
            height=first,
            top=SIZE - first,
            taller="Yes" if first > last else "No",
            more="A" if first > last else "B",
            difference=abs(first - last),
            area=first * last,
            total=first + last,
            sum=self.number + first,
        )

    def picture(self) -> Image.Image:
        """The bars below the number."""
        image = Image.new("RGB", (SIZE, SIZE), "white")
        pen = ImageDraw.Draw(image)
        for at, (height, colour) in enumerate(zip(self.heights, self.colours, strict=True)):
            pen.rectangle((12 * at, SIZE - height, 12 * at + 10, SIZE - 1), fill=colour)
        pen.text((1, 0), str(self.number), fill="black")
        return image


def write(out: Path) -> None:
    """Replaces the folder. One that is not the generator's own is refused."""
    if out.exists():
        if not (out / MARKER).is_file():
            raise SystemExit(f"{out} is left alone: it is there and holds no {MARKER}")
        shutil.rmtree(out)
    for category, (data_sets, question, answer) in CATEGORIES.items():
        (out / category).mkdir(parents=True)
        lines = []
        for number in range(SAMPLES * data_sets):
            bars = Bars.of(f"{category}-{number:04d}")
            shown = {} if category == "text_only" else {"image": f"{bars.key}.png"}
            turns = [
                {"from": "human", "value": ("<image>\n" if shown else "") + bars.say(question)},
                {"from": "gpt", "value": bars.say(answer)},
            ]
            if shown:
                bars.picture().save(out / category / shown["image"])
            lines.append(json.dumps({"id": bars.key, **shown, "conversations": turns}) + "\n")
        (out / f"{category}.jsonl").write_text("".join(lines))
        print(f"{category:<13} {len(lines):>4,} samples")
    (out / MARKER).touch()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes the data of the recipe beside it.")
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder to write, or to replace if it was written so"
    )
    write(parser.parse_args().out)
