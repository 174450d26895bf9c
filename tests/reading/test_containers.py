"""Law 1: what a sample is does not depend on how it is written down."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recipe_compiler.manifest.schema import Manifest
from runtime.stream import ManifestDataset
from tests.reading.helpers import CONTAINERS, WRAPPINGS, Container, Records, json_lines, parquet, tar, web_dataset
from tests.support import compile_text

NUM_SAMPLES = 38

#: Texts that containers quote, escape or break.
TEXTS = (
    "plain",
    'with "quotes" and, commas\tand tabs',
    "two\nlines",
    "two\r\nlines of another system",
    "日本語とçédille",
    "emoji 👩‍👩‍👧 and \u2028 a separator",
    "back\\slash \\n and {braces} [brackets]",
    "  spaces around  ",
)


def text(number: int, what: str) -> str:
    return f"{what} {number}: {TEXTS[number % len(TEXTS)]}"


def openai(number: int) -> dict[str, Any]:
    turns = [("system", "Be kind."), ("user", text(number, "q")), ("assistant", text(number, "a"))]
    messages = [{"role": role, "content": content} for role, content in turns[number % 2 :]]
    return {"id": f"s{number}", "messages": messages, "images": [f"i/{number}.png"] if number % 3 else []}


def openai_parts(number: int) -> dict[str, Any]:
    picture = {"type": "image_url", "image_url": {"url": f"i/{number}.png"}}
    question: list[dict[str, Any]] = [{"type": "text", "text": text(number, "q")}]
    answer = [{"type": "text", "text": text(number, "a")}]
    if number % 3:
        question.insert(number % 2, picture)
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def swift(number: int) -> dict[str, Any]:
    marks = "<image>" * (number % 3)
    messages = [
        {"role": "user", "content": marks + text(number, "q")},
        {"role": "assistant", "content": text(number, "a")},
    ]
    return {"messages": messages, "images": [f"{number}-{image}.jpg" for image in range(number % 3)]}


def swift_history(number: int) -> dict[str, Any]:
    history = [[text(number, f"h{turn}"), text(number, f"r{turn}")] for turn in range(number % 3)]
    return {"system": "Be brief.", "query": text(number, "q"), "response": text(number, "a"), "history": history}


def llava(number: int) -> dict[str, Any]:
    turns = [{"from": "human", "value": f"<image>\n{text(number, 'q')}"}, {"from": "gpt", "value": text(number, "a")}]
    return {"id": number, "image": f"coco/{number:012}.jpg", "conversations": turns}


def llava_some_pictures(number: int) -> dict[str, Any]:
    turns = [{"from": "human", "value": text(number, "q")}, {"from": "gpt", "value": text(number, "a")}]
    return {"id": str(number), "image": f"{number}.jpg" if number % 2 == 0 else None, "conversations": turns}


def sharegpt(number: int) -> dict[str, Any]:
    turns = [{"from": "human", "value": text(number, "q")}, {"from": "gpt", "value": text(number, "a")}] * 2
    return {"system": f"You are number {number}.", "conversations": turns}


def alpaca(number: int) -> dict[str, Any]:
    return {"instruction": text(number, "i"), "input": text(number, "x"), "output": text(number, "o")}


def alpaca_history(number: int) -> dict[str, Any]:
    history = [[text(number, f"h{turn}"), text(number, f"r{turn}")] for turn in range(number % 4)]
    return {"instruction": text(number, "i"), "input": None, "output": text(number, "o"), "history": history}


def qa(number: int) -> dict[str, Any]:
    return {"question_id": f"id-{number}", "question": text(number, "q"), "answer": text(number, "a")}


def qa_list(number: int) -> dict[str, Any]:
    choices = [text(number, f"c{choice}") for choice in range(2 + number % 3)]
    return {"question": text(number, "q"), "choices": choices, "answer": number % 2}


def qa_dict(number: int) -> dict[str, Any]:
    choices = {letter: text(number, letter) for letter in "ABCD"[: 2 + number % 3]}
    return {"question": text(number, "q"), "choices": choices, "answer": "AB"[number % 2]}


def qa_columns(number: int) -> dict[str, Any]:
    record = {"question": text(number, "q"), **{letter: text(number, letter) for letter in "ABCD"}}
    return {**record, "answer": "ABCD"[number % 4], "image": f"{number}.png"}


def caption(number: int) -> dict[str, Any]:
    return {"image": f"{number}.webp", "caption": text(number, "c")}


def videochat(number: int) -> dict[str, Any]:
    exchanges = [{"q": text(number, f"q{turn}"), "a": text(number, f"a{turn}")} for turn in range(1 + number % 3)]
    return {"video": f"{number}.mp4", "QA": exchanges}


def own_fields(number: int) -> dict[str, Any]:
    return {
        "meta": {"ask": {"text": text(number, "q")}, "source": "x"},
        "replies": [text(number, "a"), "worse"],
        "pics": [f"{number}-{picture}.png" for picture in range(number % 3)],
        "name": f"n{number}",
    }


@dataclass(frozen=True, slots=True)
class Shape:
    """Records of one preset."""

    record: Callable[[int], dict[str, Any]]
    preset: str
    flat: bool = False
    options: str = ""

    def records(self) -> list[dict[str, Any]]:
        """All different, but for two that come again."""
        records = [self.record(number) for number in range(NUM_SAMPLES)]
        return [*records, records[3], records[11]]


SHAPES = {
    "openai": Shape(openai, "openai"),
    "openai parts": Shape(openai_parts, "openai"),
    "swift": Shape(swift, "openai"),
    "swift by name": Shape(swift, "swift", options=", format: swift"),
    "swift history": Shape(swift_history, "swift"),
    "llava": Shape(llava, "llava"),
    "llava some pictures": Shape(llava_some_pictures, "llava"),
    "sharegpt": Shape(sharegpt, "sharegpt"),
    "alpaca": Shape(alpaca, "alpaca", flat=True),
    "alpaca history": Shape(alpaca_history, "alpaca"),
    "qa": Shape(qa, "qa", flat=True),
    "qa list": Shape(qa_list, "qa"),
    "qa dict": Shape(qa_dict, "qa"),
    "qa columns": Shape(qa_columns, "qa", flat=True),
    "caption": Shape(caption, "caption", flat=True),
    "videochat": Shape(videochat, "videochat"),
    "own fields": Shape(
        own_fields,
        "fields",
        options=", fields: {key: name, user: meta.ask.text, assistant: 'replies[0]', images: 'pics?'}",
    ),
}

RECIPE = """recipe: 1
name: law
seed: 7
pools:
  pool: {{source: "data/*"{options}}}
