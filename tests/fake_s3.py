"""An S3 that answers as a test says: for what the embedded AWS never does, such as errors inside an answer of 200, or no HTTP at all."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Union
from urllib.parse import parse_qs, unquote, urlparse

import boto3
from botocore.config import Config


@dataclass(frozen=True)
class Asked:
    """A request: ``what`` is its method and, in brackets, its subresource, as in ``POST [delete]``."""

    what: str
    bucket: str
    key: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int = -1
    """What Content-Length says, where it lies."""


@dataclass(frozen=True)
class Wire:
    """What goes over the wire as it stands: bytes, and seconds between them. Then the connection is closed, or reset, or kept."""

    parts: Iterable[Union[bytes, float]] = ()
    after: str = "close"


Answers = Callable[[Asked], Union[Answer, Wire]]


SLOW_DOWN = Answer(
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", 503
)


class Throttling:
    """Answers as ``answer`` does, but not more than so many requests a second (those of a tenth of it at once), or so many at a time."""

    def __init__(
        self,
        answer: Answers,
        *,
        per_second: float = 1e9,
        at_once: int = 1_000_000,
        taking: float = 0.0,
    ) -> None:
        self.refused = 0
        self._answer = answer
        self._per_second, self._at_once, self._taking = per_second, at_once, taking
        self._credit, self._last = per_second / 10, time.monotonic()
        self._busy = 0
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Union[Answer, Wire]:
        with self._lock:
            now = time.monotonic()
            self._credit = min(
                self._credit + (now - self._last) * self._per_second, self._per_second / 10
            )
            self._last = now
            if self._credit < 1 or self._busy >= self._at_once:
                self.refused += 1
                return SLOW_DOWN
            self._credit -= 1
            self._busy += 1
        try:
            time.sleep(self._taking)
            return self._answer(asked)
        finally:
            with self._lock:
                self._busy -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    answer: Answers
    asked: list[Asked]
    greeting: Callable[[], Union[Wire, None]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle(self) -> None:
        greeting = self.server.greeting()
        if greeting is None:
            super().handle()
        else:
            self._send(greeting)

    def _do(self) -> None:
        place = urlparse(self.path)
        query = parse_qs(place.query, keep_blank_values=True)
        names = [
            name
            for name in ("delete", "uploads", "uploadId", "tagging", "list-type", "versions")
            if name in query
        ]
        headers = {name.lower(): value for name, value in self.headers.items()}
        bucket, _, key = place.path[1:].partition("/")
        asked = Asked(
            f"{self.command} [{names[0]}]" if names else self.command,
            bucket,
            unquote(key),
            query,
            headers,
            self._body(),
        )
        self.server.asked.append(asked)
        answer = self.server.answer(asked)
        if isinstance(answer, Wire):
            self._send(answer)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header(
                "Content-Length", str(answer.length if answer.length >= 0 else len(answer.body))
            )
        if 0 <= answer.length != len(answer.body):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else answer.body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def _send(self, wire: Wire) -> None:
        self.close_connection = wire.after != "keep"
        with suppress(OSError):
            for part in wire.parts:
                if isinstance(part, bytes):
                    self.wfile.write(part)
                elif select.select([self.connection], [], [], part)[0] and not self.connection.recv(
                    1, socket.MSG_PEEK
                ):
                    return  # the client has gone
        if wire.after == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _do  # noqa: N815 - http.server's names


@contextmanager
def serving(
    answer: Answers, *, greeting: Callable[[], Union[Wire, None]] = lambda: None, **settings: Any
) -> Iterator[tuple[Any, list[Asked]]]:
    """A boto3 client of such a server, and what it was asked. ``greeting`` is what comes instead of all else when a connection is made.

    ``settings`` are of the client's Config: its timeouts, its retries.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.answer, server.asked, server.greeting = answer, [], greeting
    threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
    client = boto3.client(
        "s3",
        "eu-west-1",
        endpoint_url=f"http://127.0.0.1:{server.server_address[1]}",
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(
            **{
                "s3": {"addressing_style": "path"},
                "retries": {"mode": "standard", "max_attempts": 2},
                "max_pool_connections": 64,
                **settings,
            }
        ),
    )
    try:
        yield client, server.asked
    finally:
        if hasattr(client, "close"):  # not in the boto3 of Glue Python Shell
            client.close()
        server.shutdown()
        server.server_close()
