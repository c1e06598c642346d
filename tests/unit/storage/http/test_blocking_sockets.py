"""Sockets block until they are ready, the time is over or the operation is cancelled."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.http import blocking_sockets
from rolerunner.storage.http.blocking_sockets import BlockingSockets
from rolerunner.storage.http.connection_pool import BlockingConnection
from rolerunner.storage.http.request_bodies import FileRange
from rolerunner.storage.http.response_heads import MalformedResponse
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.templates import Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = os.urandom(1 << 20)
ADDRESS = Address(False, "127.0.0.1", 80)


class WantsWrite:
    """A TLS socket that must write before it can go on, once for each action."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._turn = 0
        self.fileno, self.close = sock.fileno, sock.close

    def _take_turn(self) -> None:
        self._turn += 1
        if self._turn % 2:
            raise ssl.SSLWantWriteError

    def send(self, data: Any) -> int:
        self._take_turn()
        return self._sock.send(data)

    def recv(self, size: int) -> bytes:
        self._take_turn()
        return self._sock.recv(size)

    def recv_into(self, view: memoryview) -> int:
        self._take_turn()
        return self._sock.recv_into(view)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def create_sockets(cancel: Cancel | None = None, read_timeout: float = 5) -> BlockingSockets:
    return BlockingSockets(SocketFactory(None, 5, read_timeout), cancel or Cancel())


def read_all(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += sock.recv(length - len(data))
    return data


@pytest.mark.parametrize("wants_write", [False, True], ids=["plain", "renegotiated"])
def test_all_is_sent_and_received(
    wants_write: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    sockets = create_sockets()
    connection = BlockingConnection(ADDRESS, WantsWrite(ours) if wants_write else ours)
    sender = threading.Thread(target=sockets.send, args=(connection, DATA))
    sender.start()
    assert read_all(theirs, len(DATA)) == DATA
    sender.join()
    theirs.sendall(b"begin" + DATA[:5000])
    deadline = time.monotonic() + 5
    received = sockets.receive(connection, deadline)
    filled = sockets.fill(connection, memoryview(bytearray(5005 - len(received))))
    assert received + bytes(filled) == b"begin" + DATA[:5000]


def test_a_range_of_a_file_is_sent(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    moved: list[int] = []
    connection = BlockingConnection(ADDRESS, pair[0])
    with (tmp_path / "file").open("rb") as file:
        body = FileRange(file.fileno(), 2, 5, moved.append)
        create_sockets().send_range(connection, body)
        assert (pair[1].recv(100), moved) == (b"23456", [5])
        body = FileRange(file.fileno(), 2, 50, moved.append)
        with pytest.raises(StepError, match="the file became shorter"):
            create_sockets().send_range(connection, body)


def test_the_end_of_a_connection_is_no_body(pair: tuple[socket.socket, socket.socket]) -> None:
    connection = BlockingConnection(ADDRESS, pair[0])
    pair[1].close()
    assert create_sockets().receive(connection, time.monotonic() + 5) == b""
    with pytest.raises(MalformedResponse, match="closed before the response was complete"):
        create_sockets().fill(connection, memoryview(bytearray(1)))


def test_waiting_ends_with_the_time_and_with_the_operation(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking_sockets, "_POLL_SECONDS", 0.01)
    connection = BlockingConnection(ADDRESS, pair[0])
    with pytest.raises(TimeoutError):
        create_sockets(read_timeout=0.02).fill(connection, memoryview(bytearray(1)))
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        create_sockets(cancel).receive(connection, time.monotonic() + 5)
