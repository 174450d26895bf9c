"""Writes the quickstart's data: a small multimodal training set in seven pools, each in a format of its own.

    python recipes/quickstart/generate.py --out recipes/quickstart/data [--scale 1] [--size 64] [--release 2] [--scores]

Every choice is a hash of a sample's own key, so every run writes the same bytes. The second release takes back some
scenes, brings more words, and corrects charts whose answers were misread in the first.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import itertools
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import render
from render import Drawn, Question, choose, money, pick, shuffled
from scores import write_scores

MARKER = ".quickstart"
NAMES = ("Ada", "Bela", "Chen", "Dina", "Emil", "Fatou", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Luis", "Mina")
UNITS = (
    ("kilometres", "metres", 1000),
    ("kilograms", "grams", 1000),
    ("hours", "minutes", 60),
    ("weeks", "hours", 168),
    ("days", "minutes", 1440),
    ("metres", "centimetres", 100),
)
#: For each pool, the range of each capability in the table of scores.
CAPABILITIES = ("capability.ocr", "capability.data_understanding", "capability.spatial")
RATINGS = {
    "scenes": ((0, 1), (0, 1), (2, 5)),
    "dialogues": ((0, 0), (0, 2), (0, 0)),
    "charts": ((2, 3), (4, 5), (1, 2)),
    "diagrams": ((1, 2), (1, 3), (3, 5)),
    "words": ((4, 5), (0, 1), (0, 1)),
    "receipts": ((4, 5), (2, 3), (0, 2)),
}
FORMATS = {
    "scenes": "JSON array, LLaVA",
    "dialogues": "JSON Lines, ShareGPT",
    "charts": "gzip JSON Lines, choices",
    "diagrams": "Parquet, OpenAI messages",
    "words": "WebDataset tar, LLaVA",
    "receipts": "JSON Lines, Swift",
    "exam": "CSV, choices, held out",
}
TEXT, WHOLE = pa.string(), pa.int64()
SCORES = pa.schema({"key": TEXT} | dict.fromkeys(CAPABILITIES, WHOLE) | {"style": TEXT, "difficulty": pa.float64()})
DIAGRAMS = pa.schema(
    {
        "id": TEXT,
        "messages": pa.list_(pa.struct({"role": TEXT, "content": TEXT})),
        "images": pa.list_(pa.struct({"bytes": pa.binary(), "path": TEXT})),
        "level": WHOLE,
    }
)


class Sample(NamedTuple):
    """A picture's file, and what is asked about it."""

    key: str
    picture: bytes
    questions: Sequence[Question]
    difficulty: float

    def llava(self, mark: str = "<image>\n") -> list[dict[str, str]]:
        """The conversation as LLaVA and ShareGPT write it."""
        turns = [{"from": "human", "value": mark + self.questions[0].text}]
        for before, after in itertools.pairwise(self.questions):
            turns += [{"from": "gpt", "value": before.answer}, {"from": "human", "value": after.text}]
        return [*turns, {"from": "gpt", "value": self.questions[-1].answer}]

    def messages(self, mark: str) -> list[dict[str, str]]:
        """The first exchange as OpenAI and Swift write it."""
        user, assistant = mark + self.questions[0].text, self.questions[0].answer
        return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]

    def choices(self) -> tuple[list[str], int]:
        """The answer among three wrong ones, and its place."""
        question = self.questions[0]
        wrong = shuffled(question.wrong, self.key, "wrong")[:3]
        choices = shuffled([question.answer, *wrong], self.key, "order")
        return choices, choices.index(question.answer)


