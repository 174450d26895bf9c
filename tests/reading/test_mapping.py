"""The mapping, against an oracle in plain Python, and the identity it gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe_compiler.errors import DataError
from recipe_compiler.scanning import Mapper, SampleParts
from tests.reading import oracle

properties = settings(deadline=None, database=None, max_examples=250)

pieces = st.sampled_from(
    ["<image>", "<image>", "\n", "\r\n", " ", "\u3000", "\x1c", "\x00", "text", "é", "👩‍👧", '"', "\\", ",", "<video"]
)
texts = st.one_of(st.text(max_size=12), st.lists(pieces, max_size=6).map("".join))
keys = st.one_of(st.none(), texts, st.integers(-(2**63), 2**64 - 1), st.booleans(), st.lists(st.integers(), max_size=1))
scalars = st.one_of(texts, st.integers(-1000, 1000), st.booleans())
paths = st.text("abc/.é ", min_size=1, max_size=8)


def optional(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Records in which each field may also be null or absent."""
    return st.fixed_dictionaries(
        {}, optional={name: st.one_of(st.none(), strategy) for name, strategy in strategies.items()}
    )


turns = st.fixed_dictionaries(
    {"from": st.sampled_from(["human", "human", "gpt", "system", "observation"]), "value": texts}
)
llava_records = st.fixed_dictionaries(
    {"conversations": st.lists(turns, max_size=4)},
    optional={"id": keys, "image": st.one_of(st.none(), st.just(""), paths, st.lists(paths, max_size=3))},
)
alpaca_records = optional(
    id=keys,
    system=scalars,
    instruction=scalars,
    input=scalars,
    output=scalars,
    history=st.lists(st.tuples(scalars, scalars).map(list), max_size=3),
)
choices = st.one_of(
    st.lists(scalars, max_size=30),
    st.dictionaries(st.text(max_size=3), st.one_of(st.none(), scalars), max_size=5),
    scalars,
)
qa_records = optional(
    id=keys,
    question=scalars,
    choices=choices,
    answer=st.one_of(
        scalars, st.integers(-1, 5), st.lists(texts, max_size=3), st.lists(st.integers(-9, 9), min_size=1, max_size=3)
    ),
)

Oracle = Callable[[Mapping[str, Any]], dict[str, Any]]
MAPPERS = {
    name: (Mapper(layout={"shape": "json-lines"}, fields=fields), run)
    for name, fields, run in (
        ("llava", oracle.LLAVA, oracle.llava),
        ("alpaca", oracle.ALPACA, oracle.alpaca),
        ("qa", oracle.QA, oracle.qa),
    )
}


def assert_as_the_oracle_says(name: str, record: Mapping[str, Any], ascii_only: bool) -> SampleParts | None:
    mapper, run = MAPPERS[name]
    line = json.dumps(record, ensure_ascii=ascii_only).encode()
    try:
        expected = run(record)
    except oracle.Unusable:
        with pytest.raises(DataError):
            mapper.sample(line)
        return None
    found = mapper.sample(line)
    assert found.content == expected
    assert found.blobs == []
    return found


@properties
@given(record=llava_records, ascii_only=st.booleans())
def test_llava_is_mapped_as_the_oracle_says(record: dict[str, Any], ascii_only: bool) -> None:
    assert_as_the_oracle_says("llava", record, ascii_only)


@properties
@given(record=alpaca_records, ascii_only=st.booleans())
def test_alpaca_is_mapped_as_the_oracle_says(record: dict[str, Any], ascii_only: bool) -> None:
    assert_as_the_oracle_says("alpaca", record, ascii_only)


@properties
@given(record=qa_records, ascii_only=st.booleans())
def test_qa_is_mapped_as_the_oracle_says(record: dict[str, Any], ascii_only: bool) -> None:
    assert_as_the_oracle_says("qa", record, ascii_only)


small = st.sampled_from(["", "a", "b", "<image>", "a\n", "\na", "é", "e\u0301"])
small_turns = st.fixed_dictionaries({"from": st.sampled_from(["human", "user", "gpt"]), "value": small})
small_llava = st.fixed_dictionaries(
    {"conversations": st.lists(small_turns, min_size=1, max_size=2)},
    optional={"id": st.sampled_from(["1", 1, "2"]), "image": st.sampled_from([None, "", "p", ["p"], ["p", "q"]])},
)
small_qa = st.fixed_dictionaries(
    {"question": small, "answer": st.one_of(small, st.integers(0, 1), st.lists(small, max_size=2))},
    optional={"choices": st.one_of(st.none(), st.lists(small, max_size=2), st.dictionaries(small, small, max_size=2))},
)


@properties
@given(records=st.lists(st.one_of(small_llava, small_qa), min_size=2, max_size=12))
def test_ids_are_equal_exactly_where_contents_are(records: list[dict[str, Any]]) -> None:
    by_content: dict[str, bytes] = {}
    by_id: dict[bytes, str] = {}
    for record in records:
        parts = assert_as_the_oracle_says("llava" if "conversations" in record else "qa", record, True)
        if parts is None:
            continue
        content = json.dumps({name: parts.content[name] for name in ("messages", "media", "tools")})
        assert by_content.setdefault(content, parts.sample_id) == parts.sample_id
        assert by_id.setdefault(parts.sample_id, content) == content


def test_tools_and_embedded_bytes_are_part_of_the_identity() -> None:
    fields = {**oracle.LLAVA, "tools": ["tools?"]}
    mapper = Mapper(layout={"shape": "json-lines"}, fields=fields)
    record = {"conversations": [{"from": "human", "value": "q"}]}
    variants = [
        record,
        {**record, "tools": [{"name": "f"}]},
        {**record, "tools": [{"name": "g"}]},
        {**record, "image": "a"},
        {**record, "image": "data:image/png;base64,YQ=="},
        {**record, "image": "data:image/png;base64,Yg=="},
    ]
    assert len({mapper.sample(json.dumps(variant).encode()).sample_id for variant in variants}) == len(variants)
    same = {**record, "image": "data:image/jpeg;base64,YQ=="}
    assert (
        mapper.sample(json.dumps(same).encode()).sample_id == mapper.sample(json.dumps(variants[4]).encode()).sample_id
    )
    assert mapper.sample(json.dumps(same).encode()).blobs == [b"a"]


@properties
@given(record=llava_records, space=st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\n ")]), data=st.data())
def test_neither_spacing_escapes_nor_the_order_of_keys_matter(
    record: dict[str, Any], space: tuple[str, str], data: st.DataObject
) -> None:
    mapper, run = MAPPERS["llava"]
    try:
        run(record)
    except oracle.Unusable:
        return
    names = data.draw(st.permutations(list(record)))
    written = json.dumps(
        {name: record[name] for name in names}, separators=space, ensure_ascii=data.draw(st.booleans())
    )
    assert mapper.sample(written.encode()) == mapper.sample(json.dumps(record).encode())
