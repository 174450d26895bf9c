"""Writes the quickstart's data: a small multimodal training set in seven pools, each in a format of its own.

    python recipes/quickstart/generate.py --out recipes/quickstart/data [--scale 1] [--size 64] [--release 2]

Every choice is a hash of a sample's own key, so every run writes the same bytes, and a larger scale only adds samples.
The second release takes back some scenes, brings more words and corrects charts whose answers were misread.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import itertools
import json
import math
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import render
from PIL import Image

Item = TypeVar("Item")

MARKER = ".quickstart"
ADJECTIVES = "amber brave calm dusty early faint gentle hollow ivory jolly keen lively mellow noble open plain".split()
NOUNS = "anchor bridge candle desert engine forest garden harbour island jacket kettle lantern meadow orchard".split()
NAMES = "Ada Bela Chen Dina Emil Fatou Grace Hugo Ines Jonas Kira Luis Mina Noor Otto Priya".split()
GOODS = "bread milk tea coffee apples rice soap pens juice cake salad soup".split()
SHOPS = ("Corner Shop", "Green Market", "Night Café", "Harbour Deli", "Old Bakery", "Book Nook")
SIGNS = ("EXIT {}", "GATE {}", "BUS {}", "ROOM {}", "MAX {}", "PLATFORM {}", "FLOOR {}", "ROUTE {}")
UNITS = (
    ("kilometres", "metres", 1000), ("kilograms", "grams", 1000), ("hours", "minutes", 60), ("weeks", "hours", 168),
    ("metres", "centimetres", 100), ("days", "minutes", 1440), ("litres", "millilitres", 1000), ("minutes", "seconds", 60),
)  # fmt: skip
THEMES = (
    ("Rain (mm)", "Jan Feb Mar Apr May Jun".split()),
    ("Visitors", "Mon Tue Wed Thu Fri Sat".split()),
    ("Fruit sold", "fig plum pear kiwi lime date".split()),
    ("Books read", "Ada Bo Chen Dina Emil Fay".split()),
    ("Points", "A B C D E F".split()),
)
STRAIGHT = ("above", "to the right", "below", "to the left")
DIAGONAL = tuple(f"{vertical} and {side}" for vertical in STRAIGHT[::2] for side in STRAIGHT[1::2])
PLACES = "top left, top centre, top right, middle left, centre, middle right, bottom left, bottom centre, bottom right"
TRIPLES = ((3, 4, 5), (6, 8, 10), (5, 12, 13), (9, 12, 15), (8, 15, 17), (12, 16, 20))

#: For each pool, the range of its scores: reading text, reading data, seeing where things are.
RATINGS = {
    "scenes": ((0, 1), (0, 1), (2, 5)), "dialogues": ((0, 0), (0, 2), (0, 0)), "charts": ((2, 3), (4, 5), (1, 2)),
    "diagrams": ((1, 2), (1, 3), (3, 5)), "words": ((4, 5), (0, 1), (0, 1)), "receipts": ((4, 5), (2, 3), (0, 2)),
}  # fmt: skip
SCORES = pa.schema(
    [("key", pa.string())]
    + [(f"capability.{name}", pa.int64()) for name in ("ocr", "data_understanding", "spatial")]
    + [("style", pa.string()), ("difficulty", pa.float64())]
)
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
EMBEDDED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
DIAGRAMS = pa.schema(
    [("id", pa.string()), ("messages", pa.list_(MESSAGE)), ("images", pa.list_(EMBEDDED)), ("level", pa.int64())]
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer, how hard it is (0 to 1), and wrong answers where it can be asked as multiple choice."""

    text: str
    answer: str
    hardness: float
    wrong: Sequence[str] = ()


#: A picture and all that can be asked about it.
Drawn = tuple[Image.Image, list[Question]]


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


def numeric(text: str, answer: int, hardness: float, step: int = 1, unit: str = "") -> Question:
    """A question about a number; numbers close by are its wrong answers."""
    close = [answer + step * away for away in (-3, -2, -1, 1, 2, 3) if answer + step * away >= 0]
    return Question(text, f"{answer}{unit}", hardness, [f"{number}{unit}" for number in close])