def dialogue(key: str) -> list[Question]:
    """A conversation without a picture, of one or two turns."""
    name, goods, kind = choose(NAMES, key, "name"), choose(render.GOODS, key, "goods"), pick(5, key, "kind")
    few, many = 2 + pick(8, key, "few"), 11 + pick(480, key, "many")
    if kind == 0:
        cost, paid = few * many * 5, 1000 * (1 + few * many // 200)
        price = f"{few} packs of {goods} at {money(many * 5)} each"
        text = f"{name} buys {price} and pays with {money(paid)}. How much change is due?"
        return [Question(text, f"The packs cost {money(cost)}, so the change is {money(paid - cost)}.", 0.7)]
    if kind == 1:
        large, small, factor = choose(UNITS, key, "unit")
        return [Question(f"How many {small} are {many} {large}?", f"{many} {large} are {many * factor} {small}.", 0.3)]
    if kind == 2:
        text = (
            f"{name} shares {many} stickers fairly among {few} friends. How many does each get, and how many are left?"
        )
        return [Question(text, f"Each friend gets {many // few}, with {many % few} left over.", 0.5)]
    if kind == 3:
        words = shuffled(render.NOUNS, key, "words")[: 3 + few // 2]
        return [Question(f"Put in alphabetical order: {', '.join(words)}.", ", ".join(sorted(words)), 0.4)]
    numbers = [2 + pick(97, key, at) for at in range(4 + few // 2)]
    text = f"Sort from smallest to largest: {', '.join(map(str, numbers))}."
    first = Question(text, ", ".join(map(str, sorted(numbers))), 0.1 * len(numbers))
    return [first, Question("And what is their sum?", str(sum(numbers)), 0.8)]


def any_subject(key: str, size: int) -> Drawn:
    """A picture of one of the kinds that the exam asks about."""
    return choose((render.scene, render.chart, render.word), key, "subject")(key, size)


def to_json(value: object) -> str:
    """JSON on one line, letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def put(path: Path, data: bytes | str) -> None:
    """Writes a file and, before it, its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


class Release:
    """One release while it is written: a method for each pool, which returns the number of its samples."""

    def __init__(self, folder: Path, scale: float, size: int, number: int) -> None:
        self.folder, self.scale, self.size, self.number = folder, scale, size, number
        self.scores: list[dict[str, object]] = []
        self.rated: list[tuple[str, str, float]] = []

    def scaled(self, count: int) -> int:
        """How many there are of what has so many at scale 1."""
        return round(count * self.scale)

    def keys(self, noun: str, count: int, start: int = 0) -> list[str]:
        """The keys of a pool's samples."""
        return [f"{noun}-{self.scaled(start) + at:06d}" for at in range(self.scaled(count))]

    def rate(self, pool: str, key: str, questions: Sequence[Question]) -> float:
        """Notes what the table of scores says of a sample, and returns its difficulty."""
        mean = sum(question.hardness for question in questions) / len(questions)
        difficulty = round(0.9 * mean + pick(101, key, "difficulty") / 1000, 3)
        ratings = [
            low + pick(high + 1 - low, key, name) for name, (low, high) in zip(CAPABILITIES, RATINGS[pool], strict=True)
        ]
        style = "multi-choice" if pool == "charts" else "open" if len(questions[0].answer) > 24 else "short"
        self.rated.append((pool, key, difficulty))
        self.scores.append(dict(zip(SCORES.names, (key, *ratings, style, difficulty), strict=True)))
        return difficulty

    def draw(
        self, pool: str, keys: Sequence[str], draw: Callable[[str, int], Drawn], form: str = "PNG"
    ) -> Iterator[Sample]:
        """Samples of a pool, drawn as they are asked for."""
        for key in keys:
            picture, questions = draw(key, self.size)
            if pool in ("charts", "exam"):
                questions = [question for question in questions if len(question.wrong) >= 3]
            turns = 1 + pick(2, key, "turns") if pool == "scenes" else 1
            asked = shuffled(questions, key, "questions")[:turns]
            data = io.BytesIO()
            picture.save(data, form, quality=90)
            yield Sample(key, data.getvalue(), asked, 0 if pool == "exam" else self.rate(pool, key, asked))

    def scenes(self) -> int:
        """One JSON array."""
        keys, records = self.keys("scene", 1200), []
        withdrawn = set(shuffled(keys, "withdrawn")[: self.scaled(40)]) if self.number == 2 else set()
        kept = [key for key in keys if key not in withdrawn]
        for sample in self.draw("scenes", kept, render.scene):
            image = f"{sample.key}.png"
            put(self.folder / "scenes/images" / image, sample.picture)
            records.append(to_json({"id": sample.key, "image": image, "conversations": sample.llava()}))
        put(self.folder / "scenes/scenes.json", "[\n" + ",\n".join(records) + "\n]\n")
        return len(records)

    def dialogues(self) -> int:
        """JSON Lines, no two the same."""
        lines, seen = [], set()
        for key in self.keys("dialogue", 300):
            attempts = (dialogue(f"{key}/{attempt}") for attempt in itertools.count())
            questions = next(questions for questions in attempts if questions[0].text not in seen)
            seen.add(questions[0].text)
            sample = Sample(key, b"", questions, self.rate("dialogues", key, questions))
            lines.append(to_json({"id": key, "conversations": sample.llava(mark="")}) + "\n")
        put(self.folder / "dialogues/dialogues.jsonl", "".join(lines))
        return len(lines)

    def charts(self) -> int:
        """Three shards of gzipped JSON Lines; in the second of the first release, twelve answers are off by one."""
        keys = self.keys("chart", 900)
        cuts = [len(keys) * part // 3 for part in range(4)]
        misread = set(shuffled(keys[cuts[1] : cuts[2]], "misread")[:12]) if self.number == 1 else set()
        for part, (start, end) in enumerate(itertools.pairwise(cuts)):
            lines = []
            for sample in self.draw("charts", keys[start:end], render.chart):
                image, (choices, answer) = f"{sample.key}.png", sample.choices()
                put(self.folder / "charts/images" / image, sample.picture)
                record = {
                    "question_id": sample.key,
                    "image": image,
                    "question": sample.questions[0].text,
                    "choices": choices,
                    "answer": (answer + (sample.key in misread)) % len(choices),
                    "difficulty": sample.difficulty,
                    "kind": render.chart_kind(sample.key),
                }
                lines.append(to_json(record) + "\n")
            put(self.folder / f"charts/part-{part:02d}.jsonl.gz", gzip.compress("".join(lines).encode(), mtime=0))
        return len(keys)

    def diagrams(self) -> int:
        """Parquet, with the images in its rows."""
        rows = []
        for sample in self.draw("diagrams", self.keys("diagram", 400), render.diagram):
            images = [{"bytes": sample.picture, "path": f"{sample.key}.png"}]
            level = 1 + int(sample.questions[0].hardness * 3)
            rows.append({"id": sample.key, "messages": sample.messages("<image>\n"), "images": images, "level": level})
        (self.folder / "diagrams").mkdir()
        pq.write_table(pa.Table.from_pylist(rows, DIAGRAMS), self.folder / "diagrams/diagrams.parquet")
        return len(rows)

    def words(self) -> int:
        """WebDataset shards: each image with its JSON beside it."""
        keys, more = self.keys("word", 600), self.keys("word", 60, start=600)
        half = len(keys) // 2
        shards = [keys[:half], keys[half:], more][: self.number + 1]
        (self.folder / "words").mkdir()
        for part, shard in enumerate(shards):
            path = self.folder / f"words/words-{part:05d}.tar"
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
                for sample in self.draw("words", shard, render.word):
                    record = to_json({"id": sample.key, "conversations": sample.llava()})
                    for ending, data in (("png", sample.picture), ("json", record.encode())):
                        member = tarfile.TarInfo(f"{sample.key}.{ending}")
                        member.size = len(data)
                        archive.addfile(member, io.BytesIO(data))
        return sum(map(len, shards))

    def receipts(self) -> int:
        """JSON Lines beside JPEG images."""
        lines = []
        for sample in self.draw("receipts", self.keys("receipt", 200), render.receipt, "JPEG"):
            image = f"images/{sample.key}.jpg"
            put(self.folder / "receipts" / image, sample.picture)
            record = {"messages": sample.messages("<image>"), "images": [image], "id": sample.key}
            lines.append(to_json(record) + "\n")
        put(self.folder / "receipts/receipts.jsonl", "".join(lines))
        return len(lines)

    def exam(self) -> int:
        """A held-out benchmark: its pictures are like those of other pools, and come from keys of its own."""
        keys, sheet = self.keys("exam", 120), io.StringIO()
        rows = csv.writer(sheet, lineterminator="\n")
        rows.writerow(["id", "image", "question", "A", "B", "C", "D", "answer"])
        for sample in self.draw("exam", keys, any_subject):
            image, (choices, answer) = f"{sample.key}.png", sample.choices()
            put(self.folder / "exam/images" / image, sample.picture)
            rows.writerow([sample.key, image, sample.questions[0].text, *choices, "ABCD"[answer]])
        put(self.folder / "exam/exam.csv", sheet.getvalue())
        return len(keys)

    def write(self, *, scores: bool) -> None:
        """Writes all pools, the table of scores and, for trying methods, the large one, and tells of each pool."""
        for pool, form in FORMATS.items():
            samples: int = getattr(self, pool)()
            sizes = [path.stat().st_size for path in (self.folder / pool).rglob("*") if path.is_file()]
            print(f"{pool:<9} {samples:>7,} samples {len(sizes):>7,} files  {form:<24} {sum(sizes):>11,} bytes")
        pq.write_table(pa.Table.from_pylist(self.scores, SCORES), self.folder / "scores.parquet")
        if scores:
            write_scores(self.folder, self.rated)


def write_release(out: Path, scale: float = 1, size: int = 64, number: int = 1, *, scores: bool = False) -> None:
    """Replaces the folder by a release, whole or not at all. A folder that is not the quickstart's own is refused."""
    out = out.resolve()
    if out.exists() and not (out / MARKER).is_file():
        raise FileExistsError(f"{out} is left alone: it is there and holds no {MARKER}, so it is not the quickstart's")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as beside:
        fresh = Path(beside) / "new"
        put(fresh / MARKER, to_json({"release": number, "scale": float(scale), "size": size}) + "\n")
        Release(fresh, scale, size, number).write(scores=scores)
        if out.exists():
            out.rename(Path(beside) / "old")
        fresh.rename(out)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Writes the quickstart's data.")
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder to write, or to replace if it was written so"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="how many samples; 1, the default, is about 3,600")
    parser.add_argument(
        "--size", type=int, default=64, help="pixels along a scene; other pictures follow (default: 64)"
    )
    parser.add_argument("--release", type=int, choices=(1, 2), default=1, help="which release of the data")
    parser.add_argument("--scores", action="store_true", help="also write scores/scores.parquet, for trying methods")
    arguments = parser.parse_args()
    if not (0.05 <= arguments.scale <= 1000 and 32 <= arguments.size <= 1024):
        parser.error("--scale is from 0.05 to 1000, and --size from 32 to 1024")
    try:
        write_release(arguments.out, arguments.scale, arguments.size, arguments.release, scores=arguments.scores)
    except FileExistsError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
