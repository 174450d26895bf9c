"""The quickstart's pictures: what each shows, how it is drawn and what can be asked about it.

A picture follows from its key and its size alone. Places are in points: one pixel of a picture of the usual size, 64.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from PIL import Image, ImageColor, ImageDraw, ImageFont

Item = TypeVar("Item")
Point: TypeAlias = tuple[float, float]

COLOURS = {
    "red": "#d8433b",
    "orange": "#f08a24",
    "yellow": "#f4c430",
    "green": "#3d9a57",
    "blue": "#3572c6",
    "purple": "#7b4fb0",
    "pink": "#ee87b4",
}
HUES = [COLOURS[name] for name in ("red", "green", "blue", "purple")]
PAPERS = ("#fbf3dd", "#e2edf8", "#e3f3e6", "#efe6f6", "#efece6")
INK, FAINT, WHITE = "#2f3440", "#dde1e7", "#ffffff"
SHAPES = ("circle", "square", "triangle", "star")
PLACES = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
THEMES = (
    ("Rain (mm)", ("Jan", "Feb", "Mar", "Apr", "May", "Jun")),
    ("Visitors", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat")),
    ("Fruit sold", ("fig", "plum", "pear", "kiwi", "lime", "date")),
    ("Books read", ("Ada", "Bo", "Chen", "Dina", "Emil", "Fay")),
)
RIGHT_TRIANGLES = ((3, 4, 5), (6, 8, 10), (5, 12, 13), (9, 12, 15), (8, 15, 17), (12, 16, 20))
SIGNS = ("EXIT", "GATE", "BUS", "ROOM", "MAX", "TRACK", "FLOOR", "ROUTE")
ADJECTIVES = ("amber", "brave", "calm", "dusty", "early", "gentle", "ivory", "jolly", "lively", "mellow", "noble")
NOUNS = ("anchor", "bridge", "candle", "desert", "engine", "forest", "garden", "island", "kettle", "lantern", "orchard")
GOODS = ("bread", "milk", "tea", "coffee", "apples", "rice", "soap", "pens", "juice", "cake", "salad", "soup")
SHOPS = ("Corner Shop", "Green Market", "Night Kiosk", "Harbour Deli", "Old Bakery", "Book Nook")


def pick(n: int, *key: object) -> int:
    """A number below `n` that depends on the key alone."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % n


def choose(items: Sequence[Item], *key: object) -> Item:
    """One of the items."""
    return items[pick(len(items), *key)]


