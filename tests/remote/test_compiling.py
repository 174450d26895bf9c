"""Remote pools in recipes: listed in no order, told of where they cannot be read, and never with a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
import requests
from fsspec.config import conf

from recipe_compiler.cli import main
from recipe_compiler.diagnostics import render
from recipe_compiler.errors import ManifestCorrupt
from recipe_compiler.manifest import codec, store
from runtime.stream import ManifestDataset
from tests.remote.conftest import Bucket
from tests.remote.data import compiled_from, content, files, jsonl, picture
from tests.remote.web import Web
from tests.support import Ran, compile_text, questions, rejected, run_recipe, write_recipe

POOL = """recipe: 1
name: far
pools: {{a: {{source: "{}", format: qa}}}}
"""


def test_a_pattern_names_files_in_the_order_of_their_names(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "deeper/c.jsonl", "other.txt", "Z.jsonl"):
        bucket.put(f"pool/{name}", jsonl(questions(name, 3)))
    built = compile_text(tmp_path, POOL.format(bucket.url("pool/*.jsonl")))
    assert [source.path for source in built.manifest.sources] == [
        bucket.url(f"pool/{name}") for name in ("Z.jsonl", "a.jsonl", "b.jsonl")
    ]
    found = rejected(tmp_path, POOL.format(bucket.url("pool/*.csv")))
    assert [(one.code, one.headline) for one in found] == [
        ("resolve.no-files", f"`{bucket.url('pool/*.csv')}` matches no file")
    ]
    found = rejected(tmp_path, POOL.format(bucket.url("nothing.jsonl")))
    assert [(one.code, one.headline) for one in found] == [
        ("resolve.no-files", f"`{bucket.url('nothing.jsonl')}` is not there")
    ]


def test_media_below_a_prefix_are_listed_once(bucket: Bucket, tmp_path: Path) -> None:
    record = {"conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]}
    pictured = [{"id": f"{number}", "image": f"{number}.png", **record} for number in range(4)]
    source = bucket.put("pool/a.jsonl", jsonl(pictured))
    for number in range(3):
        bucket.put(f"images/{number}.png", picture(number))
    text = f'recipe: 1\nname: far\npools: {{a: {{source: "{source}", media: "{bucket.url("images")}"MORE}}}}\n'
    (found,) = rejected(tmp_path, text.replace("MORE", ""))
    assert (found.code, found.notes) == ("resolve.missing-media", (f"{bucket.url('images')}/3.png",))
    built = compile_text(tmp_path, text.replace("MORE", ", missing_media: drop"))
    assert built.manifest.draws == 3
    samples = ManifestDataset(tmp_path / "out").read(range(3))
    assert sorted(sample.media[0].read() for sample in samples) == sorted(picture(number) for number in range(3))
    assert samples[0].media[0].image().size[1] == 8


def test_a_web_server_lists_no_media(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    text = (
        f'recipe: 1\nname: far\npools: {{d: {{source: "{web.url("/pool/d.jsonl")}", media: "{web.url("/pool/images")}"'
    )
    write_recipe(tmp_path, text + "}}\n")
    done = run_recipe("compile", "recipe.yaml", cwd=tmp_path)
    assert done.code == 0
    assert "warning[note.unlisted]: pool `d`: a web server lists no files" in done.err
    (found,) = rejected(tmp_path, text + ", missing_media: drop}}\n")
    assert found.code == "resolve.no-media"


def test_a_file_without_access_is_told(web: Web, tmp_path: Path) -> None:
    web.files["/a.jsonl"] = jsonl(questions("a", 3))
    web.fault = lambda _number, _method, _path: "403"
    (found,) = rejected(tmp_path, POOL.format(web.url("/a.jsonl")))
    assert (found.code, found.headline) == ("resolve.denied", f"`{web.url('/a.jsonl')}`: the store denies access")


@pytest.fixture
def strict(s3_endpoint: str) -> Iterator[None]:
    """The S3 server asks who one is, until the test is over."""
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()
    yield
    requests.post(f"{s3_endpoint}/moto-api/reset-auth", data="inf", timeout=10).raise_for_status()


def test_wrong_credentials_are_told_and_stay_secret(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: None
) -> None:
    wrong = {**conf["s3"], "key": "AKIAHUNTER2", "secret": "hunter2"}
    monkeypatch.setitem(conf, "s3", wrong)
    fsspec.filesystem("s3").clear_instance_cache()
    for source in (bucket.url("a.jsonl"), bucket.url("*.jsonl")):
        (found,) = rejected(tmp_path, POOL.format(source))
        assert (found.code, found.headline) == ("resolve.denied", f"`{source}`: the store denies access")
        assert "credentials" in found.help and "unter2" not in repr(found).lower()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://me:hunter2@example.com/a.jsonl", "carries a secret"),
        ("https://example.com/a.jsonl?X-Amz-Signature=hunter2", "carries a secret"),
        ("s3://lab/a.jsonl?token=hunter2", "carries a secret"),
        ("https://example.com/a.jsonl#hunter2", "carries a secret"),
        ("file:///etc/passwd", "`file://` is not read"),
        ("memory://a/b", "`memory://` is not read"),
        ("git://repository/a", "`git://` is not read"),
        ("simplecache::s3://lab/a.jsonl", "is no URL of a file"),
        ("zip://a.jsonl::s3://lab/a.zip", "is no URL of a file"),
        ("s3://lab/../../etc/passwd", "names no file"),
        ("s3://lab", "names no file"),
        ("https://example.com/*.jsonl", "a web server lists no files"),
    ],
)
def test_urls_that_are_not_read(url: str, reason: str, tmp_path: Path) -> None:
    found = rejected(tmp_path, POOL.format(url))
    for text in (render.full(found, colour=False), render.as_json(found), render.concise(found)):
        assert "resolve.url" in text and reason in text
        assert "hunter2" not in text
    assert not (tmp_path / ".recipe").exists()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "memory://a/b", "https://me:hunter2@example.com/a", "s3://a/../b"]
)
def test_a_manifest_cannot_name_what_a_recipe_cannot(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(questions("a", 3)))
    built = compile_text(tmp_path, POOL.format("a.jsonl"))
    for table, key in (("sources", "path"), ("pools", "media")):
        document = json.loads(codec.encode(built.manifest))
        document[table][0][key] = url
        data = (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        (tmp_path / "out/manifest.json").write_bytes(data)
        with pytest.raises(ManifestCorrupt, match="not a manifest") as raised:
            store.read(tmp_path / "out")
        assert "hunter2" not in str(raised.value)


def told(done: Ran) -> str:
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", done.out + done.err)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs `recipe` in this process, in a folder."""
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str, cwd: Path) -> Ran:
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        code = main.run(list(arguments))
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


