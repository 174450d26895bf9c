"""A copy gives the same samples in the same order, and a cursor goes on in either."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler.errors import DataError
from recipe_compiler.manifest import store
from runtime.errors import ForeignManifest
from runtime.partition import World
from runtime.stream import ManifestDataset, ManifestStream
from tests.materialize.helpers import STREAMED, copy, files, told, told_all
from tests.runtime.helpers import SINGLE, Reading, Setup, expected_ids, plain_stream, read_world, torch_loader
from tests.runtime.helpers import compiled as other
from tests.support import compile_text, write_jsonl


def test_a_copy_gives_the_same_samples_in_the_same_order(source: Path, streamed: Path) -> None:
    assert told_all(streamed) == told_all(source)
    assert store.read(streamed) == store.read(source)


def test_what_is_copied_has_every_container_and_several_files(source: Path, written: dict[str, Path]) -> None:
    samples = told_all(source)
    assert {sample[3] for sample in samples} == {"paths", "embedded", "archive", "rows", "table", "text"}
    assert {len(sample[-1]) for sample in samples} == {0, 1, 2, 3}
    assert max(sample[7] for sample in samples) >= 1, "nothing is drawn again"
    for kind, folder in written.items():
        assert len([name for name in files(folder) if name.startswith("data/shard")]) > 2, kind


def test_copies_of_copies_are_the_copies(source: Path, written: dict[str, Path], tmp_path: Path) -> None:
    for kind, through in (("webdataset", "jsonl"), ("mds", "webdataset"), ("jsonl", "mds")):
        copy(written[through], tmp_path / kind, kind)
        assert files(tmp_path / kind) == files(written[kind])


def gone_on(first: Path, second: Path, setup: Setup, reading: Reading) -> list[tuple[int, str]]:
    """What is read of the second after 36 draws of the first."""
    stream = ManifestStream(ManifestDataset(first), global_batch=12, world=World(1, 2))
    for _, _batch in zip(range(3), stream, strict=False):
        pass
    return [draw for batch in read_world(second, setup, reading, stream.state_dict()) for draw in batch]


def test_a_cursor_goes_on_in_the_copy_and_back(source: Path, streamed: Path) -> None:
    whole, setup = list(enumerate(expected_ids(source))), Setup(num_ranks=3, global_batch=10)
    assert gone_on(source, streamed, setup, plain_stream) == whole[36:]
    assert gone_on(streamed, source, setup, plain_stream) == whole[36:]


def test_workers_read_a_copy(source: Path, written: dict[str, Path]) -> None:
    setup = Setup(num_ranks=1, global_batch=40, num_workers=2)
    assert gone_on(source, written["webdataset"], setup, torch_loader) == list(enumerate(expected_ids(source)))[36:]


def test_a_cursor_of_another_manifest_is_refused(streamed: Path, tmp_path: Path) -> None:
    stream = ManifestStream(ManifestDataset(other(tmp_path, SINGLE)), global_batch=4)
    with pytest.raises(ForeignManifest):
        ManifestStream(ManifestDataset(streamed), global_batch=4).load_state_dict(stream.state_dict())


def test_a_reader_of_a_copy_passes_between_processes(source: Path, streamed: Path) -> None:
    dataset = pickle.loads(pickle.dumps(ManifestDataset(streamed)))
    assert told(dataset[40]) == told(ManifestDataset(source)[40])


def test_parquet_is_not_streamed_and_says_why(written: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="which is for other software"):
        ManifestDataset(written["parquet"])


#: A record whose text is a binary cell is malformed.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40).filter(
    lambda text: not text.startswith("data:")
) | st.sampled_from(["<image>", " <image>\n", "\n", "", " ", " data:;base64,AAAA", "\u2028", "\0", "</s>", '{"a": 1}'])
SAMPLES = st.lists(st.lists(TEXTS, min_size=2, max_size=4), min_size=1, max_size=8)


@settings(max_examples=8)
@given(samples=SAMPLES, tools=TEXTS, kind=st.sampled_from(STREAMED))
def test_any_text_stays_what_it_is(
    samples: list[list[str]], tools: str, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    records = [
        {
            "messages": [
                {"role": "user" if turn % 2 == 0 else "assistant", "content": [{"type": "text", "text": text}]}
                for turn, text in enumerate(texts)
            ],
            "system": texts[0],
            "tools": tools,
        }
        for texts in samples
    ]
    write_jsonl(folder / "a.jsonl", records)
    fields = "{turns: {path: messages, role: role, text: content}, system: [system], tools: [tools]}"
    compile_text(folder, f"recipe: 1\nname: t\npools:\n  a: {{source: a.jsonl, fields: {fields}}}\n")
    copy(folder / "out", folder / "copy", kind, shard_bytes=500)
    assert told_all(folder / "copy") == told_all(folder / "out")
