"""A server of webhooks that accept, refuse, hang, drip, redirect or answer without end."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

SECRET = "T0AAAAAAA/B0BBBBBBB/s3cretsecretsecretsecret"
"""The part of a webhook's path that nobody may see."""


@dataclass
class Webhooks:
    """A running server: its address, what it received, and the signal that ends what hangs."""

    address: str
    received: list[tuple[str, Any]] = field(default_factory=list)
    """The first part of each path, and the JSON posted there."""
    ending: threading.Event = field(default_factory=threading.Event)

    def url(self, behaviour: str) -> str:
        """Returns the URL of a webhook that behaves like this."""
        return f"{self.address}/{behaviour}/{SECRET}"

    def posts(self, behaviour: str) -> list[Any]:
        """Returns what was posted to such a webhook."""
        return [body for name, body in self.received if name == behaviour]


class _Handler(BaseHTTPRequestHandler):
    webhooks: Webhooks

    def log_message(self, *arguments: object) -> None:
        """Keeps the log quiet."""

    def do_POST(self) -> None:
        behaviour = self.path.split("/")[1]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.webhooks.received.append((behaviour, json.loads(body)))
        getattr(self, f"_{behaviour}")()

    def do_GET(self) -> None:
        self.webhooks.received.append((f"GET {self.path.split('/')[1]}", None))
        self._ok()

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ok(self) -> None:
        self._answer(200, b"ok")

    def _refuse(self) -> None:
        self._answer(403, f"invalid_token {self.path}".encode())

    def _hang(self) -> None:
        self.webhooks.ending.wait(30)

    def _redirect(self) -> None:
        self._answer(307, b"", Location=f"{self.webhooks.address}/ok/{SECRET}")

    def _busy_once(self) -> None:
        if len(self.webhooks.posts("busy_once")) == 1:
            self._answer(429, b"rate_limited")
        else:
            self._ok()

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 500 x\r\n")
        for number in range(100):
            if self.webhooks.ending.wait(0.2):
                return
            self.wfile.write(f"X-{number}: y\r\n".encode())

    def _huge(self) -> None:
        self.send_response(500)
        self.end_headers()
        while not self.webhooks.ending.is_set():
            self.wfile.write(b"x" * 65_536)

    def _garbage(self) -> None:
        self.wfile.write(b"\x00\x01 this is not HTTP\r\n\r\n")


@contextmanager
def serve_webhooks(tls: ssl.SSLContext | None = None) -> Iterator[Webhooks]:
    """Runs the server on loopback."""

    class Handler(_Handler):
        pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Says nothing of clients that have gone."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    webhooks = Webhooks(f"{scheme}://127.0.0.1:{server.server_address[1]}")
    Handler.webhooks = webhooks
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield webhooks
    finally:
        webhooks.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()