def money(cents: int) -> str:
    """An amount of money as receipts print it."""
    return f"{cents // 100}.{cents % 100:02d}"


def scene(key: str, size: int) -> Drawn:
    """One to four shapes, no two of one colour."""
    count = 1 + pick(4, key, "count")
    shapes = []
    for place, cell in enumerate(shuffled(range(9), key, "cells")[:count]):
        column, row = cell % 3, cell // 3
        x, y = (
            12 + 20 * step + pick(5, key, "shift", place, step, axis) - 2 for axis, step in enumerate((column, row))
        )
        name = choose(("circle", "square", "triangle", "star"), key, "shape", place)
        colour = shuffled(render.COLOURS, key, "colours")[place]
        shapes.append(render.Shape(name, colour, column, row, (x, y), 7 + pick(3, key, "radius", place)))
    light = (8.0 + pick(48, key, "light", 0), 8.0 + pick(48, key, "light", 1))
    picture = render.scene(shapes, choose(render.PAPERS, key, "paper"), light, size)
    names, places = [shape.name for shape in shapes], PLACES.split(", ")
    listed = [
        f"{'an' if shape.colour == 'orange' else 'a'} {shape.colour} {shape.name} at the {places[shape.row * 3 + shape.column]}"
        for shape in shapes
    ]
    described = " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
    questions = [Question("What does the picture show?", f"It shows {described}.", 0.2 + 0.15 * count)]
    first = shapes[0]
    others = [name for name in ("circle", "square", "triangle", "star") if name != first.name]
    questions.append(Question(f"What shape is the {first.colour} figure?", first.name, 0.1, others))
    questions.append(numeric("How many shapes are there?", count, 0.1 * count))
    kind = choose(names, key, "counted")
    questions.append(numeric(f"How many {kind}s are there?", names.count(kind), 0.1 + 0.1 * count))
    if names.count(first.name) == 1:
        colours = [colour for colour in render.COLOURS if colour != first.colour]
        questions.append(Question(f"What colour is the {first.name}?", first.colour, 0.15, colours))
    if count > 1:
        second = shapes[1]
        vertical = ("above", "", "below")[(first.row > second.row) - (first.row < second.row) + 1]
        side = ("to the left", "", "to the right")[(first.column > second.column) - (first.column < second.column) + 1]
        answer = " and ".join(filter(None, [vertical, side]))
        wrong = [way for way in (DIAGONAL if vertical and side else STRAIGHT) if way != answer]
        text = f"Where is the {first.colour} {first.name}, seen from the {second.colour} {second.name}?"
        questions.append(Question(text, answer, 0.4 + 0.1 * count, wrong))
    return picture, questions


def chart_kind(key: str) -> str:
    """Whether a chart shows bars or a line."""
    return "bar" if pick(3, key, "kind") else "line"


def chart(key: str, size: int) -> Drawn:
    """Four to six values, no two the same."""
    kind, count, top = chart_kind(key), 4 + pick(3, key, "count"), choose((10, 20, 50, 100), key, "top")
    title, labels = choose(THEMES[:2] if kind == "line" else THEMES, key, "theme")
    labels, step = labels[:count], top // 10
    values = [step * level for level in shuffled(range(1, 11), key, "values")[:count]]
    hue = render.COLOURS[choose(("blue", "green", "orange", "purple", "red"), key, "hue")]
    picture = render.chart(kind, title, labels, values, top, hue, size)
    by_value = [label for _, label in sorted(zip(values, labels, strict=True))]
    noun = "bar" if kind == "bar" else "point"
    this, that = sorted(shuffled(range(count), key, "pair")[:2], key=lambda place: -values[place])
    above = step * (3 + pick(5, key, "above"))
    questions = [
        Question(f"Which {noun} is highest?", by_value[-1], 0.1 + 0.05 * count, by_value[:-1]),
        Question(f"Which {noun} is lowest?", by_value[0], 0.1 + 0.05 * count, by_value[1:]),
        numeric(f"What is the value of {labels[this]}?", values[this], 0.4 + 0.05 * count, step),
        numeric(f"How much more is {labels[this]} than {labels[that]}?", values[this] - values[that], 0.9, step),
        numeric(f"How many {noun}s are above {above}?", sum(value > above for value in values), 0.7),
    ]
    if kind == "line":
        rises = {f"{labels[at]} to {labels[at + 1]}": values[at + 1] - values[at] for at in range(count - 1)}
        if list(rises.values()).count(max(rises.values())) == 1 and count > 4:
            steepest = max(rises, key=lambda name: rises[name])
            wrong = [name for name in rises if name != steepest]
            questions.append(Question("Where does the line rise most?", steepest, 0.95, wrong))
    return picture, questions


