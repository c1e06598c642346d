"""Exchanges over the event loop, most of them over the blocking client too."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.http import connections
from rolerunner.storage.http.event_loop import EventLoop
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.http.tasks import BlockingCall, Task
from rolerunner.storage.native.templates import Address
from rolerunner.storage.protocol import Outcome
from tests.raw_server import OK, create_tls_context, read_head, respond, serving_sockets
from tests.unit.storage.http.exchanges import (
    BlockingTransport,
    LoopTransport,
    Transport,
    attempt,
    create_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Handle = Callable[[socket.socket, int], None]

HERE = "127.0.0.1"
SIZE = 3 << 20
BODY = bytes(range(256)) * (SIZE // 256)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(params=[LoopTransport, BlockingTransport], ids=["event loop", "blocking"])
def create(request: pytest.FixtureRequest) -> Callable[[SocketFactory], Transport]:
    transport: Callable[[SocketFactory], Transport] = request.param
    return transport


def net(read_timeout: float = 5) -> SocketFactory:
    return SocketFactory(None, 5, read_timeout)


class Collector:
    """A sink that keeps what it receives, or fails."""

    def __init__(self, error: Union[StepError, None] = None) -> None:
        self.data = bytearray()
        self._error = error

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        assert (status, headers["content-length"]) == (200, str(SIZE))
        self.data.clear()

    def write(self, data: bytes) -> None:
        if self._error is not None:
            raise self._error
        self.data += data


def read_body(connection: Any, head: bytes) -> bytes:
    """Returns the rest of a request whose head, and perhaps more, has been read."""
    head, _, body = head.partition(b"\r\n\r\n")
    length = int(head.rpartition(b"Content-Length: ")[2])
    while len(body) < length:
        body += connection.recv(1 << 20)
    return body


def exchange_large(connection: Any) -> None:
    """Responds to a GET with the body, and to a PUT with OK if it had the body."""
    while True:
        head = read_head(connection)
        if head.startswith(b"GET"):
            connection.sendall(HEAD % SIZE + BODY)
        elif read_body(connection, head) == BODY:
            connection.sendall(OK)
        else:
            connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def serving_large(folder: Path, *, secure: bool) -> Iterator[tuple[SocketFactory, Address]]:
    context = create_tls_context(folder)

    def handle(connection: socket.socket, number: int) -> None:
        if not secure:
            exchange_large(connection)
            return
        with context.wrap_socket(connection, server_side=True) as secured:
            exchange_large(secured)

    with serving_sockets(handle) as port:
        yield SocketFactory(str(folder / "cert.pem"), 5, 20), Address(secure, HERE, port)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_large_bodies_arrive_in_both_directions(
    secure: bool, tmp_path: Path, create: Callable[[SocketFactory], Transport]
) -> None:
    sink = Collector()
    with serving_large(tmp_path, secure=secure) as (factory, address):
        results = create(factory).send(
            create_request(address, sink=sink), create_request(address, "PUT", BODY)
        )
    assert sorted(each.body for each in results if isinstance(each, Response)) == [b"", b"body"]
    assert bytes(sink.data) == BODY


def test_a_sink_that_fails_fails_its_request_alone(
    create: Callable[[SocketFactory], Transport], tmp_path: Path
) -> None:
    full = StepError("no space left on device", type="LocalFileFailed")
    sink = Collector()
    with serving_large(tmp_path, secure=False) as (factory, address):
        first, second = create(factory).send(
            create_request(address, sink=Collector(full)), create_request(address, sink=sink)
        )
    assert first is full
    assert isinstance(second, Response)
    assert bytes(sink.data) == BODY


def drip(text: bytes, seconds: float, *, at_once: bytes = b"") -> Handle:
    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        connection.sendall(at_once)
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(seconds)
        connection.recv(1)

    return handle


@pytest.mark.parametrize(
    "handle",
    [drip(b"", 0), drip(b"HTTP/1.1 200 OK\r\n", 0.1), drip(HEAD % 1000, 0)],
    ids=["no answer", "headers that drip", "half an answer"],
)
def test_a_server_that_does_not_go_on_is_a_timeout(
    handle: Handle, create: Callable[[SocketFactory], Transport]
) -> None:
    with serving_sockets(handle) as port:
        (error,) = create(net(0.4)).send(create_request(Address(False, HERE, port)))
    assert type(error) is ReadTimeoutError


def test_a_body_that_drips_is_a_timeout_but_not_while_s3_copies() -> None:
    with serving_sockets(drip(b" " * 25, 0.05, at_once=HEAD % 25)) as port:
        address = Address(False, HERE, port)
        (got,) = LoopTransport(net(0.6)).send(create_request(address))
        (copied,) = LoopTransport(net(0.6)).send(create_request(address, "PUT"))
        (paced,) = LoopTransport(net(0.6), paced=True).send(create_request(address))
    assert type(got) is ReadTimeoutError
    assert [each.body for each in (copied, paced) if isinstance(each, Response)] == [b" " * 25] * 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ConnectionClosedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", ConnectionClosedError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", HTTPClientError),
    ],
)
def test_what_is_no_response_is_an_error(
    answer: bytes, kind: type[Exception], create: Callable[[SocketFactory], Transport]
) -> None:
    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        connection.sendall(answer)

    with serving_sockets(handle) as port:
        (error,) = create(net()).send(create_request(Address(False, HERE, port)))
    assert type(error) is kind


def test_a_kept_connection_that_was_closed_is_replaced_once(
    create: Callable[[SocketFactory], Transport],
) -> None:
    accepted: list[int] = []

    def handle(connection: socket.socket, number: int) -> None:
        accepted.append(number)
        read_head(connection)
        connection.sendall(OK)
        read_head(connection)  # and closes without a response

    with serving_sockets(handle) as port:
        requests = [create_request(Address(False, HERE, port)) for _ in range(3)]
        results = create(net()).send(*requests)
    assert [each.body for each in results if isinstance(each, Response)] == [b"body"] * 3
    assert len(accepted) == 3
    assert (requests[0].resent, requests[1].resent) == (0, 1)


def test_a_response_that_ends_the_connection_is_the_last_on_it(
    create: Callable[[SocketFactory], Transport],
) -> None:
    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%d" % number)

    with serving_sockets(handle) as port:
        address = Address(False, HERE, port)
        results = create(net()).send(create_request(address), create_request(address))
    assert [each.body for each in results if isinstance(each, Response)] == [b"0", b"1"]


def test_an_early_response_to_a_large_body_is_the_response(
    create: Callable[[SocketFactory], Transport],
) -> None:
    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        connection.sendall(
            b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.2)

    with serving_sockets(handle) as port:
        body = b"x" * (16 << 20)
        (result,) = create(net()).send(create_request(Address(False, HERE, port), "PUT", body))
    assert isinstance(result, Response)
    assert result.status == 403


def test_a_server_that_takes_nothing_is_a_timeout(
    create: Callable[[SocketFactory], Transport],
) -> None:
    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(1)
        time.sleep(1.5)

    with serving_sockets(handle) as port:
        body = b"x" * (16 << 20)
        request = create_request(Address(False, HERE, port), "PUT", body)
        (error,) = create(net(0.4)).send(request)
    assert type(error) is ReadTimeoutError


def test_cancellation_ends_a_wait_for_a_response(
    create: Callable[[SocketFactory], Transport],
) -> None:
    cancel = Cancel()

    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        cancel.set()
        connection.recv(1)

    with serving_sockets(handle) as port:
        address = Address(False, HERE, port)
        (error,) = create(net(60)).send(create_request(address), cancel=cancel)
    assert isinstance(error, StepError)
    assert error.type == "Stopped"


def test_an_idle_connection_that_sends_something_is_closed() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        read_head(connection)
        connection.sendall(OK)
        if not number:
            time.sleep(0.05)
            connection.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        connection.recv(1)

    def task(address: Address, pause: float) -> Any:
        yield pause
        return (yield from attempt(create_request(address)))

    with serving_sockets(handle) as port:
        loop = EventLoop(net(), Cancel(), connections=1, memory=10, threads=1)
        address = Address(False, HERE, port)
        results = list(loop.run((1, task(address, pause)) for pause in (0.0, 0.4)))
    assert [each.body for each in results] == [b"body", b"body"]


def test_one_host_leaves_room_for_another() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        respond(connection)

    with (
        serving_sockets(handle) as one,
        serving_sockets(handle) as two,
        serving_sockets(handle) as three,
    ):
        addresses = [Address(False, HERE, port) for port in (one, two, three)] * 3
        requests = [create_request(address) for address in addresses]
        results = LoopTransport(net()).send(*requests)
    assert [each.body for each in results if isinstance(each, Response)] == [b"body"] * 9


def test_more_connections_are_opened_while_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_INITIAL_LIMIT", 1)
    accepted: list[int] = []

    def handle(connection: socket.socket, number: int) -> None:
        accepted.append(number)
        while True:
            read_head(connection)
            time.sleep(0.03)
            connection.sendall(OK)

    with serving_sockets(handle) as port:
        requests = [create_request(Address(False, HERE, port)) for _ in range(40)]
        results = LoopTransport(net(), connections=4).send(*requests)
    assert len([each for each in results if isinstance(each, Response)]) == 40
    assert len(accepted) == 4


def test_calls_run_in_threads_and_their_errors_reach_the_task() -> None:
    def fail() -> None:
        raise KeyError("x")

    def task() -> Any:
        value = yield BlockingCall(lambda: 7)
        try:
            yield BlockingCall(fail, large=True)
        except KeyError as error:
            return value, error.args
        return None

    loop = EventLoop(net(), Cancel(), connections=1, memory=10, threads=1)
    decided = Outcome(None, status="skipped")  # type: ignore[arg-type]  # no object is meant
    assert list(loop.run([decided, None, (1, task())])) == [decided, (7, ("x",))]


def test_a_call_that_ends_after_the_loop_disturbs_nothing() -> None:
    def task() -> Any:
        yield BlockingCall(lambda: time.sleep(0.2))

    cancel = Cancel()
    loop = EventLoop(net(), cancel, connections=1, memory=10, threads=1)
    results = loop.run([(1, task()), (1, task()), None])
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        list(results)
    time.sleep(0.3)


def test_a_name_that_fails_fails_all_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    requests = [create_request(Address(False, "s3.example", 80)) for _ in range(5)]
    results = LoopTransport(net(), connections=2).send(*requests)
    assert {type(each) for each in results} == {EndpointConnectionError}
    assert len(results) == 5


def test_tasks_that_a_stopped_loop_leaves_are_closed() -> None:
    ended: list[str] = []

    def pause() -> Task[str]:
        try:
            yield 60.0
        finally:
            ended.append("closed")
        return "done"

    task, cancel = pause(), Cancel()
    loop = EventLoop(net(), cancel, connections=1, memory=1 << 20, threads=1)
    outcomes = loop.run([(1, task)])
    cancel.set()
    with pytest.raises(StepError, match="stopped before it was done"):
        next(outcomes)
    assert ended == ["closed"]
