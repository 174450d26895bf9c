"""What the tests of batches share: samples made by hand, and a slow and obvious way from a conversation to its tokens."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recipe_compiler.cli.main import run
from runtime.sample import Media, Sample
from tests.support import Ran

Part = dict[str, Any]


def text(words: str) -> Part:
    return {"type": "text", "text": words}


def image(number: int) -> Part:
    return {"type": "image", "media": number}


def user(*parts: Part) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def assistant(*parts: Part) -> dict[str, Any]:
    return {"role": "assistant", "content": list(parts)}


def system(*parts: Part) -> dict[str, Any]:
    return {"role": "system", "content": list(parts)}


def picture(width: int, height: int, seed: int = 0) -> Media:
    """An image of noise, as PNG in the record."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return Media(kind="image", path=None, data=buffer.getvalue())


def sample(
    messages: Sequence[dict[str, Any]],
    media: Sequence[Media] = (),
    *,
    tools: str | None = None,
    position: int = 0,
    tombstone: str | None = None,
) -> Sample:
    return Sample(
        unit=0,
        position=position,
        sample_id=f"{position:032x}",
        key=f"key-{position}",
        pool="pool",
        group=None,
        stage="all",
        rule="all",
        repeat=0,
        tokens=1,
        messages=list(messages),
        media=list(media),
        tools=tools,
        tombstone=tombstone,
    )


def run_here(*arguments: str | Path, folder: Path) -> Ran:
    """Runs `recipe` in this process, which has what models need in memory already."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Ran(code, out.getvalue(), err.getvalue())


def by_hand(
    processor: Any, messages: Sequence[dict[str, Any]], images: Sequence[Image.Image]
) -> tuple[list[int], list[int]]:
    """(tokens, labels) of a conversation in the template of `runtime.tiny`, from its specification.

    Special tokens are their ids. What lies between two of them is split as plain words, and a byte is learnt where the
    assistant said it. A token is learnt if one of its bytes is.
    """
    tokenizer = processor.tokenizer
    pieces: list[tuple[str, bool, bool]] = []  # what is written, whether it is a special token, whether it is learnt
    left = iter(images)

    def say(words: str, learnt: bool = False) -> None:
        pieces.append((words, False, learnt))

    def sign(token: str, learnt: bool = False) -> None:
        pieces.append((token, True, learnt))

    def show(picture: Image.Image) -> None:
        if hasattr(processor, "image_seq_len"):
            shown = processor.image_processor([[picture]], return_row_col_info=True)
        else:
            shown = processor.image_processor([picture])
        special = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
        if "image_grid_thw" in shown:
            sign("<|vision_start|>")
        rest = processor.replace_image_token(shown, 0)
        while rest:
            token = next((token for token in special if rest.startswith(token)), None)
            sign(token) if token else say(rest[0])
            rest = rest[len(token or rest[0]) :]
        if "image_grid_thw" in shown:
            sign("<|vision_end|>")

    for message in messages:
        speaks = message["role"] == "assistant"
        sign("<|im_start|>")
        say(message["role"] + "\n")
        for part in message["content"]:
            say(part["text"], speaks) if part["type"] == "text" else show(next(left))
        sign("<|im_end|>", speaks)
        say("\n")

    tokens: list[int] = []
    labels: list[int] = []

    def read(run: list[tuple[str, bool]]) -> None:
        whole = "".join(words for words, _ in run)
        learnt = [flag for words, flag in run for _ in words.encode()]
        found = tokenizer(whole, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        at = 0
        for token in found:
            # A token of bytes is written with one letter for each byte.
            size = len(tokenizer.convert_ids_to_tokens(token))
            tokens.append(token)
            labels.append(token if any(learnt[at : at + size]) else -100)
            at += size
        assert at == len(learnt)

    run: list[tuple[str, bool]] = []
    for words, is_special, learnt in pieces:
        if not is_special:
            run.append((words, learnt))
            continue
        read(run)
        run = []
        tokens.append(tokenizer.convert_tokens_to_ids(words))
        labels.append(tokens[-1] if learnt else -100)
    read(run)
    return tokens, labels