select: {{budget: {{count: 29}}}}
"""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What law 1 is about."""

    manifest: Manifest
    samples: list[tuple[str, str, str, str | None]]


def compile_files(folder: Path, files: dict[str, bytes], options: str) -> Compiled:
    (folder / "data").mkdir(parents=True)
    for name, data in files.items():
        (folder / "data" / name).write_bytes(data)
    built = compile_text(folder, RECIPE.format(options=options))
    dataset = ManifestDataset(folder / "out")
    samples = [dataset[position] for position in range(len(dataset))]
    texts = [
        (sample.sample_id, json.dumps(sample.messages), str([media.path for media in sample.media]), sample.tools)
        for sample in samples
    ]
    return Compiled(built.manifest, [(a, b, c.replace(str(folder), ""), d) for a, b, c, d in texts])


def in_shards(records: Records, write: Callable[[Records], bytes], ending: str) -> dict[str, bytes]:
    return {f"part-{shard}{ending}": write(records[shard::3]) for shard in range(3)}


def assert_same(found: Compiled, expected: Compiled, preset: str) -> None:
    ids, wanted = found.manifest.ids, expected.manifest.ids
    assert found.manifest.pools[0].preset == preset
    assert (ids.pools, ids.selection, ids.order) == (wanted.pools, wanted.selection, wanted.order)
    assert found.samples == expected.samples


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Compiled]:
    """What a shape compiles to from plain JSON Lines in one file."""
    known: dict[str, Compiled] = {}

    def compiled(name: str) -> Compiled:
        if name not in known:
            shape = SHAPES[name]
            folder = tmp_path_factory.mktemp("reference")
            known[name] = compile_files(folder, {"all.jsonl": json_lines(shape.records())}, shape.options)
            assert known[name].manifest.pools[0].samples == NUM_SAMPLES + 2
            assert known[name].manifest.draws == 29
        return known[name]

    return compiled


