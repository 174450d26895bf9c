"""Tokens are the processor's own, and labels are what the assistant says, byte for byte."""

from __future__ import annotations

import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.collate import Collator
from runtime.collate.chat import Template
from runtime.errors import CollateError
from runtime.sample import Sample
from runtime.tiny import FAMILIES
from tests.collate.helpers import assistant, by_hand, image, picture, sample, system, text, user

SIZES = [(48, 48), (20, 31), (90, 40), (47, 130), (200, 60)]
PICTURES = [picture(width, height, seed) for seed, (width, height) in enumerate(SIZES)]

#: What people write, and what looks like more than words.
TEMPTING = [
    "<image>",
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "<|image_pad|>",
    "<|im_",
    "end|>",
    "<row_1_col_1>",
    "<",
    "\n",
]
WORDS = st.one_of(
    st.text(max_size=12), st.sampled_from(TEMPTING), st.sampled_from(["The picture", " is", "😀é", " 日本"])
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[int]]:
    """(messages, which of `PICTURES` they show)."""
    media: list[int] = []
    messages = []
    for role in draw(st.lists(st.sampled_from([system, user, assistant]), min_size=1, max_size=5)):
        parts = []
        for _ in range(draw(st.integers(0, 3))):
            if draw(st.integers(0, 3)) == 0:
                parts.append(image(len(media)))
                media.append(draw(st.sampled_from(range(len(PICTURES)))))
            else:
                parts.append(text("".join(draw(st.lists(WORDS, max_size=3)))))
        messages.append(role(*parts))
    return messages, media


def row(collator: Collator, found: Sample) -> tuple[list[int], list[int]]:
    """Tokens and labels of a sample alone."""
    batch = collator([found])
    own = batch.owner[0] == 0
    return batch.inputs["input_ids"][0][own].tolist(), batch.inputs["labels"][0][own].tolist()


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_and_labels_are_those_made_by_hand(processor_of: Any, name: str) -> None:
    processor = processor_of(name)
    collator = Collator(processor)

    @settings(max_examples=30)
    @given(conversations())
    def holds(conversation: tuple[list[dict[str, Any]], list[int]]) -> None:
        messages, numbers = conversation
        media = [PICTURES[number] for number in numbers]
        images = [picture.image() for picture in media]
        assert row(collator, sample(messages, media)) == by_hand(processor, messages, images)

    holds()


TALK = sample(
    [
        system(text("Be brief.")),
        user(text("What is "), image(0), text(" and what is "), image(1), text("?")),
        assistant(text("A circle. "), text("A square.")),
        user(text("Sure?")),
        assistant(text("Yes.")),
    ],
    PICTURES[:2],
)


def test_tokens_and_images_are_the_processors_own(processor: Any) -> None:
    batch = Collator(processor)([TALK])
    images = [media.image() for media in TALK.media]
    written = processor.apply_chat_template([{**message} for message in TALK.messages])
    expected = processor(text=[written], images=[images], return_tensors="pt")
    assert set(batch.inputs) == {*expected, "labels"}
    for name, tensor in expected.items():
        assert batch.inputs[name].equal(tensor), name


def test_what_is_learnt_is_what_the_assistant_says(processor: Any) -> None:
    tokens, labels = row(Collator(processor), TALK)
    learnt = [label for label in labels if label != -100]
    assert processor.tokenizer.decode(learnt) == "A circle. A square.<|im_end|>Yes.<|im_end|>"
    assert all(label in (-100, token) for token, label in zip(tokens, labels, strict=True))


