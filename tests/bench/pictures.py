"""Chats about pictures: 50,000 samples of a JPEG of about 35 KB each, the same for every loader that is measured.

The JPEGs are 2,000 different ones, 448 pixels wide and high, taken in turn; keys and chats are all different.
"""

from __future__ import annotations

import io
import json
import tarfile
from functools import cache
from pathlib import Path

import numpy as np

from tests.bench import data
from tests.bench.bench import Bench
from tests.bench.processes import recipe

NUM_SAMPLES = 50_000
SIDE = 448
_DIFFERENT = 2_000
_PER_SHARD = 1_000
_WORDS = "the image shows a small red boat near an old stone bridge while two people walk along and talk about rain"

#: (key, the bytes of a JPEG, the text of `{"conversations": [...]}`).
Chat = tuple[str, bytes, bytes]


def place(bench: Bench) -> Path:
    """The folder for everything that is made of these samples, each form in a folder of its own name."""
    return bench.folder / f"pictures-{bench.size(NUM_SAMPLES)}"


def samples(bench: Bench) -> list[Chat]:
    """All samples, in the order in which they are written. The JPEGs are made once and kept in a file."""
    size = bench.size(NUM_SAMPLES)
    different = min(_DIFFERENT, size)
    kept = data.made(bench.folder / f"jpegs-{different}.npz", lambda path: _draw(different, path))
    with np.load(kept) as file:
        joined, ends = file["bytes"].tobytes(), file["ends"].tolist()
    jpegs = [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [(f"{number:06}", jpegs[number % different], _chat(number)) for number in range(size)]


@cache
def manifest(bench: Bench) -> Path:
    """The samples as WebDataset tars of 1,000 each, and the manifest of one shuffled epoch of them."""
    folder = place(bench)
    data.made(folder / "tars", lambda path: _write_tars(samples(bench), path))
    text = "recipe: 1\nname: pictures\nseed: 17\npools:\n  chats: {source: tars/*.tar, format: auto}\nstages: [{name: train}]\n"
    (folder / "recipe.yaml").write_text(text)
    recipe("compile", folder / "recipe.yaml", "--out", folder / "manifest")
    return folder / "manifest"


def _chat(number: int) -> bytes:
    words = _WORDS.split()
    said = [
        " ".join(words[(number * 7 + turn * 5 + at) % len(words)] for at in range(18 + turn * 6)) for turn in range(3)
    ]
    turns = [
        ("human", f"<image>\nWhat does picture {number} show?"),
        ("gpt", said[0]),
        ("human", said[1]),
        ("gpt", said[2]),
    ]
    return json.dumps({"conversations": [{"from": who, "value": text} for who, text in turns]}).encode()


def _draw(different: int, path: Path) -> None:
    """Draws pictures that compress as photographs do: fields of every scale, weaker the finer, and a few edges."""
    from PIL import Image

    chance = np.random.default_rng(17)
    banks = []
    for cells, weight in ((4, 60), (14, 30), (56, 12), (224, 11)):
        fields = chance.normal(0, weight, (8, 3, cells, cells)).astype(np.float32)
        larger = [
            Image.fromarray(layer).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            for layer in fields.reshape(-1, cells, cells)
        ]
        banks.append(np.stack(larger).reshape(8, 3, SIDE, SIDE).transpose(0, 2, 3, 1).astype(np.int16))
    jpegs = []
    for _ in range(different):
        picture = np.full((SIDE, SIDE, 3), 128, dtype=np.int16)
        strengths = (4, 4, *chance.integers(1, 5, 2))
        for bank, strength in zip(banks, strengths, strict=True):
            field = bank[chance.integers(8)]
            down, across = chance.integers(0, SIDE, 2)
            picture += np.roll(field, (down, across), (0, 1)) * int(strength) // 4
        for _ in range(6):
            left, top, wide, high = chance.integers(0, SIDE // 2, 4)
            picture[top : top + high, left : left + wide] += chance.integers(-60, 60, 3, dtype=np.int16)
        out = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
        jpegs.append(out.getvalue())
    ends = np.cumsum([len(jpeg) for jpeg in jpegs])
    with path.open("wb") as file:
        np.savez(file, bytes=np.frombuffer(b"".join(jpegs), dtype=np.uint8), ends=ends)


def _write_tars(chats: list[Chat], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for start in range(0, len(chats), _PER_SHARD):
        with tarfile.open(folder / f"{start // _PER_SHARD:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, jpeg, chat in chats[start : start + _PER_SHARD]:
                for name, content in ((f"{key}.jpg", jpeg), (f"{key}.json", chat)):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
