"""Exchanges on connections that fail, break off, or were closed by an earlier event."""

from __future__ import annotations

import selectors
from typing import Any, Optional, Union

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from rolerunner.errors import StepError
from rolerunner.storage.http.connections import Connection
from rolerunner.storage.http.exchanges import Exchanges, RunningTask
from rolerunner.storage.http.framing import Response
from rolerunner.storage.native.templates import Address
from tests.raw_server import OK
from tests.unit.storage.http.exchanges import create_request

ADDRESS = Address(False, "s3.example.com", 80)
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Step = Union[bytes, int, Exception]


class FakeSocket:
    """Sends and receives what the test says, one step for each call; then it would block."""

    def __init__(self, received: list[Step], sent: Optional[list[Step]] = None) -> None:
        self._received, self._sent = received, sent
        self.sent = b""

    def send(self, data: memoryview) -> int:
        count = len(data) if self._sent is None else self._take(self._sent)
        self.sent += data[:count]
        return int(count)

    def recv(self, size: int) -> Any:
        del size
        return self._take(self._received)

    def _take(self, steps: list[Step]) -> Any:
        if not steps:
            raise BlockingIOError
        step = steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


class FakeTable:
    """The connections of a loop, and what becomes of them."""

    def __init__(self) -> None:
        self.closed: list[Connection] = []
        self.kept: list[Connection] = []
        self.connecting: Any = True

    def __contains__(self, connection: Connection) -> bool:
        return connection not in self.closed

    def continue_connecting(self, connection: Connection) -> bool:
        if isinstance(self.connecting, Exception):
            raise self.connecting
        connection.is_connected = bool(self.connecting)
        return connection.is_connected

    def watch(self, connection: Connection, events: int) -> None:
        connection.events = events

    def keep(self, connection: Connection) -> None:
        connection.task = connection.parser = None
        self.kept.append(connection)

    def close(self, connection: Connection) -> None:
        connection.sock = None
        self.closed.append(connection)


class Bench:
    """One connection with a request, and what the task gets."""

    def __init__(
        self,
        received: Optional[list[Step]] = None,
        sent: Optional[list[Step]] = None,
        *,
        body: bytes = b"",
        sink: Any = None,
        is_connected: bool = True,
    ) -> None:
        self.results: list[Any] = []
        self.enqueued: list[Any] = []
        self.table = FakeTable()
        table: Any = self.table
        self.exchanges = Exchanges(
            table, lambda _, result: self.results.append(result), self.enqueued.append
        )
        empty: Any = iter(())
        self.task = RunningTask(1, empty)
        self.task.request = create_request(ADDRESS, "PUT" if body else "GET", body, sink)
        self.sock = FakeSocket(received or [], sent)
        self.connection = Connection(ADDRESS, self.task)
        self.connection.sock, self.connection.read = self.sock, self.sock.recv
        self.connection.is_connected = is_connected

    def send(self) -> None:
        self.exchanges.send(self.connection, self.task)

    def handle(self, mask: int) -> None:
        self.exchanges.handle_event(self.connection, self.sock, mask)


def test_a_response_keeps_the_connection() -> None:
    bench = Bench([OK])
    bench.send()
    bench.handle(READ)
    (response,) = bench.results
    assert isinstance(response, Response)
    assert (response.body, bench.table.kept) == (b"body", [bench.connection])


def test_a_response_that_ends_the_connection_closes_it() -> None:
    bench = Bench([OK.replace(b"ETag", b"Connection: close\r\nETag")])
    bench.send()
    bench.handle(READ)
    assert bench.results[0].status == 200
    assert (bench.table.kept, bench.table.closed) == ([], [bench.connection])


def test_a_request_is_sent_as_the_socket_takes_it() -> None:
    bench = Bench([OK], [5, 7, BlockingIOError()], body=b"small")
    bench.send()
    assert bench.connection.events == READ | WRITE
    bench.sock._sent = None
    bench.handle(WRITE)
    assert bench.sock.sent.endswith(b"\r\n\r\nsmall")
    assert bench.connection.events == READ
    bench.handle(READ)
    assert bench.results[0].status == 200


def test_a_large_body_follows_the_head() -> None:
    body = b"x" * (65 << 10)
    bench = Bench([OK], body=body)
    bench.send()
    head, _, sent = bench.sock.sent.partition(b"\r\n\r\n")
    assert (head[:3], sent) == (b"PUT", body)


def test_events_of_a_socket_that_was_closed_are_ignored() -> None:
    bench = Bench([OK])
    bench.send()
    bench.connection.sock = FakeSocket([])
    bench.handle(READ | WRITE)
    assert bench.results == []