def test_what_is_learnt_is_what_transformers_masks(processor: Any) -> None:
    talk = sample([message for message in TALK.messages if message["role"] != "user"])
    _, labels = row(Collator(processor), talk)
    masked = processor.tokenizer.apply_chat_template(
        talk.messages,
        chat_template=processor.chat_template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert [label != -100 for label in labels] == [flag == 1 for flag in masked["assistant_masks"]]


def test_an_image_that_the_assistant_shows_is_not_learnt(processor: Any) -> None:
    shown = sample([user(text("Draw.")), assistant(text("Here: "), image(0), text(" done"))], PICTURES[:1])
    _, labels = row(Collator(processor), shown)
    learnt = processor.tokenizer.decode([label for label in labels if label != -100])
    assert "image" not in learnt.replace("<|im_end|>", "")
    assert "Here: " in learnt and " done<|im_end|>" in learnt


def test_tools_are_shown_and_not_learnt(processor: Any) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "zoom<|im_end|>"}}])
    found = sample([user(text("Look closer.")), assistant(text("Yes."))], tools=tools)
    tokens, labels = row(Collator(processor), found)
    assert "zoom<|im_end|>" in processor.tokenizer.decode(tokens)
    assert tokens.count(processor.tokenizer.convert_tokens_to_ids("<|im_end|>")) == 3
    assert processor.tokenizer.decode([label for label in labels if label != -100]) == "Yes.<|im_end|>"


USER_ASSISTANT = """{%- for message in messages -%}
{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT: ' if message['role'] == 'assistant' else 'SYSTEM: ' }}
{%- for part in message['content'] -%}{{ 'IMAGE' if part['type'] == 'image' else part['text'] }}{%- endfor -%}
{{ '<|im_end|>\\n' if message['role'] == 'assistant' else '\\n' }}
{%- endfor -%}{{ 'ASSISTANT: ' if add_generation_prompt else '' }}"""
IMAGES_FIRST = """{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- for part in message['content'] | selectattr('type', 'equalto', 'image') -%}{{ 'IMAGE\\n' }}{%- endfor -%}
{%- for part in message['content'] | selectattr('type', 'equalto', 'text') -%}{{ part['text'] | trim }}{%- endfor -%}
{{ '<|im_end|>\\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"""
FORGETS = """{%- for message in messages -%}{%- if message['role'] == 'user' or loop.last -%}
{{ message['role'] + ': ' + message['content'][0]['text'] + '\\n' }}{%- endif -%}{%- endfor -%}
{{ 'assistant: ' if add_generation_prompt else '' }}"""


def with_template(processor: Any, template: str) -> Any:
    """A copy of a processor with another template, which has no `{% generation %}`."""
    other = pickle.loads(pickle.dumps(processor))
    shown = processor.image_token
    other.chat_template = template.replace(
        "IMAGE", f"<|vision_start|>{shown}<|vision_end|>" if "pad" in shown else shown
    )
    return other


@pytest.mark.parametrize("template", [USER_ASSISTANT, IMAGES_FIRST], ids=["prefixes", "images first"])
def test_answers_are_found_without_generation_marks(processor: Any, template: str) -> None:
    other = with_template(processor, template)
    collator = Collator(other)
    tokens, labels = row(collator, TALK)
    learnt = other.tokenizer.decode([label for label in labels if label != -100])
    if template is USER_ASSISTANT:  # The blank before an answer is one token with its first word.
        assert learnt == "A circle. A square.<|im_end|> Yes.<|im_end|>"
    else:
        assert learnt == "A circle.A square.<|im_end|>Yes.<|im_end|>"
    written = other.apply_chat_template([{**message} for message in TALK.messages])
    images = [media.image() for media in TALK.media]
    assert tokens == other(text=[written], images=[images])["input_ids"][0]


def test_a_template_that_says_not_what_is_learnt_is_refused(processor: Any) -> None:
    with pytest.raises(CollateError, match=r"no `\{% generation %\}` and does not write"):
        Collator(with_template(processor, FORGETS))


@pytest.mark.parametrize("name", ["idefics3", "llava_next", "qwen2_5_vl", "qwen3_vl", "smolvlm"])
def test_answers_of_published_templates_are_those_that_trl_marks(processor_of: Any, name: str) -> None:
    """TRL has the templates of these models as they are, and again with generation marks of its own."""
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        pytest.skip("TRL is not installed")
    folder = Path(found.submodule_search_locations[0]) / "chat_templates"
    plain, marked = (folder / f"{name}{kind}.jinja" for kind in ("", "_training"))
    if not plain.is_file() or not marked.is_file():
        pytest.skip("this TRL has no such templates")
    ours, theirs = (Template(with_template(processor_of("qwen3_vl"), path.read_text())) for path in (plain, marked))
    messages = [{**message} for message in TALK.messages]
    chats = [template.render(messages) for template in (ours, theirs)]
    said = [[chat.text[start:stop].strip() for start, stop in chat.spoken] for chat in chats]
    assert said[0] == said[1] and len(said[0]) == 2
    assert chats[0].text == chats[1].text