#: A cell of a flat container holds no list.
WRITABLE = [
    pytest.param(name, container, id=f"{name}-{container.name}")
    for name, shape in SHAPES.items()
    for container in CONTAINERS
    if shape.flat or not container.flat
]


@pytest.mark.parametrize(("name", "container"), WRITABLE)
def test_identities_do_not_depend_on_the_container(
    tmp_path: Path, reference: Callable[[str], Compiled], name: str, container: Container
) -> None:
    shape = SHAPES[name]
    records = shape.records()
    for ending, wrap in WRAPPINGS.items():
        if container.name == "parquet" and ending:
            continue  # compresses itself; see below
        name_ending = container.ending + ending

        def write(part: Records, wrap: Callable[[bytes], bytes] = wrap) -> bytes:
            return wrap(container.write(part))

        one = compile_files(tmp_path / f"one{ending}", {f"all{name_ending}": write(records)}, shape.options)
        assert_same(one, reference(name), shape.preset)
        three = compile_files(tmp_path / f"three{ending}", in_shards(records, write, name_ending), shape.options)
        assert_same(three, reference(name), shape.preset)


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize("name", ["llava", "qa dict", "alpaca history"])
def test_identities_do_not_depend_on_how_parquet_is_written(
    tmp_path: Path, reference: Callable[[str], Compiled], name: str, compression: str
) -> None:
    shape = SHAPES[name]
    variants: list[dict[str, Any]] = [
        {"row_group_size": 1},
        {"row_group_size": 7, "use_dictionary": False},
        {"row_group_size": 1000, "data_page_version": "2.0"},
        {"version": "1.0", "write_statistics": False},
    ]
    for number, options in enumerate(variants):
        data = parquet(shape.records(), compression=compression, **options)
        found = compile_files(tmp_path / str(number), {"all.parquet": data}, shape.options)
        assert_same(found, reference(name), shape.preset)


def test_containers_may_stand_side_by_side(tmp_path: Path, reference: Callable[[str], Compiled]) -> None:
    shape = SHAPES["qa"]
    records = shape.records()
    files = {}
    for number, container in enumerate(CONTAINERS):
        ending, wrap = list(WRAPPINGS.items())[number % 3 if container.name != "parquet" else 0]
        files[f"part-{number}{container.ending}{ending}"] = wrap(container.write(records[number :: len(CONTAINERS)]))
    assert_same(compile_files(tmp_path, files, ", format: qa"), reference("qa"), "qa")


def test_a_name_says_csv_in_any_case(tmp_path: Path, reference: Callable[[str], Compiled]) -> None:
    shape = SHAPES["qa"]
    csv = next(container for container in CONTAINERS if container.name == "csv")
    for number, (ending, wrap) in enumerate({".CSV": WRAPPINGS[""], ".CSV.GZ": WRAPPINGS[".gz"]}.items()):
        data = wrap(csv.write(shape.records()))
        assert_same(compile_files(tmp_path / str(number), {f"ALL{ending}": data}, ""), reference("qa"), "qa")


def test_a_name_does_not_say_how_json_is_written(tmp_path: Path, reference: Callable[[str], Compiled]) -> None:
    shape = SHAPES["llava"]
    records = shape.records()
    for number, (name, container) in enumerate(
        [("a.json", "json lines"), ("a.jsonl", "json array"), ("a.txt", "json object"), ("a", "wrapped list")]
    ):
        write = next(item.write for item in CONTAINERS if item.name == container)
        found = compile_files(tmp_path / str(number), {name: write(records)}, shape.options)
        assert_same(found, reference("llava"), "llava")


def test_compression_is_told_by_content(tmp_path: Path, reference: Callable[[str], Compiled]) -> None:
    shape = SHAPES["llava"]
    for ending, wrap in WRAPPINGS.items():
        data = wrap(json_lines(shape.records()))
        found = compile_files(tmp_path / f"x{ending}", {"a.jsonl": data}, shape.options)
        assert_same(found, reference("llava"), "llava")


