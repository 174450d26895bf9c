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
THEMES: Sequence[tuple[str, Sequence[str]]] = (
    ("Rain (mm)", ("Jan", "Feb", "Mar", "Apr", "May", "Jun")),
    ("Visitors", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat")),
    ("Fruit sold", ("fig", "plum", "pear", "kiwi", "lime", "date")),
    ("Books read", ("Ada", "Bo", "Cleo", "Dina", "Emil", "Fay")),
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
    return Question(text, answer, hardness, [name for name in dict.fromkeys(names) if name != answer])


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
            self.image = self.image.rotate(tilt, Image.Resampling.BILINEAR, fillcolor=self.paper)
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
    light = (8 + pick(48, key, "light", "x"), 8 + pick(48, key, "light", "y"))
    canvas.polygon(outline("circle", light, 34), mix(paper, WHITE, 0.6))
    for at, (shape, colour, cell) in enumerate(zip(shapes, colours, cells, strict=True)):
        x, y = (10.5 + 20 * part + pick(31, key, "shift", at, part) / 10 for part in (cell % 3, cell // 3))
        radius = 7.5 + pick(3, key, "radius", at) * 0.8
        canvas.polygon(outline(shape, (x + 0.8, y + 1.2), radius), mix(paper, INK, 0.25))
        canvas.polygon(outline(shape, (x, y), radius), COLOURS[colour])
    names = [f"{colour} {shape}" for colour, shape in zip(colours, shapes, strict=True)]
    listed = [f"{name} at the {PLACES[cell]}" for name, cell in zip(names, cells, strict=True)]
    counted = choose(shapes, key, "counted")
    questions = [
        Question("Describe the picture.", f"{'; '.join(listed)}.".capitalize(), 0.2 + 0.15 * count),
        numeric("How many shapes are there?", count, 0.1 * count),
        numeric(f"How many {counted}s are there?", shapes.count(counted), 0.1 + 0.1 * count),
        named(f"What shape is the {colours[0]} figure?", shapes[0], 0.1, SHAPES),
    ]
    if shapes.count(shapes[0]) == 1:
        questions.append(named(f"What colour is the {shapes[0]}?", colours[0], 0.15, COLOURS))
    if count > 1:
        text = f"Where is the {names[0]}, seen from the {names[1]}?"
        down, right = cells[0] // 3 - cells[1] // 3, cells[0] % 3 - cells[1] % 3
        upright, level = ("below" if down > 0 else "above"), ("to the right" if right > 0 else "to the left")
        if down and right:
            corners = [f"{one} and {two}" for one in ("above", "below") for two in ("to the left", "to the right")]
            questions.append(named(text, f"{upright} and {level}", 0.4 + 0.1 * count, corners))
        else:
            sides = ("above", "below", "to the left", "to the right")
            questions.append(named(text, upright if down else level, 0.3 + 0.1 * count, sides))
    return canvas.finish(), questions


def chart_kind(key: str) -> str:
    """Whether a chart shows bars or a line."""
    return "bar" if pick(3, key, "kind") else "line"


def chart(key: str, size: int) -> Drawn:
    """Four to six values, no two the same, with axes, grid lines and a title."""
    kind, count, top = chart_kind(key), 4 + pick(3, key, "count"), choose((10, 20, 50, 100), key, "top")
    title, labels = choose(THEMES[:2] if kind == "line" else THEMES, key, "theme")
    labels, step, hue = labels[:count], top // 10, choose(HUES, key, "hue")
    values = [step * level for level in shuffled(range(1, 11), key, "values")[:count]]
    canvas, left, right, ceiling, floor = Canvas(128, 96, size, WHITE), 20.0, 125.0, 18.0, 82.0
    canvas.text(((left + right) / 2, 7.5), title, 9.5, right - left)
    for line in range(6):
        y = floor - (floor - ceiling) * line / 5
        canvas.line([(left, y), (right, y)], FAINT if line else INK, 0.8)
        canvas.text((left - 3, y), str(top * line // 5), 8, left, anchor="rm")
    canvas.line([(left, ceiling - 2), (left, floor)], INK, 0.8)
    room = (right - left) / count
    tips = [(left + room * (at + 0.5), floor - (floor - ceiling) * value / top) for at, value in enumerate(values)]
    if kind == "line":
        canvas.line(tips, hue, 1.8)
    for label, (x, y) in zip(labels, tips, strict=True):
        canvas.text((x, floor + 7), label, 8.5, room - 2)
        if kind == "line":
            canvas.ring((x, y), 2.6, WHITE, hue, 1.4)
        else:
            canvas.box(x - room * 0.34, y, x + room * 0.34, floor - 0.4, hue)
    noun = "bar" if kind == "bar" else "point"
    above = choose([step * level for level in range(2, 10) if step * level not in values], key, "above")
    more, less = sorted(shuffled(range(count), key, "pair")[:2], key=values.__getitem__, reverse=True)
    rises = [after - before for before, after in itertools.pairwise(values)]
    questions = [
        named(f"Which {noun} is highest?", labels[values.index(max(values))], 0.1 + 0.05 * count, labels),
        named(f"Which {noun} is lowest?", labels[values.index(min(values))], 0.1 + 0.05 * count, labels),
        numeric(f"What is the value of {labels[more]}?", values[more], 0.4 + 0.05 * count, step),
        numeric(f"How much more is {labels[more]} than {labels[less]}?", values[more] - values[less], 0.9, step),
        numeric(f"How many {noun}s are above {above}?", sum(value > above for value in values), 0.7),
    ]
    if kind == "line" and count > 4 and rises.count(max(rises)) == 1:
        spans = [f"{before} to {after}" for before, after in itertools.pairwise(labels)]
        questions.append(named("Where does the line rise most?", spans[rises.index(max(rises))], 0.95, spans))
    return canvas.finish(), questions


def diagram(key: str, size: int) -> Drawn:
    """A triangle, circles or a graph of arrows."""
    return choose((triangle, circles, graph), key, "kind")(key, size)


def triangle(key: str, size: int) -> Drawn:
    """A triangle true to the lengths at its sides; of a right one, a length may be left to find."""
    hidden, least = pick(3, key, "hidden"), 5 + pick(5, key, "least")
    other = least + pick(4, key, "other")
    a, b, c = sides = least, other, other - least + 3 + pick(2 * least - 5, key, "third")
    questions = [
        Question("How long is the longest side?", str(max(sides)), 0.2),
        Question("What is the perimeter of the triangle?", str(sum(sides)), 0.5),
    ]
    labels = [str(side) for side in sides]
    if pick(2, key, "right"):
        a, b, c = sides = choose(RIGHT_TRIANGLES, key, "sides")
        labels = ["?" if at == hidden else str(side) for at, side in enumerate(sides)]
        text = "The triangle has a right angle. How long is the side with the question mark?"
        questions = [Question(text, str(sides[hidden]), 0.9)]
    # Side `c` from the origin to the right, then the corner that is `b` from one end and `a` from the other.
    across = (b * b + c * c - a * a) / (2 * c)
    flat = [complex(0, 0), complex(c, 0), complex(across, -math.sqrt(b * b - across * across))]
    angle = math.tau * pick(360, key, "turn") / 360
    turned = [corner * complex(math.cos(angle), math.sin(angle)) for corner in flat]
    wide, high = [corner.real for corner in turned], [corner.imag for corner in turned]
    zoom = 62 / max(max(wide) - min(wide), max(high) - min(high))
    middle = complex(max(wide) + min(wide), max(high) + min(high)) / 2
    corners = [complex(48, 48) + zoom * (corner - middle) for corner in turned]
    canvas, hue, ends = Canvas(96, 96, size, WHITE), choose(HUES, key, "hue"), [(c.real, c.imag) for c in corners]
    canvas.polygon(ends, mix(hue, WHITE, 0.75))
    canvas.line([*ends, *ends[:2]], hue, 1.6)
    for at, label in enumerate(labels):
        start, end = corners[(at + 1) % 3], corners[(at + 2) % 3]
        outward = 1j * (end - start) / abs(start - end)
        place = (start + end) / 2 + 8 * outward
        canvas.text((place.real, place.imag), label, 10.5, 20)
    return canvas.finish(), questions


def circles(key: str, size: int) -> Drawn:
    """Two to five circles, of which some cross."""
    count, names = 2 + pick(4, key, "count"), shuffled(COLOURS, key, "colours")
    pairs, crossing = list(itertools.combinations(range(count), 2)), set[tuple[int, int]]()
    for attempt in itertools.count():
        radii = [10 + pick(11, key, attempt, at, "radius") for at in range(count)]
        rooms = [range(radius + 4, 93 - radius) for radius in radii]
        centres = [tuple(choose(room, key, attempt, at, axis) for axis in "xy") for at, room in enumerate(rooms)]
        apart = {(one, two): math.dist(centres[one], centres[two]) for one, two in pairs}
        # Circles that all but touch, or all but coincide, would leave the answer to the beholder.
        if all(abs(gap - radii[one] - radii[two]) > 3 and gap > 13 for (one, two), gap in apart.items()):
            crossing = {(one, two) for (one, two), gap in apart.items() if gap < radii[one] + radii[two]}
            break
    canvas = Canvas(96, 96, size, WHITE)
    for (x, y), radius, name in zip(centres, radii, names, strict=False):
        canvas.ring((x, y), radius, None, COLOURS[name], 2)
    one, two = asked = choose(pairs, key, "asked")
    answer = "yes" if asked in crossing else "no"
    return canvas.finish(), [
        Question("How many circles are there?", str(count), 0.2),
        Question(f"Do the {names[one]} circle and the {names[two]} circle cross?", answer, 0.5),
        Question("How many pairs of circles cross?", str(len(crossing)), 0.9),
    ]


def graph(key: str, size: int) -> Drawn:
    """Four or five nodes around a circle, and arrows between them."""
    count, hue, canvas = 4 + pick(2, key, "count"), choose(HUES, key, "hue"), Canvas(96, 96, size, WHITE)
    pairs = shuffled(itertools.combinations(range(count), 2), key, "pairs")[: count + pick(2, key, "more")]
    arrows = [pair[:: choose((1, -1), key, "way", *pair)] for pair in pairs]
    turn = pick(73, key, "turn") / 360 - 0.1
    places = [around((48, 48), 36, node / count + turn) for node in range(count)]
    for start, end in arrows:
        (x, y), (tail, head) = places[end], (complex(*places[start]), complex(*places[end]))
        way = (head - tail) / abs(head - tail)
        tip, neck, side = head - 10 * way, head - 16 * way, 3j * way
        canvas.line([places[start], (neck.real, neck.imag)], INK, 1.3)
        canvas.polygon([(corner.real, corner.imag) for corner in (tip, neck + side, neck - side)], INK)
    for name, (x, y) in zip("ABCDE", places, strict=False):
        canvas.ring((x, y), 9, mix(hue, WHITE, 0.75), hue, 1.5)
        canvas.text((x, y), name, 10.5, 16)
    home, goal = shuffled(range(count), key, "asked")[:2]
    reached, steps = {home}, 0
    while goal not in reached and steps < count:
        reached |= {end for start, end in arrows if start in reached}
        steps += 1
    here, there, leaving = "ABCDE"[home], "ABCDE"[goal], sum(start == home for start, _ in arrows)
    fewest = str(steps) if goal in reached else "There is no way."
    return canvas.finish(), [
        Question(f"How many arrows leave {here}?", str(leaving), 0.2),
        Question("How many arrows are there?", str(len(arrows)), 0.5),
        Question(f"How many arrows long is the shortest way from {here} to {there}?", fewest, 0.9),
    ]


def word(key: str, size: int) -> Drawn:
    """Words, a number, a sign, or a slip of one or two lines."""
    return choose((phrase, number, sign, slip), key, "kind")(key, size)


def written(key: str, text: str, size: int) -> Image.Image:
    """Text on paper, slightly tilted."""
    canvas = Canvas(128, 64, size, choose(PAPERS, key, "paper"))
    at = (58 + pick(13, key, "x"), 27 + pick(11, key, "y"))
    canvas.text(at, text, 14 + pick(7, key, "height"), 100, mix(choose(HUES, key, "hue"), INK, 0.4))
    return canvas.finish(pick(81, key, "tilt") / 5 - 8)


def phrase(key: str, size: int) -> Drawn:
    """Two words."""
    adjective, noun = choose(ADJECTIVES, key, "adjective"), choose(NOUNS, key, "noun")
    text = f"{adjective} {noun}"
    others = [f"{adjective} {other}" for other in NOUNS]
    return written(key, text, size), [named("What do the words say?", text, 0.03 * len(text), others)]


def number(key: str, size: int) -> Drawn:
    """Four to eight digits; a wrong answer differs in one of them."""
    text = "".join(str(1 + pick(9, key, at)) for at in range(4 + pick(5, key, "digits")))
    wrong = [text[:at] + str(1 + int(text[at]) % 9) + text[at + 1 :] for at in range(len(text))]
    return written(key, text, size), [Question("Which number is written here?", text, 0.1 * len(text), wrong)]


def sign(key: str, size: int) -> Drawn:
    """A sign on a post."""
    figure, hue = 1 + pick(99, key, "figure"), choose(HUES, key, "hue")
    text = f"{choose(SIGNS, key, 'sign')} {figure}"
    canvas = Canvas(128, 64, size, choose(PAPERS, key, "paper"))
    canvas.box(61.5, 40, 66.5, 64, "#8c929c")
    canvas.box(14, 9, 114, 47, mix(hue, INK, 0.2), 6)
    canvas.box(16, 11, 112, 45, WHITE, 4.5)
    canvas.box(17.5, 12.5, 110.5, 43.5, hue, 3.5)
    canvas.text((64, 28), text, 20, 84, WHITE)
    picture = canvas.finish(pick(49, key, "tilt") / 12 - 2)
    return picture, [named("What does the sign say?", text, 0.3, [f"{name} {figure}" for name in SIGNS])]


def slip(key: str, size: int) -> Drawn:
    """A short receipt."""
    return till(key, 1 + pick(2, key, "lines"), size)


def receipt(key: str, size: int) -> Drawn:
    """A receipt of three to five lines."""
    return till(key, 3 + pick(3, key, "lines"), size)


def till(key: str, count: int, size: int) -> Drawn:
    """What a till prints, lying on a desk."""
    shop, goods = choose(SHOPS, key, "shop"), shuffled(GOODS, key, "goods")[:count]
    prices = [5 * level for level in shuffled(range(16, 166), key, "prices")[:count]]
    total, desk = sum(prices), choose(("#b98d62", "#7f8c9a", "#8aa08c", "#a58fa8"), key, "desk")
    bottom = 52 + 12 * count
    canvas = Canvas(96, bottom + 6, size, desk)
    teeth = [(88 - 5 * at, bottom - 3 * (at % 2)) for at in range(17)]
    for shift, fill in ((1.2, mix(desk, INK, 0.3)), (0.0, WHITE)):
        canvas.polygon([(x + shift, y + shift) for x, y in [(8, 6), (88, 6), *teeth]], fill)
    canvas.text((48, 15), shop, 10.5, 72)
    for at, (name, price) in enumerate(zip([*goods, "TOTAL"], [*prices, total], strict=True)):
        y = 31 + 12 * at + 4 * (at == count)
        canvas.text((13, y), name, 9.5, 40, anchor="lm")
        canvas.text((83, y), money(price), 9.5, 30, anchor="rm")
    for x, rule in itertools.product(range(13, 83, 4), (23, 26.5 + 12 * count)):
        canvas.line([(x, rule), (x + 2, rule)], mix(FAINT, INK, 0.3), 0.8)
    asked, dearest = pick(count, key, "asked"), goods[prices.index(max(prices))]
    sums = [money(total + off) for off in (-50, -10, 10, 50, 100)]
    change = [money(5000 - total + off) for off in (0, 10, 50, 100)]
    questions = [
        named("What is the total?", money(total), 0.3, sums),
        named("Which shop is this receipt from?", shop, 0.2, SHOPS),
        named("How much change is due from 50.00?", change[0], 0.9, change),
    ]
    if count > 1:
        text, others = f"What does the line “{goods[asked]}” cost?", [money(price) for price in (*prices, total)]
        questions += [
            named(text, money(prices[asked]), 0.4, [*others, money(prices[asked] + 10)]),
            named("Which item costs most?", dearest, 0.6, GOODS),
        ]
    return canvas.finish(pick(25, key, "tilt") / 4 - 3), questions