def diagram(key: str, size: int) -> Drawn:
    """A triangle, rings that cross, or a graph of arrows."""
    hue = render.COLOURS[choose(("blue", "green", "orange", "purple", "red"), key, "hue")]
    return choose((_triangle, _circles, _graph), key, "kind")(key, hue, size)


def _triangle(key: str, hue: str, size: int) -> Drawn:
    turn = pick(24, key, "turn") / 24
    if pick(2, key, "right"):
        sides, hidden = choose(TRIPLES, key, "sides"), pick(3, key, "hidden")
        labels = ["?" if place == hidden else str(side) for place, side in enumerate(sides)]
        text = "The triangle has a right angle. How long is the side marked with a question mark?"
        questions = [Question(text, str(sides[hidden]), 0.9)]
    else:
        a, b = 4 + pick(9, key, "a"), 4 + pick(9, key, "b")
        sides = (a, b, abs(a - b) + 2 + pick(2 * min(a, b) - 3, key, "c"))
        labels = [str(side) for side in sides]
        questions = [
            Question("How long is the longest side?", str(max(sides)), 0.2),
            Question("What is the perimeter of the triangle?", str(sum(sides)), 0.5),
        ]
    return render.triangle(sides, labels, turn, hue, size), questions


def _circles(key: str, _hue: str, size: int) -> Drawn:
    count, hues = 2 + pick(4, key, "count"), shuffled(render.COLOURS, key, "hues")
    crossing: set[tuple[int, int]] = set()
    rings: list[tuple[render.Point, float]] = []
    for attempt in itertools.count():
        rings = []
        for ring in range(count):
            radius = 10 + pick(11, key, attempt, ring, "radius")
            x, y = (radius + 4 + pick(89 - 2 * radius, key, attempt, ring, axis) for axis in "xy")
            rings.append(((x, y), radius))
        pairs = list(itertools.combinations(range(count), 2))
        gaps = {pair: math.dist(rings[pair[0]][0], rings[pair[1]][0]) for pair in pairs}
        sums = {(one, two): rings[one][1] + rings[two][1] for one, two in pairs}
        inner = {(one, two): abs(rings[one][1] - rings[two][1]) for one, two in pairs}
        # Rings that all but touch, or lie inside each other, would leave the answer to the eye of the beholder.
        if all(abs(gaps[pair] - sums[pair]) > 3 and gaps[pair] > inner[pair] + 5 for pair in pairs):
            crossing = {pair for pair in pairs if gaps[pair] < sums[pair]}
            break
    one, two = sorted(shuffled(range(count), key, "asked")[:2])
    questions = [
        Question("How many circles are there?", str(count), 0.2),
        Question(
            f"Do the {hues[one]} and the {hues[two]} circle cross?", "yes" if (one, two) in crossing else "no", 0.5
        ),
        Question("How many pairs of circles cross each other?", str(len(crossing)), 0.9),
    ]
    return render.circles(rings, [render.COLOURS[hue] for hue in hues[:count]], size), questions


def _graph(key: str, hue: str, size: int) -> Drawn:
    count = 4 + pick(2, key, "count")
    pairs = shuffled(itertools.combinations(range(count), 2), key, "pairs")[: count + pick(2, key, "more")]
    arrows = [(one, two) if pick(2, key, "way", one, two) else (two, one) for one, two in pairs]
    start, goal = shuffled(range(count), key, "asked")[:2]
    names = "ABCDE"[:count]
    reached, steps = {start}, 0
    while goal not in reached and steps < count:
        reached |= {end for tail, end in arrows if tail in reached}
        steps += 1
    fewest = str(steps) if goal in reached else "there is no way"
    leaving = sum(tail == start for tail, _ in arrows)
    questions = [
        Question(f"How many arrows leave {names[start]}?", str(leaving), 0.2),
        Question("How many arrows are there?", str(len(arrows)), 0.5),
        Question(f"How many arrows does the shortest way from {names[start]} to {names[goal]} take?", fewest, 0.9),
    ]
    return render.graph(names, arrows, hue, size), questions


