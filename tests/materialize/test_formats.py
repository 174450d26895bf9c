"""The files are what their formats say: read by the standard library, by pyarrow, and by those they are for."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recipe_compiler import kernels
from recipe_compiler.manifest import store
from runtime.copies import read
from runtime.materialize.records import extension
from runtime.stream import ManifestDataset
from tests.materialize.helpers import STREAMED, files, told_all
from tests.support import REPOSITORY, run_recipe

GOLDEN = Path(__file__).parent / "golden.json"


def peer(module: str, script: str, *arguments: Path) -> Any:
    """What a script prints as JSON, run where a package may warn as it likes; skipped where it is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"`{module}` is not installed")
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def parts(messages: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Who says what, in order; of media their kind."""
    return [(m["role"], part["type"], part.get("text") or "") for m in messages for part in m["content"]]


def expected(source: Path) -> list[tuple[list[tuple[str, str, str]], list[int]]]:
    """Of every draw its parts, and the sizes of its media."""
    return [(parts(sample[9]), [len(data) for _, data in sample[-1]]) for sample in told_all(source)]


def test_archives_are_plain_ustar_of_nobody(source: Path, written: dict[str, Path]) -> None:
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted((written["webdataset"] / "data").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
                file = tar.extractfile(member)
                assert file is not None
                key, _, ending = member.name.partition(".")
                found.setdefault(key, {})[ending] = file.read()
        data = path.read_bytes()
        with tarfile.open(path) as tar:
            for member in tar:
                again = tarfile.TarInfo(member.name)
                again.size = member.size
                assert data[member.offset : member.offset_data] == again.tobuf(tarfile.USTAR_FORMAT)
    assert list(found) == [f"{position:012}" for position in range(store.read(source).draws)]
    for members, sample in zip(found.values(), told_all(source), strict=True):
        record = json.loads(members.pop("json"))
        assert (record["id"], record["messages"]) == (sample[1], sample[9])
        assert [members[medium["member"]] for medium in record["media"]] == [data for _, data in sample[-1]]


def test_lines_are_json_and_their_media_are_files(source: Path, written: dict[str, Path]) -> None:
    data = written["jsonl"] / "data"
    lines = [line for path in sorted(data.glob("*.jsonl")) for line in path.read_bytes().split(b"\n")[:-1]]
    for line, sample in zip(lines, told_all(source), strict=True):
        record = json.loads(line)
        assert record["messages"] == sample[9]
        assert [(data / medium["path"]).read_bytes() for medium in record["media"]] == [item[1] for item in sample[-1]]
        assert record["images"] == [medium["path"] for medium in record["media"] if medium["kind"] == "image"]
    assert [path.name for path in data.rglob(".*")] == []


def test_parquet_rows_are_draws_with_their_media(source: Path, written: dict[str, Path]) -> None:
    rows = [
        row
        for path in sorted((written["parquet"] / "data").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    for row, sample in zip(rows, told_all(source), strict=True):
        assert (row["position"], row["id"]) == (sample[0], sample[1])
        shown = [part for message in sample[9] for part in message["content"] if part["type"] != "text"]
        for kind in ("image", "video"):
            contents = [sample[-1][part["media"]][1] for part in shown if part["type"] == kind]
            assert [file["bytes"] for file in row[f"{kind}s"]] == contents
        assert parts(row["messages"]) == parts(sample[9])


def test_bytes_are_named_by_what_they_are() -> None:
    cases = {
        b"\xff\xd8\xff\xe1": "jpg",
        b"RIFF\0\0\0\0WEBPVP8 ": "webp",
        b"\0\0\0\x20ftypisom": "mp4",
        b"\0\0\0\x20ftypavif": "avif",
        b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x86webm": "webm",
        b"GIF89a": "gif",
    }
    assert {data: extension(data, Path("x.png")) for data in cases} == cases
    assert (extension(b"?", Path("a/b.PNG")), extension(b"?", Path("a.py")), extension(b"?", None)) == (
        "png",
        "bin",
        "bin",
    )


def test_the_same_manifest_gives_the_same_files(written: dict[str, Path], request: pytest.FixtureRequest) -> None:
    """Parquet depends on who writes it; all others are the same everywhere."""
    found = {}
    for kind in STREAMED:
        contents = [part for item in files(written[kind] / "data").items() for part in (item[0].encode(), item[1])]
        found[kind] = kernels.digest_parts("golden", contents)
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("kind", STREAMED)
def test_no_file_of_several_draws_is_too_large(kind: str, written: dict[str, Path]) -> None:
    copy = read(written[kind], store.read(written[kind]))
    assert copy is not None
    sizes = [file.size for file in copy.files if file.draws > 1]
    assert 0.7 * copy.shard_bytes < max(sizes) <= copy.shard_bytes


def test_webdataset_reads_it(source: Path, written: dict[str, Path]) -> None:
    script = """if True:
        import glob, json, sys, webdataset
        found = []
        for sample in webdataset.WebDataset(sorted(glob.glob(sys.argv[1] + "/*.tar")), shardshuffle=False):
            record = json.loads(sample["json"])
            found.append([record["messages"], [len(sample[medium["member"]]) for medium in record["media"]]])
        print(json.dumps(found))"""
    found = peer("webdataset", script, written["webdataset"] / "data")
    assert [(parts(messages), sizes) for messages, sizes in found] == expected(source)


def test_mosaicml_streaming_reads_it(source: Path, written: dict[str, Path], tmp_path: Path) -> None:
    script = """if True:
        import json, sys
        from streaming import StreamingDataset
        data = StreamingDataset(local=sys.argv[1], shuffle=False, batch_size=1)
        found = []
        for at in range(len(data)):
            record = data[at]["record"]
            assert sum(medium["bytes"] for medium in record["media"]) == len(data[at]["media"])
            found.append([record["messages"], [medium["bytes"] for medium in record["media"]]])
        print(json.dumps(found))"""
    found = peer("streaming", script, written["mds"] / "data")
    assert [(parts(messages), sizes) for messages, sizes in found] == expected(source)


def test_datasets_reads_parquet_and_lines(source: Path, written: dict[str, Path], tmp_path: Path) -> None:
    script = """if True:
        import json, sys, datasets
        datasets.disable_progress_bars()
        kind, folder, cache = sys.argv[1].rsplit("/")[-1], sys.argv[2], sys.argv[3]
        data = datasets.load_dataset(kind, data_files=folder + "/*." + ("parquet" if kind == "parquet" else "jsonl"),
                                     split="train", cache_dir=cache)
        if kind == "parquet":
            assert isinstance(data.features["images"].feature, datasets.Image), data.features
            data = data.cast_column("images", datasets.List(datasets.Image(decode=False)))
        print(json.dumps([row["messages"] for row in data]))"""
    for kind, ours in (("parquet", "parquet"), ("json", "jsonl")):
        found = peer("datasets", script, Path(kind), written[ours] / "data", tmp_path / kind)
        assert [parts(messages) for messages in found] == [told for told, _ in expected(source)]


def test_a_copy_is_shown_measured_and_verified(written: dict[str, Path]) -> None:
    shown = run_recipe("show", "mds", "--position", "9", "--format", "json", cwd=written["mds"].parent)
    assert json.loads(shown.out)[0]["sample_id"] == ManifestDataset(written["mds"])[9].sample_id
    measured = run_recipe("bench", "jsonl", "--format", "json", cwd=written["mds"].parent)
    assert json.loads(measured.out)["samples"] == len(ManifestDataset(written["jsonl"]))
    verified = run_recipe("verify", "parquet", cwd=written["mds"].parent)
    copy = read(written["parquet"], store.read(written["parquet"]))
    assert copy is not None
    told = f"{len(copy.files)} of {len(copy.files)} files of the copy are as written ({copy.num_bytes / 1e6:,.1f} MB)"
    assert (verified.code, verified.out.splitlines()[1]) == (0, told)