def test_several_members_of_a_compressed_file_are_one_stream(
    tmp_path: Path, reference: Callable[[str], Compiled]
) -> None:
    shape = SHAPES["llava"]
    lines = json_lines(shape.records()).splitlines(keepends=True)
    for ending in (".gz", ".zst"):
        wrap = WRAPPINGS[ending]
        data = b"".join(wrap(line) for line in lines)
        found = compile_files(tmp_path / f"x{ending}", {f"a.jsonl{ending}": data}, shape.options)
        assert_same(found, reference("llava"), "llava")


def test_a_zstandard_file_may_begin_with_a_skippable_frame(
    tmp_path: Path, reference: Callable[[str], Compiled]
) -> None:
    """As parallel and seekable compressors write it (RFC 8878, 3.1.2)."""
    shape = SHAPES["llava"]
    frame = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"size"
    data = frame + WRAPPINGS[".zst"](json_lines(shape.records()))
    assert_same(compile_files(tmp_path, {"a.jsonl.zst": data}, shape.options), reference("llava"), "llava")


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax", "pax with a global header", "pax with float times"])
def test_identities_do_not_depend_on_the_dialect_of_tar(
    tmp_path: Path, reference: Callable[[str], Compiled], form: str
) -> None:
    shape = SHAPES["caption"]
    folder = "a/very/long/folder/" * 4
    members = [
        (f"{folder}{number:06}.json", json.dumps(record).encode()) for number, record in enumerate(shape.records())
    ]
    if form == "pax with a global header":
        data = tar(members, tarfile.PAX_FORMAT, pax_headers={"comment": "made by git archive"})
    elif form == "pax with float times":
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(content), 1.5
                archive.addfile(info, io.BytesIO(content))
        data = buffer.getvalue()
    else:
        data = tar(members, {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT}.get(form, tarfile.PAX_FORMAT))
    found = compile_files(tmp_path, {"a.tar": data}, shape.options)
    assert_same(found, reference("caption"), "caption")


def test_embedded_bytes_are_the_same_sample_in_json_parquet_and_tar(tmp_path: Path) -> None:
    picture = bytes(range(256))
    uri = "data:image/png;base64," + base64.b64encode(picture).decode()
    turns = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "A picture."}]
    in_json = json_lines([{"image": uri, "conversations": turns}] * 30)
    in_parquet = parquet([{"image": {"bytes": picture, "path": None}, "conversations": turns}] * 30)
    record = json.dumps({"conversations": turns}).encode()
    in_tar = tar(
        [(f"{number}.{ending}", data) for number in range(30) for ending, data in (("json", record), ("png", picture))]
    )
    found = [
        compile_files(tmp_path / name.replace(".", "-"), {name: data}, "")
        for name, data in (("a.jsonl", in_json), ("a.parquet", in_parquet), ("a.tar", in_tar))
    ]
    assert len({(item.manifest.ids.selection, item.manifest.ids.order) for item in found}) == 1


def test_the_order_of_records_in_a_pool_is_no_part_of_the_identities(
    tmp_path: Path, reference: Callable[[str], Compiled]
) -> None:
    shape = SHAPES["qa list"]
    data = web_dataset(shape.records()[::-1])
    assert_same(compile_files(tmp_path, {"z.tar": data}, shape.options), reference("qa list"), "qa")


def test_another_content_is_another_identity(tmp_path: Path, reference: Callable[[str], Compiled]) -> None:
    shape = SHAPES["qa"]
    records = shape.records()
    for number, change in enumerate(({"question": "other"}, {"answer": "other"})):
        changed = [{**records[0], **change}, *records[1:]]
        found = compile_files(tmp_path / str(number), {"a.jsonl": json_lines(changed)}, shape.options)
        assert found.manifest.ids.pools != reference("qa").manifest.ids.pools
    renamed = [{**record, "question_id": f"new-{number}"} for number, record in enumerate(records)]
    found = compile_files(tmp_path / "renamed", {"a.jsonl": json_lines(renamed)}, shape.options)
    assert found.manifest.ids.order == reference("qa").manifest.ids.order
