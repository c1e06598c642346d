"""An S3 server whose responses a test decides.

It covers what the embedded AWS never does, such as errors inside a response of 200, or no HTTP.
"""

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
class Request:
    """A request; its operation is the method and the subresource, as in ``POST [delete]``."""

    operation: str
    bucket: str
    key: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int = -1
    """The value of a false Content-Length; -1 for a true one."""


@dataclass(frozen=True)
class RawResponse:
    """Bytes that are sent unchanged, and seconds to wait between them.

    ``connection`` says what happens to the connection afterwards: close, reset or keep.
    """

    parts: Iterable[Union[bytes, float]] = ()
    connection: str = "close"


Responder = Callable[[Request], Union[Response, RawResponse]]


SLOW_DOWN = Response(
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", 503
)


def echo_checksum(request: Request) -> dict[str, str]:
    """Returns the header with the checksum that follows a body in a trailer, as S3 sends it."""
    name = request.headers.get("x-amz-trailer", "")
    trailer = request.body.rpartition(f"{name}:".encode())[2]
    return {name: trailer.split(b"\r\n")[0].decode()} if name else {}


class Throttling:
    """Responds as ``respond`` does, up to a rate and a number of concurrent requests.

    At most a tenth of ``per_second`` requests are accepted at once; the others get SlowDown.
    """

    def __init__(
        self,
        respond: Responder,
        *,
        per_second: float = 1e9,
        max_concurrent: int = 1_000_000,
        response_seconds: float = 0.0,
    ) -> None:
        self.refused = 0
        self._respond = respond
        self._busy = 0
        self._lock = threading.Lock()
        self.limit(
            per_second=per_second, max_concurrent=max_concurrent, response_seconds=response_seconds
        )

    def limit(
        self,
        *,
        per_second: float = 1e9,
        max_concurrent: int = 1_000_000,
        response_seconds: float = 0.0,
    ) -> None:
        """Sets other limits than those that the server began with."""
        with self._lock:
            self._per_second, self._max_concurrent = per_second, max_concurrent
            self._response_seconds = response_seconds
            self._credit, self._last = per_second / 10, time.monotonic()

    def __call__(self, request: Request) -> Union[Response, RawResponse]:
        with self._lock:
            now = time.monotonic()
            self._credit = min(
                self._credit + (now - self._last) * self._per_second, self._per_second / 10
            )
            self._last = now
            if self._credit < 1 or self._busy >= self._max_concurrent:
                self.refused += 1
                return SLOW_DOWN
            self._credit -= 1
            self._busy += 1
        try:
            time.sleep(self._response_seconds)
            return self._respond(request)
        finally:
            with self._lock:
                self._busy -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    respond: Responder
    requests: list[Request]
    greeting: Callable[[], Union[RawResponse, None]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that close the connection."""


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

    def _serve(self) -> None:
        url = urlparse(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        names = [
            name
            for name in ("delete", "uploads", "uploadId", "tagging", "list-type", "versions")
            if name in query
        ]
        headers = {name.lower(): value for name, value in self.headers.items()}
        bucket, _, key = url.path[1:].partition("/")
        request = Request(
            f"{self.command} [{names[0]}]" if names else self.command,
            bucket,
            unquote(key),
            query,
            headers,
            self._body(),
        )
        self.server.requests.append(request)
        response = self.server.respond(request)
        if isinstance(response, RawResponse):
            self._send(response)
            return
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in response.headers:
            self.send_header(
                "Content-Length",
                str(response.length if response.length >= 0 else len(response.body)),
            )
        if 0 <= response.length != len(response.body):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else response.body)

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

    def _send(self, raw: RawResponse) -> None:
        self.close_connection = raw.connection != "keep"
        with suppress(OSError):
            for part in raw.parts:
                if isinstance(part, bytes):
                    self.wfile.write(part)
                elif select.select([self.connection], [], [], part)[0] and not self.connection.recv(
                    1, socket.MSG_PEEK
                ):
                    return  # the client has gone
        if raw.connection == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - http.server's names


@contextmanager
def start_fake_s3(
    respond: Responder,
    *,
    greeting: Callable[[], Union[RawResponse, None]] = lambda: None,
    **settings: Any,
) -> Iterator[tuple[Any, list[Request]]]:
    """Serves a fake S3; yields a boto3 client of it and the list of its requests.

    ``greeting`` is called for each connection; if it returns a raw response, only that is sent.
    ``settings`` are options of the client's Config, such as timeouts and retries.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.respond, server.requests, server.greeting = respond, [], greeting
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
        yield client, server.requests
    finally:
        if hasattr(client, "close"):  # not in the boto3 of Glue Python Shell
            client.close()
        server.shutdown()
        server.server_close()
