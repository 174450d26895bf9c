"""The twin of a tokenizer reads what the tokenizer reads, and look-alikes as words."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

transformers = pytest.importorskip("transformers")

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from runtime.collate.words import Words
from runtime.tiny import PHRASES


def like_llama() -> Any:
    """A tokenizer with blanks as letters, a sign at the begin of every text, and bytes for letters it does not know."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    special = ["<unk>", "<s>", "</s>", "<image>", *(f"<0x{byte:02X}>" for byte in range(256))]
    core.train_from_iterator(PHRASES, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    core.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )


@pytest.fixture(scope="module", params=["llama", "llava", "smolvlm", "qwen3_vl"])
def words(request: pytest.FixtureRequest, processor_of: Any) -> Words:
    if request.param == "llama":
        return Words(SimpleNamespace(tokenizer=like_llama(), image_token="<image>"))
    return Words(processor_of(request.param))


PIECES = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from([" a", "\n", "<image>", "</s>", "<|im_end|>", "<think>"]))
)


def test_the_twin_reads_what_the_tokenizer_reads(words: Words) -> None:
    @settings(max_examples=60)
    @given(PIECES)
    def holds(pieces: list[str]) -> None:
        text = "".join(pieces)
        plain, spans = words.tokens(text, marked=False)
        twin, moved = words.tokens(words.renamed(text), marked=True)
        assert twin.tolist() == plain.tolist()
        assert len(moved) == len(spans)

    holds()


def test_look_alikes_are_words(words: Words) -> None:
    @settings(max_examples=60)
    @given(PIECES)
    def holds(pieces: list[str]) -> None:
        text = "".join(pieces)
        if words.confuses(text):
            return
        (marked,) = words.mark([text])
        assert words.without_marks(marked) == text
        assert words.special_spans(marked) == []
        special = {words.tokenizer.convert_tokens_to_ids(token) for token in words.special}
        found, spans = words.tokens(words.without_marks(marked), marked=True)
        begun = [token for token, (start, stop) in zip(found.tolist(), spans.tolist(), strict=True) if start < stop]
        # Letters of a tokenizer's own alphabet may be special tokens too, as bytes are here.
        own = {words.tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in range(256)}
        unknown = {words.tokenizer.unk_token_id}
        assert not (special - own - unknown) & set(begun)

    holds()


def test_look_alikes_across_neighbours_are_marked(words: Words) -> None:
    token = max(words.special, key=len)
    halves = [token[:3], token[3:]]
    assert words.special_spans("".join(halves))
    assert words.special_spans("".join(words.mark(halves))) == []
    thirds = [token[:2], token[2], token[3:]]
    assert words.special_spans("".join(words.mark(thirds))) == []
    assert words.mark(["a < b", "plain"]) == ["a < b", "plain"]


def test_words_can_be_pickled(words: Words) -> None:
    words.tokens("x", marked=True)
    again = pickle.loads(pickle.dumps(words))
    text = words.renamed("a<image>b")
    assert again.tokens(text, marked=True)[0].tolist() == words.tokens(text, marked=True)[0].tolist()