def test_commands_on_remote_pools_and_manifests(web: Web, tmp_path: Path, command: Callable[..., Ran]) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    built = compiled_from(tmp_path, web.url("/pool"))
    for path in (tmp_path / "out").rglob("*.*"):
        if path.is_file():
            web.files[f"/release/{path.relative_to(tmp_path / 'out')}"] = path.read_bytes()
    there = tmp_path / "elsewhere"
    there.mkdir()
    release = web.url("/release")

    done = command("verify", "out", cwd=tmp_path)
    assert (done.code, done.out.splitlines()[1]) == (0, "4 of 4 sources are as compiled")
    done = command("verify", release, cwd=there)
    assert done.code == 0
    assert "0 of 4 sources are as compiled\n4 remote, of the size that was compiled; `--deep` reads" in done.out
    done = command("verify", release, "--deep", cwd=there)
    assert (done.code, done.out.splitlines()[1]) == (0, "4 of 4 sources are as compiled")

    done = command("show", release, "--format", "json", cwd=there)
    assert json.loads(done.out)["ids"]["manifest"] == built.manifest.ids.manifest
    done = command("show", release, "--step", "12", "--batch", "8", "--format", "json", cwd=there)
    shown = json.loads(done.out)
    assert done.code == 0 and len(shown) == 8
    assert any(media["url"].startswith(web.url("/pool/images/")) for draw in shown for media in draw["media"])
    done = command("bench", release, "--batch", "8", cwd=there)
    assert done.code == 0 and f"{built.manifest.draws} samples" in done.out
    done = command("explain", release, "a-7", cwd=there)
    assert done.code == 0 and "a-7" in done.out
    done = command("diff", release, str(tmp_path / "out"), "--exit-code", cwd=there)
    assert done.code == 0
    done = command("tree", "recipe.yaml", cwd=tmp_path)
    assert done.code == 0 and "HOST/pool/a.jsonl" in told(done)
    done = command("lock", "recipe.yaml", cwd=tmp_path)
    assert done.code == 0
    assert command("compile", "recipe.yaml", "--locked", cwd=tmp_path).code == 0

    web.files["/pool/a.jsonl"] = web.files["/pool/a.jsonl"].replace(b"It is 7.", b"It is 8.")
    done = command("verify", release, "--deep", cwd=there)
    assert done.code == 1
    assert re.search(
        r"changed: http://HOST/pool/a.jsonl: other bytes than were compiled; the first differing row: position [\d,]+, byte",
        told(done),
    )
    done = command("compile", "recipe.yaml", "--locked", cwd=tmp_path)
    assert done.code == 1 and "`http://HOST/pool/a.jsonl` has other bytes" in told(done)

    web.fault = lambda _number, _method, _path: "503"
    done = command("verify", release, cwd=there)
    assert done.code == 1
    assert told(done) == "error: http://HOST/release/manifest.json: HTTP 503, after 4 tries\n"
    done = command("show", web.url("/release?token=hunter2"), cwd=there)
    assert done.code == 1 and "carries a secret" in done.err and "hunter2" not in done.err


def test_a_release_can_be_looked_into_after_its_store_is_gone(web: Web, tmp_path: Path) -> None:
    web.files = {f"/pool/{name}": data for name, data in files().items()}
    compiled_from(tmp_path, web.url("/pool"))
    web.stop()
    done = run_recipe("explain", "out", "a-7", cwd=tmp_path)
    assert done.code == 0, done.err
    # And what was fetched to compile it is still read, but for the media that were not.
    samples = [sample for sample in ManifestDataset(tmp_path / "out").read(range(60)) if not sample.media]
    assert len(content(samples)) == 60
