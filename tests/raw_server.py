"""A server of bare sockets, with TLS or without: for connections that fail or break off."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OK = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 4\r\n\r\nbody'


@contextmanager
def serving_sockets(handle: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """Calls ``handle`` with each connection and its number, from 0; yields the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve() -> None:
        number = 0
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=handle_one, args=(accepted, number)))
            threads[-1].start()
            number += 1

    def handle_one(accepted: socket.socket, number: int) -> None:
        with accepted:
            try:
                handle(accepted, number)
            except OSError:  # the client has gone
                return

    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for thread in threads:
            thread.join()
        listening.close()


def read_head(connection: socket.socket) -> bytes:
    """Returns the head of the next request. Raises OSError if the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            raise OSError("the client closed the connection")
        data += received
    return data


def respond(connection: socket.socket, response: bytes = OK) -> None:
    """Responds to each request of a connection with the same bytes."""
    while True:
        read_head(connection)
        connection.sendall(response)


def create_tls_context(folder: Path) -> ssl.SSLContext:
    """Returns the TLS context of a server at 127.0.0.1; its certificate is ``cert.pem``."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    files = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=t"]
    address = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command.split(), *files, *address], cwd=folder, check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
