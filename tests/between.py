"""A proxy between rolerunner and the embedded AWS: it passes requests on, and a test's own does more with them."""

from __future__ import annotations

import contextlib
import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse


class Proxy(ThreadingHTTPServer):
    """Listens on a free port; ``target`` is the embedded AWS."""

    daemon_threads = True

    def __init__(self, endpoint: str, handler: type[Between]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.target = urlparse(endpoint)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news here."""


class Between(BaseHTTPRequestHandler):
    """Handles each request by ``passing``, which a test's own overrides."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *arguments: Any) -> None:
        pass

    def _handle(self) -> None:
        self.passing(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def passing(self, body: bytes) -> None:
        raise NotImplementedError

    def asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What the embedded AWS answers."""
        upstream = http.client.HTTPConnection(self.server.target.hostname or "", self.server.target.port)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def hang_up(self) -> None:
        """No answer at all."""
        self.close_connection = True

    def answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
        """Answer; ``cut``: with half of the body that is announced."""
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = headers.get("content-length", headers.get("Content-Length")) if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        cut = cut and len(data) > 1 and self.command != "HEAD"
        if cut:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data[: len(data) // 2] if cut else data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - http.server's names
