"""A server that takes posted telemetry, refuses it, or hangs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class TelemetryServer:
    """A running server: its address, and what was posted to it, as path and body."""

    address: str
    behaviour: str
    received: list[tuple[str, bytes]] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve_telemetry(behaviour: str = "ok") -> Iterator[TelemetryServer]:
    """Runs a server on loopback; ``behaviour`` is ok, refuse or hang."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Keeps the log quiet."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.received.append((self.path, body))
            if behaviour == "hang":
                running.ending.wait(30)
                return
            self.send_response(200 if behaviour == "ok" else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Says nothing of clients that have gone."""

    server = Server(("127.0.0.1", 0), Handler)
    running = TelemetryServer(f"http://127.0.0.1:{server.server_address[1]}", behaviour)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()
