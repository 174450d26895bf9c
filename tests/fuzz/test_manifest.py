"""Any document is a manifest that can be read, or is refused as none; whatever it names, and with its ids made right."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from recipe_compiler import kernels
from recipe_compiler.errors import RecipeError
from recipe_compiler.manifest import codec, store
from runtime.reader import Reader
from tests.fuzz import mutate
from tests.support import compile_text, questions, write_jsonl

RECIPE = """recipe: 1
name: fuzz
pools:
  a: {source: a.jsonl}
  b: {source: b.csv}
stages: [{name: one, where: pool == "a"}, {name: two}]
shard: {rows: 5}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "a.jsonl", questions("a", 7, image="a.png"))
    (tmp_path / "b.csv").write_text("question,answer\nq,a\np,b\n")
    compile_text(tmp_path, RECIPE)
    return tmp_path


def sealed(document: Any) -> bytes:
    """The text of a document whose own ids are right, as one who wants to be believed would write it."""
    if isinstance(document, dict) and isinstance(document.get("ids"), dict):
        blank = {**document["ids"], "manifest": "", "texts": ""}
        with suppress(UnicodeEncodeError, TypeError, KeyError, AttributeError):
            unwritten = {**document, "texts": [], "ids": blank}
            document["ids"]["manifest"] = kernels.digest_parts("manifest", [written(unwritten)])
            parts = [part.encode() for text in document["texts"] for part in (text["name"], text["text"])]
            document["ids"]["texts"] = kernels.digest_parts("texts", parts)
    return written(document, errors="surrogatepass")


def written(document: Any, errors: str = "strict") -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(errors=errors)


def check_document(folder: Path, data: bytes) -> None:
    path = folder / "out" / store.DOCUMENT
    path.write_bytes(data)
    with suppress(RecipeError):
        manifest = codec.decode(data, str(path))
        assert codec.encode(manifest) == data
        assert codec.decode(codec.encode(manifest), str(path)) == manifest
    with suppress(RecipeError):
        store.verify(folder / "out", folder)
    with suppress(RecipeError):
        reader = Reader(folder / "out", root=folder, cache=folder / ".cache")
        for position in range(len(reader)):
            reader.sample(position)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


@pytest.mark.parametrize("path", sorted(mutate.CORPUS.glob("*.json")), ids=lambda path: path.name)
def test_a_document_that_once_failed(folder: Path, path: Path) -> None:
    check_document(folder, path.read_bytes())


def test_a_manifest_reads_back_as_itself(folder: Path) -> None:
    manifest = store.read(folder / "out")
    assert codec.decode(codec.encode(manifest), "") == manifest


@pytest.mark.timeout(0)
def test_any_document_is_a_manifest_or_is_refused(folder: Path) -> None:
    good = json.loads((folder / "out" / store.DOCUMENT).read_bytes())
    texts = [written(good).decode()]
    for chance in mutate.chances(300):
        if chance.random() < 0.8:
            data = sealed(mutate.document(chance, good))
        else:
            data = mutate.text(chance, texts, ("{", "}", "[" * 3000, "9" * 5000, "NaN", ",", "\\ud800")).encode()
        name = f"manifest-{hashlib.sha256(data).hexdigest()[:12]}.json"
        mutate.keep(name, data, lambda data=data: check_document(folder, data))  # type: ignore[misc]