def shuffled(items: Iterable[Item], *key: object) -> list[Item]:
    """The items in an order of the key's own."""
    return [item for _, item in sorted(enumerate(items), key=lambda pair: pick(1 << 62, *key, pair[0]))]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer, how hard it is (0 to 1), and wrong answers if it can be asked as multiple choice."""

    text: str
    answer: str
    hardness: float
    wrong: Sequence[str] = ()


#: A picture and all that can be asked about it.
Drawn: TypeAlias = tuple[Image.Image, list[Question]]


def numeric(text: str, answer: int, hardness: float, step: int = 1) -> Question:
    """A question about a number; the numbers around it are its wrong answers."""
    close = [answer + step * away for away in (-3, -2, -1, 1, 2, 3)]
    return Question(text, str(answer), hardness, [str(number) for number in close if number >= 0])


def named(text: str, answer: str, hardness: float, names: Iterable[str]) -> Question:
    """A question about one of several names; the others are its wrong answers."""
    return Question(text, answer, hardness, [name for name in names if name != answer])


def money(cents: int) -> str:
    """An amount of money as receipts print it."""
    return f"{cents // 100}.{cents % 100:02d}"


def mix(colour: str, other: str, part: float) -> str:
    """A colour with a part of another in it."""
    pairs = zip(ImageColor.getrgb(colour)[:3], ImageColor.getrgb(other)[:3], strict=True)
    return "#" + "".join(f"{round(mine + (theirs - mine) * part):02x}" for mine, theirs in pairs)


def around(centre: Point, radius: float, turn: float) -> Point:
    """The point on a circle at a part of a full turn, clockwise from the top."""
    return centre[0] + radius * math.sin(math.tau * turn), centre[1] - radius * math.cos(math.tau * turn)


@functools.cache
def font(pixels: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(pixels)


class Canvas:
    """A picture while it is drawn: larger than it will be, since shrinking it makes its edges smooth."""

    OVERSAMPLING = 4

    def __init__(self, width: int, height: int, size: int, paper: str) -> None:
        self.scale, self.paper = self.OVERSAMPLING * size / 64, paper
        across, down = (self.OVERSAMPLING * round(points * size / 64) for points in (width, height))
        self.image = Image.new("RGB", (across, down), paper)
        self.pen = ImageDraw.Draw(self.image)

    def polygon(self, points: Iterable[Point], fill: str) -> None:
        """A filled outline."""
        self.pen.polygon([(x * self.scale, y * self.scale) for x, y in points], fill)

    def line(self, points: Iterable[Point], ink: str, width: float) -> None:
        """A line through points."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self.pen.line(scaled, ink, round(width * self.scale), joint="curve")

    def ring(self, centre: Point, radius: float, fill: str | None, edge: str, width: float) -> None:
        """A circle with an edge."""
        middle = (centre[0] * self.scale, centre[1] * self.scale)
        self.pen.circle(middle, radius * self.scale, fill, edge, round(width * self.scale))

    def box(self, left: float, top: float, right: float, bottom: float, fill: str, radius: float = 0) -> None:
        """A box, with round corners if there is a radius."""
        corners = [edge * self.scale for edge in (left, top, right, bottom)]
        self.pen.rounded_rectangle(corners, radius * self.scale, fill)

    def text(self, at: Point, text: str, height: float, room: float, ink: str = INK, anchor: str = "mm") -> None:
        """A line of text, made smaller if it is wider than its room."""
        height *= min(1.0, room * self.scale / font(height * self.scale).getlength(text))
        self.pen.text((at[0] * self.scale, at[1] * self.scale), text, ink, font(height * self.scale), anchor)

    def finish(self, tilt: float = 0) -> Image.Image:
        """The picture, turned by some degrees."""
        if tilt:
            self.image = self.image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=self.paper)
        return self.image.reduce(self.OVERSAMPLING)


def outline(shape: str, centre: Point, radius: float) -> list[Point]:
    """The corners of a shape; shapes of one radius look equally large."""
    if shape == "star":
        return [around(centre, radius * (1.2, 0.52)[tip % 2], tip / 10) for tip in range(10)]
    if shape == "triangle":
        return [around((centre[0], centre[1] + radius / 6), radius * 1.2, tip / 3) for tip in range(3)]
    if shape == "square":
        return [around(centre, radius * 1.25, tip / 4 + 1 / 8) for tip in range(4)]
    return [around(centre, radius, tip / 72) for tip in range(72)]


def scene(key: str, size: int) -> Drawn:
    """One to four shapes cut from paper, no two of one colour."""
    count, paper = 1 + pick(4, key, "count"), choose(PAPERS, key, "paper")
    colours = shuffled(COLOURS, key, "colours")[:count]
    shapes = [choose(SHAPES, key, "shape", at) for at in range(count)]
    cells = shuffled(range(9), key, "cells")[:count]
    canvas = Canvas(64, 64, size, paper)
    canvas.polygon(
        outline("circle", (8 + pick(48, key, "light"), 8 + pick(48, key, "height")), 34), mix(paper, WHITE, 0.6)
    )
    for at, cell in enumerate(cells):
        x, y = (
            12 + 20 * part + pick(31, key, "shift", at, part, axis) / 10 - 1.5
            for axis, part in enumerate((cell % 3, cell // 3))
        )
        radius = 7.5 + pick(3, key, "radius", at) * 0.8
        canvas.polygon(outline(shapes[at], (x + 0.8, y + 1.2), radius), mix(paper, INK, 0.25))
        canvas.polygon(outline(shapes[at], (x, y), radius), COLOURS[colours[at]])