def word(key: str, size: int) -> Drawn:
    """A phrase, a number, a sign or a slip from a till."""
    kind = pick(4, key, "kind")
    hue = choose(("blue", "green", "purple", "red"), key, "hue")
    paper = choose(render.PAPERS, key, "paper")
    if kind == 0:
        return _till(key, 1 + pick(2, key, "lines"), size)
    if kind == 1:
        form, number = choose(SIGNS, key, "sign"), 1 + pick(99, key, "number")
        wrong = [other.format(number) for other in SIGNS if other != form] + [form.format(number + 1)]
        picture = render.sign(form.format(number), render.COLOURS[hue], paper, size)
        return picture, [Question("What does the sign say?", form.format(number), 0.3, wrong)]
    if kind == 2:
        text = str(10_000 + pick(90_000_000, key, "number"))
        wrong = [
            text[:at] + str((int(text[at]) + 1 + pick(8, key, at)) % 10) + text[at + 1 :] for at in range(1, len(text))
        ]
        question = Question("Which number is written here?", text, 0.1 * len(text), wrong)
    else:
        adjective, noun = choose(ADJECTIVES, key, "adjective"), choose(NOUNS, key, "noun")
        text = f"{adjective} {noun}"
        wrong = [f"{adjective} {other}" for other in NOUNS if other != noun]
        question = Question("What do the words say?", text, 0.2 + 0.02 * len(text), wrong)
    at, tilt = (58.0 + pick(13, key, "x"), 26.0 + pick(13, key, "y")), pick(81, key, "tilt") / 5 - 8
    ink = render.mix(render.COLOURS[hue], render.INK, 0.4)
    return render.writing(text, paper, ink, at, 14 + pick(7, key, "height"), tilt, size), [question]


def receipt(key: str, size: int) -> Drawn:
    """A receipt of three to five lines."""
    return _till(key, 3 + pick(3, key, "lines"), size)


def _till(key: str, count: int, size: int) -> Drawn:
    goods, shop = shuffled(GOODS, key, "goods")[:count], choose(SHOPS, key, "shop")
    prices = [5 * (16 + level) for level in shuffled(range(150), key, "prices")[:count]]
    total, asked = sum(prices), pick(count, key, "asked")
    lines = [(name, money(price)) for name, price in zip(goods, prices, strict=True)]
    desk = choose(("#b98d62", "#7f8c9a", "#8aa08c", "#a58fa8"), key, "desk")
    picture = render.receipt(shop, lines, money(total), desk, pick(25, key, "tilt") / 4 - 3, size)
    slips = [money(total + slip) for slip in (-100, -10, 10, 50, 100, 200) if total + slip > 0]
    questions = [
        Question("What is the total?", money(total), 0.3, slips),
        Question("Which shop is this receipt from?", shop, 0.2, [name for name in SHOPS if name != shop]),
    ]
    if count > 1:
        by_price = [name for _, name in sorted(zip(prices, goods, strict=True))]
        wrong = [money(price) for price in (*prices, total, total + 50, total + 5) if price != prices[asked]]
        questions += [
            Question(f"What does the line “{goods[asked]}” cost?", money(prices[asked]), 0.4, wrong),
            Question("Which item costs most?", by_price[-1], 0.6, [name for name in GOODS if name != by_price[-1]]),
            Question(
                "How much change is due from 50.00?",
                money(5000 - total),
                0.9,
                [money(5000 - total + 10 * n) for n in (1, 5, 10)],
            ),
        ]
    return picture, questions