def test_a_template_for_texts_alone_is_refused(processor: Any) -> None:
    blunt = """{%- for message in messages -%}{{ message['role'] + ': ' }}{{ message['content'] }}{{ '\\n' }}
{%- endfor -%}{{ 'assistant: ' if add_generation_prompt else '' }}"""
    with pytest.raises(CollateError, match="it is one for texts alone"):
        Collator(with_template(processor, blunt))


def test_generation_marks_around_others_are_refused(processor: Any) -> None:
    other = pickle.loads(pickle.dumps(processor))
    other.chat_template = processor.chat_template.replace("== 'assistant'", "== 'user'")
    with pytest.raises(CollateError, match="does not mark what the assistant says: 'uno"):
        Collator(other)


def test_a_template_without_place_for_images_or_tools_is_refused(processor: Any) -> None:
    blind = with_template(processor, USER_ASSISTANT.replace("IMAGE", ""))
    with pytest.raises(CollateError, match=r"sample 0{12} \(key-0\) at position 0: .* shows 0 of 2 images"):
        Collator(blind)([TALK])
    with pytest.raises(CollateError, match="does not show tools"):
        Collator(blind)([sample([user(text("a")), assistant(text("b"))], tools="[]")])


def test_characters_that_no_text_holds(processor: Any) -> None:
    odd = sample([user(text("a\ufdd0b\ufdd1")), assistant(text("fine"))])
    tokens, _ = row(Collator(processor), odd)
    assert "a\ufdd0b\ufdd1" in processor.tokenizer.decode(tokens)
    both = sample([user(text("a\ufdd0b"), text("<|im_end|>")), assistant(text("fine"))])
    with pytest.raises(CollateError, match=r"U\+FDD0"):
        Collator(processor)([both])


def test_owner_and_padding(processor: Any) -> None:
    plain = sample([user(text("hi")), assistant(text("hello"))], position=1)
    for side in ("left", "right"):
        batch = Collator(processor, padding_side=side, pad_to_multiple_of=32)([TALK, plain])  # type: ignore[arg-type]
        tokens, owner = batch.inputs["input_ids"], batch.owner
        assert tokens.shape[1] % 32 == 0
        assert (batch.inputs["attention_mask"] == (owner >= 0)).all()
        assert (batch.inputs["labels"][owner < 0] == -100).all() and (tokens[owner < 0] == 0).all()
        for number, found in enumerate([TALK, plain]):
            assert tokens[owner == number].tolist() == row(Collator(processor), found)[0]
        own = np.flatnonzero((owner[1] >= 0).numpy())
        assert own[-1] == tokens.shape[1] - 1 if side == "left" else own[0] == 0
        assert batch.samples == [TALK, plain]


def test_too_long_raises_and_truncation_keeps_images_whole(processor: Any) -> None:
    whole, _ = row(Collator(processor), TALK)
    with pytest.raises(CollateError, match=rf"position 0 has {len(whole)} tokens, and {len(whole) - 1} are the most"):
        Collator(processor, max_tokens=len(whole) - 1)([TALK])
    assert Collator(processor, max_tokens=len(whole))([TALK]).cut == [0]
    shown = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    for most in range(1, len(whole)):
        batch = Collator(processor, max_tokens=most, truncate=True)([TALK])
        kept = batch.inputs["input_ids"][0][batch.owner[0] == 0].tolist()
        assert kept == whole[: len(kept)] and batch.cut == [len(whole) - len(kept)]
        images = batch.inputs.get("image_grid_thw", batch.inputs.get("pixel_values"))
        num_images = 0 if images is None else len(images)
        if hasattr(processor, "image_seq_len"):
            num_images = 0 if images is None else images.shape[1]
            assert kept.count(shown) == num_images * processor.image_seq_len
        elif "image_grid_thw" in batch.inputs:
            assert kept.count(shown) == int(batch.inputs["image_grid_thw"].prod(1).sum()) // 4
        else:
            assert kept.count(shown) == num_images * 36
