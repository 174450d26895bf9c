"""Servers on this machine: a web server for each test, and one S3 server for all."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.config import conf

from tests.remote.web import Web


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web().start()
    yield server
    server.stop()


@pytest.fixture(params=["http", "s3"])
def place(request: pytest.FixtureRequest, web: Web, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The URL of a path of the web server, over HTTP, or over S3 as an object of its first folder."""
    if request.param == "http":
        return web.url
    # What S3's clients ask for objects is what HTTP's ask, path style, with a signature that this server takes no notice of.
    options = {
        "endpoint_url": web.url(""),
        "key": "tests",
        "secret": "tests",
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    monkeypatch.setitem(conf, "s3", options)
    return lambda path: f"s3:/{path}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of its own of an S3 server, whose options stand in fsspec's configuration and in `environment`."""

    name: str
    endpoint: str
    environment: Mapping[str, str]
    fs: Any

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, data: bytes) -> str:
        self.fs.pipe_file(f"{self.name}/{key}", data)
        return self.url(key)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=log,
        stderr=log,
        env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true"},
    )
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert server.poll() is None, "the S3 server did not start"
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()
    log.close()


@pytest.fixture
def bucket(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    options = {
        "endpoint_url": s3_endpoint,
        "key": "tests",
        "secret": "tests",
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    monkeypatch.setitem(conf, "s3", options)
    name = f"bucket-{os.getpid()}-{abs(hash(tmp_path)) % 10**9}"
    fs = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    fs.call_s3("create_bucket", Bucket=name)
    return Bucket(name, s3_endpoint, {"FSSPEC_S3": json.dumps(options)}, fs)
