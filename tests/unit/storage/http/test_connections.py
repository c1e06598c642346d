"""The table of the event loop's connections: how many, which are used again, which are too slow."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.storage.http.connections import Connection, ConnectionTable
from rolerunner.storage.native.templates import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE, THERE = Address(False, "here", 80), Address(False, "there", 80)
TASK: Any = "a task"
NOW = 1000.0
DRIP = (16 << 10) - 1


class FakeNet:
    """Addresses of a host, and the errors of sockets to them."""

    read_timeout = 60.0

    def __init__(self, *endpoints: Any) -> None:
        self.endpoints = list(endpoints)
        self.failed: list[Any] = []
        self.errors: dict[Any, OSError] = {}

    def resolve(self, address: Address, cancel: Cancel) -> list[Any]:
        del address, cancel
        return self.endpoints

    def connect_timeout(self, *, more: bool) -> float:
        return 3.0 if more else 10.0

    def report_failure(self, address: Address, endpoint: Any) -> None:
        del address
        self.failed.append(endpoint)

    def create_socket(self, endpoint: Any) -> socket.socket:
        if endpoint in self.errors:
            raise self.errors[endpoint]
        sock = socket.socket()
        sock.setblocking(False)
        return sock

    def save_tls_session(self, sock: Any, address: Address) -> None:
        del sock, address


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as made:
        yield made


def create_table(
    selector: selectors.BaseSelector,
    limit: int = 4,
    net: Optional[FakeNet] = None,
    *,
    paced: bool = False,
) -> ConnectionTable:
    return ConnectionTable(net or FakeNet(), selector, limit, paced=paced)  # type: ignore[arg-type]


def test_the_limit_grows_in_steps_up_to_its_maximum(selector: selectors.BaseSelector) -> None:
    table = create_table(selector, 27)
    limits = []
    while table.can_grow:
        limits.append(table._limit)
        table.raise_limit()
    assert [*limits, table._limit] == [16, 24, 27]
    assert create_table(selector, 16).can_grow is False
    assert create_table(selector, 4)._limit == 4


def test_there_is_room_for_so_many_connections_to_an_address(
    selector: selectors.BaseSelector,
) -> None:
    table = create_table(selector, 2)
    for _ in range(2):
        assert table.can_open(HERE)
        table.add(HERE, TASK)
    assert not table.can_open(HERE)
    assert table.can_open(THERE)


def test_there_is_room_for_twice_as_many_in_all(selector: selectors.BaseSelector) -> None:
    table = create_table(selector, 1)
    table.add(HERE, TASK)
    second = table.add(THERE, TASK)
    other = Address(False, "other", 80)
    assert not table.can_open(other)
    table.keep(second)
    assert table.can_open(other)
    assert second not in table, "an idle one made room"


def test_an_idle_connection_makes_room_at_its_own_address(selector: selectors.BaseSelector) -> None:
    table = create_table(selector, 1)
    connection = table.add(HERE, TASK)
    assert not table.can_open(HERE)
    table.keep(connection)
    assert table.can_open(HERE)
    assert list(table) == []
    assert table.can_open(HERE)


def test_an_idle_connection_is_used_again(selector: selectors.BaseSelector) -> None:
    table = create_table(selector)
    one, two = table.add(HERE, TASK), table.add(HERE, TASK)
    assert table.take_idle(HERE) is None
    for connection in (one, two):
        assert connection.is_new
        table.keep(connection)
    assert (one.task, one.parser, one.is_new) == (None, None, False)
    assert table.take_idle(THERE) is None
    assert [table.take_idle(HERE), table.take_idle(HERE), table.take_idle(HERE)] == [two, one, None]


def test_a_closed_connection_is_in_no_list(selector: selectors.BaseSelector) -> None:
    table = create_table(selector, 1)
    connection = table.add(HERE, TASK)
    table.keep(connection)
    table.close(connection)
    table.close(connection)
    assert (connection in table, table.take_idle(HERE)) == (False, None)
    assert table.can_open(HERE)


def test_a_host_without_an_address_that_can_be_tried_fails(
    selector: selectors.BaseSelector,
) -> None:
    table = create_table(selector)
    with pytest.raises(OSError, match="the host has no address"):
        table.connect(table.add(HERE, TASK), Cancel())
    net = FakeNet("one", "two")
    net.errors = {name: OSError(errno.ENETUNREACH, f"no way to {name}") for name in ("one", "two")}
    table = create_table(selector, net=net)
    with pytest.raises(OSError, match="no way to two"):
        table.connect(table.add(HERE, TASK), Cancel())


def test_a_process_without_files_opens_fewer_connections(selector: selectors.BaseSelector) -> None:
    net = FakeNet("one")
    net.errors = {"one": OSError(errno.EMFILE, "too many open files")}
    table = create_table(selector, 8, net)
    opened = [table.add(HERE, TASK) for _ in range(5)]
    with pytest.raises(OSError, match="too many open files"):
        table.connect(opened[-1], Cancel())
    assert (table._limit, table.can_grow) == (3, False)
    few = create_table(selector, 8, net)
    with pytest.raises(OSError, match="too many open files"):
        few.connect(few.add(HERE, TASK), Cancel())
    assert few._limit == 1


def test_the_next_address_is_tried_after_one_that_fails(selector: selectors.BaseSelector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        net = FakeNet(
            (socket.AF_INET, closed.getsockname()), (socket.AF_INET, server.getsockname())
        )
        table = create_table(selector, net=net)
        connection = table.add(HERE, TASK)
        table.connect(connection, Cancel())
        deadline = time.monotonic() + 20
        while not connection.is_connected and time.monotonic() < deadline:
            if selector.select(1):
                table.continue_connecting(connection)
        assert connection.is_connected
        assert net.failed == net.endpoints[:1]
        assert connection.events == selectors.EVENT_READ
        table.close(connection)
        assert selector.get_map() is None or len(selector.get_map()) == 0


def exchange(table: ConnectionTable, **values: Any) -> Connection:
    """Returns a connected connection whose exchange began at NOW."""
    connection = table.add(HERE, TASK)
    connection.is_connected = True
    connection.last_activity = connection.window_start = NOW
    connection.parser = SimpleNamespace(answer=None, may_drip=False)  # type: ignore[assignment]
    for name, value in values.items():
        setattr(connection, name, value)
    return connection


def is_too_slow(table: ConnectionTable, connection: Connection, seconds: float) -> bool:
    try:
        table.check_timeouts(connection, NOW + seconds)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize(("seconds", "expected"), [(60.0, False), (60.1, True)])
def test_a_silent_server_times_out(
    seconds: float, expected: bool, selector: selectors.BaseSelector
) -> None:
    table = create_table(selector)
    assert is_too_slow(table, exchange(table), seconds) is expected
    sending = exchange(table, unsent=memoryview(b"x"))
    assert is_too_slow(table, sending, seconds) is expected
    assert not is_too_slow(table, exchange(table, task=None), seconds)


def test_headers_must_be_complete_within_one_timeout(selector: selectors.BaseSelector) -> None:
    table = create_table(selector)
    dripping = exchange(table, last_activity=NOW + 60)
    assert not is_too_slow(table, dripping, 60.0)
    assert is_too_slow(table, dripping, 60.1)


def test_a_request_that_is_sent_slowly_is_not_too_slow(selector: selectors.BaseSelector) -> None:
    table = create_table(selector)
    sending = exchange(table, unsent=memoryview(b"x"), last_activity=NOW + 60)
    assert not is_too_slow(table, sending, 61)


@pytest.mark.parametrize(
    ("received", "paced", "may_drip", "expected"),
    [
        (DRIP, False, False, True),
        (DRIP + 1, False, False, False),
        (DRIP, True, False, False),
        (DRIP, False, True, False),
    ],
)
def test_a_body_must_arrive_at_some_speed(
    received: int, paced: bool, may_drip: bool, expected: bool, selector: selectors.BaseSelector
) -> None:
    table = create_table(selector, paced=paced)
    parser = SimpleNamespace(answer="headers", may_drip=may_drip)
    connection = exchange(table, parser=parser, last_activity=NOW + 60, received=received)
    assert is_too_slow(table, connection, 61) is expected
    assert connection.window_start == NOW + 61
    connection.last_activity = NOW + 122
    connection.received += received
    assert is_too_slow(table, connection, 122) is expected, "each timeout counts for itself"


def test_a_body_that_stops_times_out(selector: selectors.BaseSelector) -> None:
    table = create_table(selector)
    parser = SimpleNamespace(answer="headers", may_drip=True)
    assert is_too_slow(table, exchange(table, parser=parser, received=1 << 20), 61)


def test_a_time_without_the_loop_does_not_count(selector: selectors.BaseSelector) -> None:
    table = create_table(selector)
    connection = exchange(table)
    table.extend_timeouts(30.0)
    assert not is_too_slow(table, connection, 90.0)
    assert is_too_slow(table, connection, 90.1)


@pytest.mark.parametrize(("more", "limit"), [(True, 3.0), (False, 10.0)])
def test_an_address_that_does_not_answer_is_left_for_the_next(
    more: bool, limit: float, selector: selectors.BaseSelector
) -> None:
    net = FakeNet()
    table = create_table(selector, net=net)
    connection = exchange(table, is_connected=False, endpoint="first")
    with socket.create_server(("127.0.0.1", 0)) as server:
        following = (socket.AF_INET, server.getsockname())
        connection.endpoints = [following] if more else []
        assert not is_too_slow(table, connection, limit)
        assert net.failed == []
        assert is_too_slow(table, connection, limit + 0.1) is not more
        assert net.failed == ["first"]
        assert (connection.endpoint == following) is more
        table.close(connection)


def test_an_exchange_begins_with_its_own_times() -> None:
    connection = Connection(HERE, TASK)
    connection.received = connection.received_before = 7
    connection.last_activity = connection.window_start = 0.0
    before = time.monotonic()
    parser: Any = "parser"
    connection.start_exchange(parser, memoryview(b"head"))
    assert before <= connection.last_activity == connection.window_start
    assert (connection.received, connection.received_before) == (0, 0)
    assert (connection.parser, bytes(connection.unsent or b"")) == (parser, b"head")
