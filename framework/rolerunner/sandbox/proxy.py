"""A proxy in front of the sandbox; subclasses of its handler change what it does."""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Self

_OF_THE_CONNECTION = ("content-length", "transfer-encoding", "connection", "date", "server")


class Proxy(ThreadingHTTPServer):
    """Listens on a free loopback port inside ``serve_in_background``; forwards to ``endpoint``."""

    daemon_threads = True

    def __init__(self, endpoint: str, handler: type[ProxyHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.target = urlparse(endpoint)

    @property
    def url(self) -> str:
        """Returns the base URL: http://127.0.0.1:PORT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextlib.contextmanager
    def serve_in_background(self) -> Iterator[Self]:
        """Serves requests inside the block."""
        with self:
            threading.Thread(
                target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
            ).start()
            try:
                yield self
            finally:
                self.shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that disconnect."""


class ProxyHandler(BaseHTTPRequestHandler):
    """Handles each request with ``respond``, which subclasses implement."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - http.server's name
        """Logs nothing."""

    def respond(self, body: bytes) -> None:
        """Responds to one request."""
        raise NotImplementedError

    def forward_request(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Forwards the request; returns status, headers and body."""
        upstream = http.client.HTTPConnection(
            self.server.target.hostname or "", self.server.target.port
        )
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def hang_up(self) -> None:
        """Closes the connection without a response."""
        self.close_connection = True

    def answer(
        self, status: int, headers: Mapping[str, str], data: bytes, *, cut: bool = False
    ) -> None:
        """Sends a response; ``cut`` sends only half of the declared body."""
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        length = (
            headers.get("content-length", headers.get("Content-Length"))
            if self.command == "HEAD"
            else None
        )
        self.send_header("Content-Length", length or str(len(data)))
        cut = cut and len(data) > 1 and self.command != "HEAD"
        if cut:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data[: len(data) // 2] if cut else data)

    def _handle_request(self) -> None:
        self.respond(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle_request  # noqa: N815 - http.server's names