def dialogue(key: str, attempt: int = 0) -> list[Question]:
    """A conversation without a picture, of one or two turns."""
    name, goods = choose(NAMES, key, attempt, "name"), choose(GOODS, key, attempt, "goods")
    kind = pick(5, key, attempt, "kind")
    few, many = 2 + pick(8, key, attempt, "few"), 11 + pick(480, key, attempt, "many")
    if kind == 0:
        paid = 1000 * (1 + few * many // 200)
        cost = few * many * 5
        text = f"{name} buys {few} packs of {goods} at {money(many * 5)} each and pays with {money(paid)}. What is the change?"
        answer = f"The {few} packs cost {money(cost)}, so the change is {money(paid - cost)}."
        return [Question(text, answer, 0.7)]
    if kind == 1:
        whole, factor = choose(UNITS, key, attempt, "unit"), many
        text = f"How many {whole[1]} are {factor} {whole[0]}?"
        return [Question(text, f"{factor} {whole[0]} are {factor * whole[2]} {whole[1]}.", 0.3)]
    if kind == 2:
        each, left = divmod(many, few)
        text = (
            f"{name} shares {many} stickers fairly among {few} friends. How many does each get, and how many are left?"
        )
        return [Question(text, f"Each friend gets {each}, and {left} are left.", 0.5)]
    if kind == 3:
        words = shuffled(NOUNS, key, attempt, "words")[: 3 + few % 4]
        return [Question(f"Put in alphabetical order: {', '.join(words)}.", ", ".join(sorted(words)), 0.1 * len(words))]
    numbers = [2 + pick(97, key, attempt, place) for place in range(4 + few % 4)]
    text = f"Sort from smallest to largest: {', '.join(map(str, numbers))}."
    first = Question(text, ", ".join(map(str, sorted(numbers))), 0.1 * len(numbers))
    return [first, Question("And what is their sum?", str(sum(numbers)), 0.8)]


def encode(picture: Image.Image, form: str = "PNG") -> bytes:
    """The bytes of an image file."""
    data = io.BytesIO()
    picture.save(data, form, quality=90)
    return data.getvalue()


def to_json(value: object) -> str:
    """JSON as data sets are written: one line, letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def llava(questions: Sequence[Question], mark: str) -> list[dict[str, str]]:
    """Turns as LLaVA and ShareGPT write them."""
    turns = [
        {"from": speaker, "value": text}
        for question in questions
        for speaker, text in (("human", question.text), ("gpt", question.answer))
    ]
    turns[0]["value"] = mark + turns[0]["value"]
    return turns


def four_choices(question: Question, key: str) -> tuple[list[str], int]:
    """The answer among three wrong ones, and its place."""
    choices = shuffled([question.answer, *shuffled(question.wrong, key, "wrong")[:3]], key, "choices")
    return choices, choices.index(question.answer)


class Release:
    """One release while it is written: a method for each pool, which returns the number of its samples."""

    def __init__(self, folder: Path, scale: float, size: int, number: int) -> None:
        self.folder, self.scale, self.size, self.number = folder, scale, size, number
        self.scores: list[dict[str, object]] = []

    def keys(self, noun: str, count: int, start: int = 0) -> list[str]:
        """The keys of a pool's samples, `count` of them at scale 1."""
        return [f"{noun}-{self.scaled(start) + at:06d}" for at in range(self.scaled(count))]

    def scaled(self, count: int) -> int:
        """How many samples there are of what has so many at scale 1."""
        return round(count * self.scale)

    def room(self, *names: str) -> Path:
        """A folder of the release."""
        folder = self.folder.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def score(self, pool: str, key: str, questions: Sequence[Question]) -> float:
        """Notes what the annotation table says of a sample; returns its difficulty."""
        mean = sum(question.hardness for question in questions) / len(questions)
        difficulty = round(min(0.9 * mean + pick(101, key, "difficulty") / 1000, 1.0), 3)
        ratings = [low + pick(high - low + 1, key, "rating", at) for at, (low, high) in enumerate(RATINGS[pool])]
        style = "multi-choice" if pool == "charts" else "open" if len(questions[0].answer) > 24 else "short"
        row = dict(zip(SCORES.names, [key, *ratings, style, difficulty], strict=True))
        self.scores.append(row)
        return difficulty

    def scenes(self) -> int:
        """One JSON array of LLaVA records."""
        images, records, keys = self.room("scenes", "images"), [], self.keys("scene", 1200)
        withdrawn = set(shuffled(keys, "withdrawn")[: self.scaled(40)]) if self.number == 2 else set()
        for key in keys:
            if key in withdrawn:
                continue
            picture, asked = scene(key, self.size)
            questions = shuffled(asked, key, "questions")[: 1 + pick(2, key, "turns")]
            (images / f"{key}.png").write_bytes(encode(picture))
            records.append({"id": key, "image": f"{key}.png", "conversations": llava(questions, "<image>\n")})
            self.score("scenes", key, questions)
        text = ",\n".join(map(to_json, records))
        (self.folder / "scenes/scenes.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
        return len(records)

    def dialogues(self) -> int:
        """JSON Lines of ShareGPT records, no two the same."""
        seen, lines = set(), []
        for key in self.keys("dialogue", 300):
            drawn = (dialogue(key, attempt) for attempt in itertools.count())
            questions = next(questions for questions in drawn if questions[0].text not in seen)
            seen.add(questions[0].text)
            lines.append(to_json({"id": key, "conversations": llava(questions, "")}) + "\n")
            self.score("dialogues", key, questions)
        (self.room("dialogues") / "dialogues.jsonl").write_text("".join(lines), encoding="utf-8")
        return len(lines)

    def charts(self) -> int:
        """Multiple choice in three shards of gzipped JSON Lines."""
        images, keys = self.room("charts", "images"), self.keys("chart", 900)
        cuts = [len(keys) * part // 3 for part in range(4)]
        shards = [keys[start:end] for start, end in itertools.pairwise(cuts)]
        misread = set(shuffled(shards[1], "misread")[:12]) if self.number == 1 else set()
        for part, shard in enumerate(shards):
            lines = []
            for key in shard:
                picture, asked = chart(key, self.size)
                question = choose(asked, key, "question")
                choices, answer = four_choices(question, key)
                (images / f"{key}.png").write_bytes(encode(picture))
                record = {
                    "question_id": key,
                    "image": f"{key}.png",
                    "question": question.text,
                    "choices": choices,
                    "answer": (answer + (key in misread)) % len(choices),
                    "difficulty": self.score("charts", key, [question]),
                    "kind": chart_kind(key),
                }
                lines.append(to_json(record) + "\n")
            data = gzip.compress("".join(lines).encode(), mtime=0)
            (self.folder / f"charts/part-{part:02d}.jsonl.gz").write_bytes(data)
        return len(keys)

    def diagrams(self) -> int:
        """Parquet rows of OpenAI messages with the images in them."""
        rows = []
        for key in self.keys("diagram", 400):
            picture, asked = diagram(key, self.size)
            question = choose(asked, key, "question")
            messages = [
                {"role": "user", "content": f"<image>\n{question.text}"},
                {"role": "assistant", "content": question.answer},
            ]
            image = {"bytes": encode(picture), "path": f"{key}.png"}
            level = 1 + int(question.hardness * 3)
            rows.append({"id": key, "messages": messages, "images": [image], "level": level})
            self.score("diagrams", key, [question])
        pq.write_table(pa.Table.from_pylist(rows, DIAGRAMS), self.room("diagrams") / "diagrams.parquet")
        return len(rows)

    def words(self) -> int:
        """WebDataset shards: an image and its JSON side by side."""
        folder, half = self.room("words"), self.scaled(600) // 2
        keys = self.keys("word", 600)
        shards = [keys[:half], keys[half:]] + ([self.keys("word", 60, start=600)] if self.number == 2 else [])
        for part, shard in enumerate(shards):
            with tarfile.open(folder / f"words-{part:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
                for key in shard:
                    picture, asked = word(key, self.size)
                    question = choose(asked, key, "question")
                    record = {"id": key, "conversations": llava([question], "<image>\n")}
                    for ending, data in (("png", encode(picture)), ("json", to_json(record).encode())):
                        member = tarfile.TarInfo(f"{key}.{ending}")
                        member.size = len(data)
                        archive.addfile(member, io.BytesIO(data))
                    self.score("words", key, [question])
        return sum(map(len, shards))

    def receipts(self) -> int:
        """JSON Lines as ms-swift reads them."""
        images, lines = self.room("receipts", "images"), []
        for key in self.keys("receipt", 200):
            picture, asked = receipt(key, self.size)
            question = choose(asked, key, "question")
            (images / f"{key}.jpg").write_bytes(encode(picture, "JPEG"))
            messages = [
                {"role": "user", "content": f"<image>{question.text}"},
                {"role": "assistant", "content": question.answer},
            ]
            lines.append(to_json({"messages": messages, "images": [f"images/{key}.jpg"], "id": key}) + "\n")
            self.score("receipts", key, [question])
        (self.folder / "receipts/receipts.jsonl").write_text("".join(lines), encoding="utf-8")
        return len(lines)

    def exam(self) -> int:
        """A held-out benchmark as CSV; its samples are drawn from keys of its own."""
        images, rows = self.room("exam", "images"), []
        for at, key in enumerate(self.keys("exam", 120)):
            picture, asked = (scene, chart, word)[at % 3](key, self.size)
            question = choose([question for question in asked if len(question.wrong) >= 3], key, "question")
            choices, answer = four_choices(question, key)
            (images / f"{key}.png").write_bytes(encode(picture))
            rows.append([key, f"{key}.png", question.text, *choices, "ABCD"[answer]])
        with (self.folder / "exam/exam.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow("id image question A B C D answer".split())
            writer.writerows(rows)
        return len(rows)

    def write(self) -> None:
        """Writes all pools and the table of scores, and tells of each pool."""
        formats = {
            "scenes": "JSON array, LLaVA", "dialogues": "JSON Lines, ShareGPT", "charts": "gzip JSON Lines, choices",
            "diagrams": "Parquet, OpenAI messages", "words": "WebDataset tar, LLaVA", "receipts": "JSON Lines, Swift",
            "exam": "CSV, choices, held out",
        }  # fmt: skip
        for name, form in formats.items():
            write: Callable[[], int] = getattr(self, name)
            samples = write()
            sizes = [path.stat().st_size for path in (self.folder / name).rglob("*") if path.is_file()]
            print(f"{name:<10}{samples:>7,} samples{len(sizes):>8,} files  {form:<26}{sum(sizes):>12,} bytes")
        pq.write_table(pa.Table.from_pylist(self.scores, SCORES), self.folder / "scores.parquet")


def write_release(out: Path, scale: float = 1, size: int = 64, number: int = 1) -> None:
    """Replaces the folder by a release, whole or not at all. A folder that this did not write is refused."""
    out = out.resolve()
    if out.exists() and not (out / MARKER).is_file():
        raise FileExistsError(f"{out} is there and has no {MARKER}: it is not the quickstart's own, and is left alone")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as beside:
        fresh = Path(beside) / "new"
        fresh.mkdir()
        (fresh / MARKER).write_text(to_json({"release": number, "scale": scale, "size": size}) + "\n")
        Release(fresh, scale, size, number).write()
        if out.exists():
            out.rename(Path(beside) / "old")
        fresh.rename(out)


def write_second_release(out: Path, scale: float = 1, size: int = 64) -> None:
    """The data as released next: some scenes taken back, more words, and the misread charts corrected."""
    write_release(out, scale, size, number=2)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Writes the quickstart's data.")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write; replaced if it is an earlier one")
    parser.add_argument("--scale", type=float, default=1.0, help="how many samples: 1 is about 3,600 (default)")
    parser.add_argument("--size", type=int, default=64, help="pixels on the shorter side of a picture (default: 64)")
    parser.add_argument("--release", type=int, choices=(1, 2), default=1, help="which release of the data")
    arguments = parser.parse_args()
    if not 0.05 <= arguments.scale <= 1000 or not 32 <= arguments.size <= 1024:
        parser.error("--scale is from 0.05 to 1000 and --size from 32 to 1024")
    try:
        write: Callable[[Path, float, int], Any] = write_release if arguments.release == 1 else write_second_release
        write(arguments.out, arguments.scale, arguments.size)
    except OSError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