def test_nothing_is_sent_after_a_response_closed_the_connection() -> None:
    early = b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    bench = Bench([early], [5, BlockingIOError()], body=b"small")
    bench.send()
    sent = bench.sock.sent
    bench.sock._sent = None
    bench.handle(READ | WRITE)
    assert (bench.results[0].status, bench.sock.sent) == (503, sent)


def test_a_response_before_the_end_of_the_request_closes_the_connection() -> None:
    bench = Bench([OK], [5, BlockingIOError()], body=b"small")
    bench.send()
    bench.handle(READ)
    assert bench.results[0].status == 200
    assert (bench.table.kept, bench.table.closed) == ([], [bench.connection])


@pytest.mark.parametrize("response", [OK, b""])
def test_a_server_that_closes_early_may_have_told_why(response: bytes) -> None:
    received: list[Step] = [response] if response else []
    bench = Bench(received, [BrokenPipeError("closed")])
    bench.send()
    (result,) = bench.results
    if response:
        assert result.status == 200
    else:
        assert isinstance(result, ConnectionClosedError)
        assert bench.table.closed == [bench.connection]


@pytest.mark.parametrize(
    ("received", "kind"),
    [
        ([b""], ConnectionClosedError),
        ([ConnectionResetError("reset")], ConnectionClosedError),
        ([TimeoutError("slow")], ReadTimeoutError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b""], ConnectionClosedError),
    ],
)
def test_a_connection_that_is_lost_fails_the_request(received: list[Step], kind: Any) -> None:
    bench = Bench(received)
    bench.send()
    while bench.connection.sock is not None:
        bench.handle(READ)
    assert [type(each) for each in bench.results] == [kind]
    assert bench.table.closed == [bench.connection]
    assert bench.connection.task is None


def test_a_kept_connection_that_was_closed_is_replaced_once() -> None:
    bench = Bench([b""])
    bench.connection.is_new = False
    bench.send()
    bench.handle(READ)
    assert (bench.enqueued, bench.results) == ([bench.task], [])
    assert bench.task.request is not None
    assert (bench.task.is_resent, bench.task.request.resent) == (True, 1)
    again = Bench([b""])
    again.task.is_resent, again.connection.is_new = True, False
    again.send()
    again.handle(READ)
    assert (again.enqueued, [type(each) for each in again.results]) == ([], [ConnectionClosedError])


@pytest.mark.parametrize("received", [[TimeoutError("slow")], [b"HTTP/1.1 200", b""]])
def test_a_request_that_may_have_been_executed_is_not_sent_again(received: list[Step]) -> None:
    bench = Bench(received)
    bench.connection.is_new = False
    bench.send()
    bench.handle(READ)
    if bench.connection.sock is not None:
        bench.handle(READ)
    assert (bench.enqueued, len(bench.results)) == ([], 1)


@pytest.mark.parametrize("received", [[b""], [b"HTTP/1.1 408 Timeout\r\n\r\n"]])
def test_an_idle_connection_that_ends_or_talks_is_closed(received: list[Step]) -> None:
    bench = Bench(received)
    bench.connection.task = None
    bench.handle(READ)
    assert (bench.table.closed, bench.results) == ([bench.connection], [])


def test_an_idle_connection_that_is_reset_fails_nothing() -> None:
    bench = Bench([ConnectionResetError("reset")])
    bench.connection.task = None
    bench.handle(READ)
    assert (bench.table.closed, bench.results) == ([bench.connection], [])


def test_the_request_is_sent_once_the_connection_is_made() -> None:
    bench = Bench([OK], is_connected=False)
    bench.table.connecting = False
    bench.handle(WRITE)
    assert bench.sock.sent == b""
    bench.table.connecting = True
    bench.handle(WRITE)
    assert bench.sock.sent.startswith(b"GET / HTTP/1.1")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError("refused"), EndpointConnectionError),
        (TimeoutError("slow"), ConnectTimeoutError),
    ],
)
def test_a_connection_that_cannot_be_made_fails_the_request(error: OSError, kind: Any) -> None:
    bench = Bench(is_connected=False)
    bench.table.connecting = error
    bench.handle(WRITE)
    assert [type(each) for each in bench.results] == [kind]
    other = Bench(is_connected=False)

    def fail() -> None:
        raise error

    other.exchanges.attempt(other.connection, fail)
    assert [type(each) for each in other.results] == [kind]


def test_a_sink_that_fails_fails_its_request() -> None:
    class Full:
        def begin(self, status: int, headers: Any) -> None:
            raise StepError(f"no space left on device: {status} {len(headers)}")

        def write(self, data: bytes) -> None:
            raise AssertionError("it did not begin")

    bench = Bench([b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nx"], sink=Full())
    bench.send()
    bench.handle(READ)
    (error,) = bench.results
    assert isinstance(error, StepError)
    assert bench.table.closed == [bench.connection]
