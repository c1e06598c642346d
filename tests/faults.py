"""A proxy between rolerunner and the embedded AWS that breaks a share of the answers."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse

KINDS = ("throttled", "broken", "reset", "slow", "cut", "lost")
"""503 SlowDown; 500; the connection reset; an answer late; a body cut short; done, but the answer lost."""


class Faulty(ThreadingHTTPServer):
    """``rate`` of the requests get one of ``KINDS``; ``seen`` counts them."""

    daemon_threads = True

    def __init__(self, endpoint: str, rate: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Between)
        self.target = urlparse(endpoint)
        self.rate = rate
        self.seen: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fate(self) -> str:
        with self._lock:
            kind = self._random.choice(KINDS) if self._random.random() < self.rate else "fine"
            self.seen[kind] += 1
            return kind

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news here."""


class _Between(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faulty

    def log_message(self, *arguments: Any) -> None:
        pass

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.fate()
        if fate == "throttled":
            return self._answer(
                503, {"Content-Type": "text/xml"}, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            )
        if fate == "broken":
            return self._answer(500, {"Content-Type": "text/xml"}, b"<Error><Code>InternalError</Code><Message>We had an error.</Message></Error>")
        if fate == "reset":
            self.close_connection = True
            return None
        if fate == "slow":
            time.sleep(0.4)
        upstream = http.client.HTTPConnection(self.server.target.hostname or "", self.server.target.port)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            data = answer.read()
        if fate in ("lost", "cut") and self.command == "POST" and self.path.endswith("?uploads"):
            self.server.seen["upload begun unheard"] += 1  # nobody learns its id, so nobody can abort it
        if fate == "lost":
            self.close_connection = True
            return None
        return self._answer(answer.status, dict(answer.getheaders()), data, cut=fate == "cut")

    def _answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
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

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - http.server's names


@contextmanager
def faulty(endpoint: str, rate: float, seed: int = 1) -> Iterator[Faulty]:
    """Such a proxy, while the block runs."""
    with Faulty(endpoint, rate, seed) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()
