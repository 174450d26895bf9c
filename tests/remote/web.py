"""A web server on this machine that knows ranges and ETags, and can be told to misbehave in every way."""

from __future__ import annotations

import functools
import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What goes wrong with the request of this number (from 0), method and path; None is nothing.
Fault = Callable[[int, str, str], str | None]


def no_fault(_number: int, _method: str, _path: str) -> str | None:
    return None


@dataclass
class Web:
    """Files by path (`/a.jsonl`), what goes wrong, and what was asked: (method, path, range)."""

    files: dict[str, bytes] = field(default_factory=dict)
    fault: Fault = no_fault
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    slow_seconds: float = 1.0
    etags: bool = True
    port: int = 0
    _server: Any = None

    def start(self) -> Web:
        web = self

        class Handler(_Handler):
            owner = web

        server = _Server(("127.0.0.1", self.port), Handler, bind_and_activate=False)
        server.daemon_threads = True
        server.block_on_close = False
        server.allow_reuse_address = True
        server.server_bind()
        server.server_activate()
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """As if it was killed: connections that are open end, and no new ones are taken."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self.fault = lambda _number, _method, _path: "reset"

    def restart(self, fault: Fault = no_fault) -> None:
        self.fault = fault
        self.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def gets(self) -> list[tuple[str, str | None]]:
        return [(path, part) for method, path, part in self.asked if method == "GET"]


class _Server(ThreadingHTTPServer):
    def handle_error(self, _request: Any, _address: Any) -> None:
        """Clients that hang up before the end are what these tests are about."""


@functools.lru_cache(maxsize=32)
def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'


class _Handler(BaseHTTPRequestHandler):
    owner: Web
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def log_message(self, *_arguments: Any) -> None:
        pass

    def _answer(self, method: str) -> None:
        owner = self.owner
        wanted = self.headers.get("Range")
        number = len(owner.asked)
        owner.asked.append((method, self.path, wanted))
        data = owner.files.get(self.path)
        fault = owner.fault(number, method, self.path)
        match fault:
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            case "slow":
                time.sleep(owner.slow_seconds)
            case "500" | "503" | "403" | "401" | "404" | "429" | "400":
                self._send(int(fault), b"no", {})
                return
        if data is None:
            self._send(404, b"", {})
            return
        headers = {"ETag": _etag(data)} if owner.etags else {}
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted or "")
        if part is None or fault == "whole":
            self._send(200, data, headers, method=method)
            return
        start, stop = int(part[1]), min(int(part[2]) + 1, len(data))
        if start >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        if fault == "trimmed":
            stop = start + (stop - start) // 2
        body = data[start:stop]
        if fault == "elsewhere":
            body, start = data[: stop - start], 0
            stop = len(body)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(206, body, headers, cut=fault == "short")

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, method: str = "GET", cut: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if method == "GET" and self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True
