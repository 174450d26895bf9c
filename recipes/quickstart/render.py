"""Draws the pictures of the quickstart: facts in, a picture out, and no choice made on the way.

Places are in points: a point is a pixel of a picture of the usual size, 64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from PIL import Image, ImageColor, ImageDraw, ImageFont

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
PAPERS = ("#fbf6ea", "#eaf1f8", "#ebf5ec", "#f4eef8", "#f3f1ee")
INK, FAINT, WHITE = "#2f3440", "#c9ced6", "#ffffff"

#: Pictures are drawn this much larger and shrunk, which makes their edges smooth.
OVERSAMPLING = 4


class Shape(NamedTuple):
    """A coloured shape in a scene, by its place on a grid of three by three."""

    name: str
    colour: str
    column: int
    row: int
    centre: Point
    radius: float


def mix(colour: str, other: str, part: float) -> str:
    """A colour with a part of another in it."""
    pairs = zip(ImageColor.getrgb(colour)[:3], ImageColor.getrgb(other)[:3], strict=True)
    return "#" + "".join(f"{round(mine + (theirs - mine) * part):02x}" for mine, theirs in pairs)


def around(centre: Point, radius: float, turn: float) -> Point:
    """The point on a circle at a part of a full turn, clockwise from the top."""
    angle = math.tau * (turn - 0.25)
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


@functools.cache
def _font(pixels: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(pixels)


class _Canvas:
    """A picture while it is drawn."""

    def __init__(self, width: int, height: int, size: int, paper: str) -> None:
        self.scale = OVERSAMPLING * size / 64
        pixels = [OVERSAMPLING * max(1, round(points * size / 64)) for points in (width, height)]
        self.image = Image.new("RGB", (pixels[0], pixels[1]), paper)
        self.draw = ImageDraw.Draw(self.image)

    def _place(self, points: Iterable[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def polygon(self, points: Iterable[Point], fill: str) -> None:
        self.draw.polygon(self._place(points), fill=fill)

    def line(self, points: Sequence[Point], ink: str, width: float) -> None:
        self.draw.line(self._place(points), fill=ink, width=round(width * self.scale), joint="curve")

    def disc(self, centre: Point, radius: float, fill: str | None, edge: str | None = None, width: float = 0) -> None:
        middle, reach = self._place([centre])[0], radius * self.scale
        self.draw.circle(middle, reach, fill=fill, outline=edge, width=round(width * self.scale))

    def box(self, corner: Point, opposite: Point, fill: str, radius: float = 0) -> None:
        self.draw.rounded_rectangle(self._place([corner, opposite]), radius=radius * self.scale, fill=fill)

    def text(self, at: Point, text: str, height: float, ink: str = INK, anchor: str = "mm") -> None:
        self.draw.text(self._place([at])[0], text, fill=ink, font=_font(height * self.scale), anchor=anchor)

    def fitting(self, text: str, height: float, width: float) -> float:
        """The height, or less, at which a text is no wider than that."""
        return min(height, height * width * self.scale / _font(height * self.scale).getlength(text))

    def finish(self, tilt: float = 0) -> Image.Image:
        paper = self.image.getpixel((0, 0))
        if tilt and isinstance(paper, tuple):
            self.image = self.image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=paper)
        return self.image.reduce(OVERSAMPLING)


def scene(shapes: Sequence[Shape], paper: str, light: Point, size: int) -> Image.Image:
    """Shapes cut from coloured paper."""
    canvas = _Canvas(64, 64, size, paper)
    canvas.disc(light, 34, mix(paper, WHITE, 0.6))
    for shape in shapes:
        x, y = shape.centre
        for centre, fill in [((x + 0.8, y + 1.2), mix(paper, INK, 0.22)), ((x, y), COLOURS[shape.colour])]:
            _draw_shape(canvas, shape.name, centre, shape.radius, fill)
    return canvas.finish()


def _draw_shape(canvas: _Canvas, name: str, centre: Point, radius: float, fill: str) -> None:
    if name == "circle":
        canvas.disc(centre, radius, fill)
    elif name == "star":
        canvas.polygon([around(centre, radius * (1.15, 0.5)[tip % 2], tip / 10) for tip in range(10)], fill)
    elif name == "triangle":
        canvas.polygon([around((centre[0], centre[1] + 1.5), radius * 1.15, tip / 3) for tip in range(3)], fill)
    else:
        canvas.polygon([around(centre, radius * 1.2, (2 * tip + 1) / 8) for tip in range(4)], fill)


def chart(
    kind: str, title: str, labels: Sequence[str], values: Sequence[int], top: int, hue: str, size: int
) -> Image.Image:
    """A bar chart or a line chart with its axes, five grid lines and a title."""
    canvas = _Canvas(128, 96, size, WHITE)
    left, right, ceiling, floor = 19.0, 124.0, 17.0, 82.0
    canvas.text(((left + right) / 2, 7), title, 9)
    for step in range(6):
        y = floor - (floor - ceiling) * step / 5
        canvas.line([(left, y), (right, y)], INK if step == 0 else mix(FAINT, WHITE, 0.4), 0.8)
        canvas.text((left - 3, y), str(top * step // 5), 7.5, anchor="rm")
    canvas.line([(left, ceiling - 2), (left, floor)], INK, 0.8)
    room = (right - left) / len(labels)
    tips = [
        (left + room * (place + 0.5), floor - (floor - ceiling) * value / top) for place, value in enumerate(values)
    ]
    for label, (x, y) in zip(labels, tips, strict=True):
        canvas.text((x, floor + 7), label, canvas.fitting(label, 8.5, room - 2))
        if kind == "bar":
            canvas.box((x - room * 0.34, y), (x + room * 0.34, floor - 0.4), hue)
    if kind == "line":
        canvas.line(tips, hue, 1.8)
        for tip in tips:
            canvas.disc(tip, 2.6, hue)
            canvas.disc(tip, 1.2, WHITE)
    return canvas.finish()


def triangle(sides: tuple[int, int, int], labels: Sequence[str], turn: float, hue: str, size: int) -> Image.Image:
    """A triangle true to its sides, each with its label."""
    canvas = _Canvas(96, 96, size, WHITE)
    a, b, c = sides
    across = (b * b + c * c - a * a) / (2 * c)
    corners = [(0.0, 0.0), (float(c), 0.0), (across, -math.sqrt(max(b * b - across * across, 0.0)))]
    cosine, sine = math.cos(math.tau * turn), math.sin(math.tau * turn)
    corners = [(x * cosine - y * sine, x * sine + y * cosine) for x, y in corners]
    low = [min(corner[axis] for corner in corners) for axis in (0, 1)]
    high = [max(corner[axis] for corner in corners) for axis in (0, 1)]
    zoom = 62 / max(high[0] - low[0], high[1] - low[1])
    placed = [(48 + zoom * (x - (low[0] + high[0]) / 2), 48 + zoom * (y - (low[1] + high[1]) / 2)) for x, y in corners]
    canvas.polygon(placed, mix(hue, WHITE, 0.75))
    canvas.line([*placed, *placed[:2]], hue, 1.6)
    for label, start, end, apex in zip(labels, (1, 2, 0), (2, 0, 1), (0, 1, 2), strict=True):
        (x0, y0), (x1, y1) = placed[start], placed[end]
        middle, length = ((x0 + x1) / 2, (y0 + y1) / 2), math.dist(placed[start], placed[end])
        normal = ((y1 - y0) / length, (x0 - x1) / length)
        towards = normal[0] * (placed[apex][0] - middle[0]) + normal[1] * (placed[apex][1] - middle[1])
        out = -8.0 if towards > 0 else 8.0
        canvas.text((middle[0] + out * normal[0], middle[1] + out * normal[1]), label, 10)
    return canvas.finish()


def circles(rings: Sequence[tuple[Point, float]], hues: Sequence[str], size: int) -> Image.Image:
    """Rings that may cross."""
    canvas = _Canvas(96, 96, size, WHITE)
    for (centre, radius), hue in zip(rings, hues, strict=True):
        canvas.disc(centre, radius, None, hue, 2)
    return canvas.finish()


def graph(names: Sequence[str], arrows: Iterable[tuple[int, int]], hue: str, size: int) -> Image.Image:
    """Nodes around a circle, and arrows between them."""
    canvas = _Canvas(96, 96, size, WHITE)
    places = [around((48, 48), 36, node / len(names)) for node in range(len(names))]
    for start, end in arrows:
        tail, head = places[start], places[end]
        length = math.dist(tail, head)
        x, y = (head[0] - tail[0]) / length, (head[1] - tail[1]) / length
        tip, neck = (head[0] - 9.5 * x, head[1] - 9.5 * y), (head[0] - 16 * x, head[1] - 16 * y)
        canvas.line([tail, neck], INK, 1.3)
        canvas.polygon([tip, (neck[0] - 3 * y, neck[1] + 3 * x), (neck[0] + 3 * y, neck[1] - 3 * x)], INK)
    for name, place in zip(names, places, strict=True):
        canvas.disc(place, 9, mix(hue, WHITE, 0.7), hue, 1.5)
        canvas.text(place, name, 10.5)
    return canvas.finish()


def writing(text: str, paper: str, ink: str, at: Point, height: float, tilt: float, size: int) -> Image.Image:
    """Words or figures on paper, slightly tilted."""
    canvas = _Canvas(128, 64, size, paper)
    canvas.text(at, text, canvas.fitting(text, height, 100), ink)
    return canvas.finish(tilt)


def sign(text: str, hue: str, sky: str, size: int) -> Image.Image:
    """A sign on a post."""
    canvas = _Canvas(128, 64, size, sky)
    canvas.box((61.5, 40), (66.5, 64), "#8c929c")
    canvas.box((14, 9), (114, 47), mix(hue, INK, 0.15), radius=6)
    canvas.box((16, 11), (112, 45), WHITE, radius=4.5)
    canvas.box((17.5, 12.5), (110.5, 43.5), hue, radius=3.5)
    canvas.text((64, 28), text, canvas.fitting(text, 20, 84), INK if hue == COLOURS["yellow"] else WHITE)
    return canvas.finish()


def receipt(shop: str, lines: Sequence[tuple[str, str]], total: str, desk: str, tilt: float, size: int) -> Image.Image:
    """A till receipt on a desk."""
    height = 58 + 12 * len(lines)
    canvas = _Canvas(96, height, size, desk)
    left, right, bottom = 8.0, 88.0, height - 6.0
    teeth = [(right - step * 5, bottom - (0, 3)[step % 2]) for step in range(17)]
    for shift, fill in [(1.2, mix(desk, INK, 0.25)), (0.0, WHITE)]:
        edge = [(left, 6.0), (right, 6.0), *teeth]
        canvas.polygon([(x + shift, y + shift) for x, y in edge], fill)
    canvas.text((48, 15), shop, 10.5)
    rule = mix(FAINT, INK, 0.2)
    rows = [*lines, ("TOTAL", total)]
    for row, (name, price) in enumerate(rows):
        y = 31 + 12 * row + (4 if row == len(lines) else 0)
        canvas.text((left + 5, y), name, 9.5, anchor="lm")
        canvas.text((right - 5, y), price, 9.5, anchor="rm")
    for y in (22.5, 30.5 + 12 * len(lines) - 4):
        for dash in range(18):
            canvas.line([(left + 5 + dash * 4, y), (left + 7 + dash * 4, y)], rule, 0.8)
    return canvas.finish(tilt)
