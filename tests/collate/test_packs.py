"""A sample in a pack is what it is alone: the same logits, the same loss, positions from 0."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import models
from runtime.collate import Batch, Collator
from tests.collate.helpers import assistant, image, picture, sample, system, text, user

torch = pytest.importorskip("torch")

SAMPLES = [
    sample([user(image(0), text("What is it?")), assistant(text("A red circle."))], [picture(64, 40)]),
    sample(
        [
            system(text("Be brief.")),
            user(text("This ")),
            assistant(text("Yes")),
            user(text("and "), image(0), text(" or "), image(1), text("?")),
            assistant(text("The second one.")),
        ],
        [picture(30, 80, 1), picture(50, 50, 2)],
        position=1,
    ),
    sample([user(text("No picture at all.")), assistant(text("Fine."))], position=2),
    # It begins with what is learnt: that must not be learnt from the sample before it.
    sample([assistant(text("Hello.")), user(text("Hm."))], position=3),
    sample([], position=4, tombstone="it could not be decoded"),
]


@pytest.fixture(scope="module")
def model_of(folder_of: Any) -> Any:
    """(family, attention) -> a model whose weights are large enough that a wrong mask shows."""
    known: dict[tuple[str, str], Any] = {}

    def load(family: str, attention: str) -> Any:
        if (family, attention) not in known:
            model = models.load_model(folder_of(family), attn_implementation=attention).eval()
            torch.manual_seed(0)
            with torch.no_grad():
                for weight in model.parameters():
                    weight.add_(0.05 * torch.randn_like(weight))
            known[family, attention] = model
        return known[family, attention]

    return load


def logits(model: Any, batch: Batch) -> Any:
    with torch.no_grad():
        found = model(**batch.inputs).logits
    return found


def loss_sum(found: Any, labels: Any) -> float:
    """The sum of the losses of the next tokens, as models shift labels."""
    flat = found[:, :-1].reshape(-1, found.shape[-1]), labels[:, 1:].reshape(-1)
    return float(torch.nn.functional.cross_entropy(*flat, reduction="sum"))


LAYOUTS = {
    "rows": ([[0, 1], [2, 4, 3, 0], [4]], {}),
    "left": ([[3, 2], [1, 3]], {"padding_side": "left", "pad_to_multiple_of": 8}),
    "one row": ([[0, 1], [3], [2, 0]], {"one_row": True}),
}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_and_losses_are_those_of_each_sample_alone(
    processor: Any, family: str, model_of: Any, attention: str, layout: str
) -> None:
    packs, options = LAYOUTS[layout]
    model = model_of(family, attention)
    packed = Collator(processor, **options)([[SAMPLES[number] for number in pack] for pack in packs])
    together = logits(model, packed)
    expected_loss = 0.0
    for place, number in enumerate(number for pack in packs for number in pack):
        alone = Collator(processor)([SAMPLES[number]])
        assert packed.samples[place] is SAMPLES[number]
        assert packed.inputs["input_ids"][packed.owner == place].equal(alone.inputs["input_ids"][alone.owner == 0])
        found = logits(model, alone)
        torch.testing.assert_close(together[packed.owner == place], found[alone.owner == 0], atol=1e-4, rtol=0)
        if SAMPLES[number].tombstone is None:
            expected_loss += loss_sum(found, alone.inputs["labels"])
    assert loss_sum(together, packed.inputs["labels"]) == pytest.approx(expected_loss, rel=1e-5)


def test_a_padded_batch_is_each_sample_alone(processor: Any, family: str, model_of: Any) -> None:
    model = model_of(family, "sdpa")
    for side in ("left", "right"):
        batch = Collator(processor, padding_side=side)(SAMPLES)  # type: ignore[arg-type]
        together = logits(model, batch)
        assert together.isfinite().all()
        for number, found in enumerate(SAMPLES[:-1]):
            alone = Collator(processor)([found])
            expected = logits(model, alone)[alone.owner == 0]
            torch.testing.assert_close(together[batch.owner == number], expected, atol=1e-4, rtol=0)


def test_a_pack_of_samples_that_see_each_other_would_be_noticed(processor: Any, family: str, model_of: Any) -> None:
    """The samples of the tests above do depend on what they see: without borders their logits differ."""
    packed = Collator(processor)([[SAMPLES[0], SAMPLES[1]]])
    model = model_of(family, "sdpa")
    together = logits(model, packed)
    packed.inputs["position_ids"] = packed.inputs["position_ids"].new_tensor(range(packed.owner.shape[1])).expand(1, -1)
    seen = logits(model, packed)
    assert (together - seen)[packed.owner == 1].abs().max() > 1e-2


def test_empty_parts_and_tombstones_are_rows_without_loss(processor: Any, family: str, model_of: Any) -> None:
    collator = Collator(processor)
    for batch in (collator([]), collator([SAMPLES[-1]]), collator([[SAMPLES[-1]], [SAMPLES[-1]]])):
        assert (batch.inputs["labels"] == -100).all() and (batch.owner == -1).all()
        assert not any("pixel" in name for name in batch.inputs)
        assert logits(model_of(family, "sdpa"), batch).isfinite().all()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_places_of_a_pack_are_those_that_the_model_gives_each_sample(
    processor_of: Any, model_of: Any, family: str
) -> None:
    """Against `get_rope_index`, which numbers padded samples, for random conversations."""
    collator, model = Collator(processor_of(family)), model_of(family, "sdpa")
    sizes = st.tuples(st.integers(20, 120), st.integers(20, 120))

    @settings(max_examples=15)
    @given(
        st.lists(
            st.lists(st.one_of(sizes, st.text("ab \n", max_size=9)), min_size=1, max_size=4), min_size=1, max_size=3
        )
    )
    def holds(talks: list[list[tuple[int, int] | str]]) -> None:
        made = []
        for talk in talks:
            shown = [part for part in talk if isinstance(part, tuple)]
            order = iter(range(len(shown)))
            parts = [text(part) if isinstance(part, str) else image(next(order)) for part in talk]
            made.append(sample([user(*parts), assistant(text("ok"))], [picture(*size) for size in shown]))
        packed, padded = collator([made]), collator(made)
        if "image_grid_thw" not in padded.inputs:
            return
        places, _ = model.model.get_rope_index(
            padded.inputs["input_ids"],
            mm_token_type_ids=padded.inputs["mm_token_type_ids"],
            image_grid_thw=padded.inputs["image_grid_thw"],
            attention_mask=padded.inputs["attention_mask"],
        )
        for number in range(len(made)):
            own = packed.inputs["position_ids"][:, packed.owner == number]
            assert own[1:].equal(places[:, padded.owner == number])
            assert own[0].tolist() == list(range(own.shape[1]))

    holds()


@pytest.mark.gpu
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packs_on_an_accelerator(processor: Any, family: str, model_of: Any, attention: str) -> None:
    model = model_of(family, attention)
    numbers = [0, 1, 2, 3]
    packed = Collator(processor)([[SAMPLES[number] for number in numbers]])
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        model.cuda()

        def run(batch: Batch) -> Any:
            moved = {name: value.cuda() if torch.is_tensor(value) else value for name, value in batch.inputs.items()}
            with torch.no_grad():
                return model(**moved).logits.cpu()

        together = run(packed)
        for place, number in enumerate(numbers):
            alone = Collator(processor)([SAMPLES[number]])
            expected = run(alone)[alone.owner == 0]
            torch.testing.assert_close(together[packed.owner == place], expected, atol=1e-4, rtol=0)
    finally:
        model.cpu()
        torch.backends.cuda.matmul.allow_tf32 = before
