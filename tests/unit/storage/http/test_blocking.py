"""The work of the blocking client alone: files, blocks, and bodies in chunks."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.http.aws_chunked import ChunkedBody
from rolerunner.storage.http.blocking import BlockingClient
from rolerunner.storage.http.connection_pool import BLOCK_SIZE, ConnectionPool
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.request_bodies import FileRange
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.http.tasks import BlockingCall
from rolerunner.storage.native.templates import Address
from tests.raw_server import OK, create_tls_context, read_head, serving_sockets
from tests.unit.storage.http.exchanges import BlockingTransport, attempt, create_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = "127.0.0.1"
DATA = os.urandom(2 * BLOCK_SIZE + 1000)


def create_client(cancel: Union[Cancel, None] = None) -> BlockingClient:
    return BlockingClient(ConnectionPool(SocketFactory(None, 5, 5)), cancel or Cancel())


@contextmanager
def receiving(folder: Path, *, secure: bool = False) -> Iterator[tuple[Address, bytearray]]:
    """Responds with OK to the body of each request, which is collected."""
    received = bytearray()
    context = create_tls_context(folder) if secure else None

    def receive(connection: Any) -> None:
        head, _, body = read_head(connection).partition(b"\r\n\r\n")
        length = int(head.rpartition(b"Content-Length: ")[2])
        received.extend(body)
        while len(received) < length:
            more = connection.recv(1 << 20)
            if not more:
                return
            received.extend(more)
        connection.sendall(OK)

    def handle(connection: socket.socket, number: int) -> None:
        if context is None:
            receive(connection)
            return
        with context.wrap_socket(connection, server_side=True) as secured:
            receive(secured)

    with serving_sockets(handle) as port:
        yield Address(secure, HERE, port), received


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_range_of_a_file_is_sent_and_counted(secure: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before" + DATA + b"after")
    moved: list[int] = []
    factory = SocketFactory(str(tmp_path / "cert.pem"), 5, 5)
    with (
        (tmp_path / "file").open("rb") as file,
        receiving(tmp_path, secure=secure) as (address, received),
    ):
        body = FileRange(file.fileno(), 6, len(DATA), moved.append)
        (result,) = BlockingTransport(factory).send(create_request(address, "PUT", body))
    assert isinstance(result, Response)
    assert received == DATA
    assert sum(moved) == len(DATA)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_file_that_became_shorter_is_an_error(secure: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA[:1000])
    factory = SocketFactory(str(tmp_path / "cert.pem"), 5, 5)
    with (
        (tmp_path / "file").open("rb") as file,
        receiving(tmp_path, secure=secure) as (address, _),
    ):
        body = FileRange(file.fileno(), 0, 2000, lambda _: None)
        (error,) = BlockingTransport(factory).send(create_request(address, "PUT", body))
    assert isinstance(error, StepError)
    assert error.type == "FileChanged"


def test_a_body_in_chunks_is_sent_with_its_trailer(tmp_path: Path) -> None:
    body = ChunkedBody(lambda: iter([b"abcd", b"ef"]), 6, 4, None)
    with receiving(tmp_path) as (address, received):
        (result,) = BlockingTransport(SocketFactory(None, 5, 5)).send(
            create_request(address, "PUT", body)
        )
    assert isinstance(result, Response)
    assert received.startswith(b"4\r\nabcd\r\n2\r\nef\r\n0\r\nx-amz-checksum-crc32:")
    assert len(received) == len(body)


def test_a_cancelled_file_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    cancel = Cancel()
    cancel.set()
    with (tmp_path / "file").open("rb") as file, receiving(tmp_path) as (address, received):
        body = FileRange(file.fileno(), 0, len(DATA), lambda _: None)
        transport = BlockingTransport(SocketFactory(None, 5, 5))
        (error,) = transport.send(create_request(address, "PUT", body), cancel=cancel)
    assert isinstance(error, StepError)
    assert error.type == "Stopped"
    assert not received


def stream(answer: bytes) -> bytes:
    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        connection.sendall(answer)

    with serving_sockets(handle) as port:
        return b"".join(create_client().stream(create_request(Address(False, HERE, port))))


@pytest.mark.parametrize("size", [0, 1, BLOCK_SIZE, BLOCK_SIZE + 1, len(DATA)])
def test_a_streamed_body_arrives_in_blocks(size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    assert stream(head + DATA[:size]) == DATA[:size]


def test_a_streamed_body_without_a_length_ends_with_the_connection() -> None:
    assert stream(b"HTTP/1.1 200 OK\r\n\r\n" + DATA) == DATA


def test_a_streamed_error_is_an_error_of_s3() -> None:
    text = b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(text)
    with pytest.raises(ClientError, match="NoSuchKey"):
        stream(head + text)


def test_a_streamed_body_that_is_cut_is_an_error() -> None:
    with pytest.raises(ConnectionClosedError):
        stream(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody")


def test_a_task_pauses_calls_and_returns() -> None:
    def task() -> Any:
        yield 0.0
        return (yield BlockingCall(lambda: 7))

    assert create_client().run(task()) == 7


def test_a_pause_ends_when_the_operation_is_cancelled() -> None:
    cancel = Cancel()
    cancel.set()

    def task() -> Any:
        yield 60.0

    with pytest.raises(StepError, match="stopped"):
        create_client(cancel).run(task())


def test_an_interruption_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = threading.Event()
    closed: list[bytes] = []

    def interrupt(*_: Any) -> Any:
        arrived.wait(10)
        raise KeyboardInterrupt

    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        arrived.set()
        closed.append(connection.recv(1))

    monkeypatch.setattr(BlockingClient, "_read_response", interrupt)
    with serving_sockets(handle) as port, pytest.raises(KeyboardInterrupt):
        create_client().run(attempt(create_request(Address(False, HERE, port))))
    assert closed == [b""]


def test_a_connection_that_is_reset_while_a_body_is_sent_is_an_error() -> None:
    def reset(connection: socket.socket, number: int) -> None:
        read_head(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving_sockets(reset) as port:
        request = create_request(Address(False, HERE, port), "PUT", bytes(64 << 20))
        (error,) = BlockingTransport(SocketFactory(None, 5, 5)).send(request)
    assert isinstance(error, HTTPClientError)


@pytest.mark.parametrize("left", [0, 1000], ids=["cut", "in pieces"])
def test_a_file_system_may_return_blocks_in_pieces(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    pread = os.pread
    monkeypatch.setattr(
        os,
        "pread",
        lambda file, count, at: pread(file, min(count, 1000 if at < 1000 else left), at),
    )
    with (tmp_path / "file").open("rb") as file:
        blocks = FileRange(file.fileno(), 0, 5000, lambda _: None).read_blocks()
        if left:
            assert b"".join(blocks) == DATA[:5000]
            return
        with pytest.raises(StepError) as caught:
            list(blocks)
    assert caught.value.type == "FileChanged"
