"""The non-blocking connections of the event loop: opened, kept alive, shared and closed.

Only DNS lookups block.
"""

from __future__ import annotations

import selectors
import ssl
import time
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.storage.http.sockets import OUT_OF_FILES, check_connected, start_connecting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.http.framing import ResponseParser
    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.native.templates import Address

_INITIAL_LIMIT, _LIMIT_STEP = 16, 8
"""Connections are opened as they turn out to be needed: a handshake costs as much as ten small
objects.
"""
_MIN_PROGRESS = 16 << 10
"""Bytes of a GET's response that must arrive within one read timeout."""


class Connection:
    """A connection, and the exchange in progress on it.

    ``unsent`` is what is left of the request, ``parser`` parses the response, ``task`` waits for
    it.
    """

    __slots__ = (
        "address",
        "endpoint",
        "endpoints",
        "events",
        "is_connected",
        "is_new",
        "last_activity",
        "parser",
        "read",
        "received",
        "received_before",
        "sock",
        "task",
        "unsent",
        "window_start",
    )

    def __init__(self, address: Address, task: Any) -> None:
        self.address = address
        self.endpoints: list[Any] = []
        self.endpoint: Any = None
        self.sock: Any = None
        self.read: Any = None
        """Once connected: returns the bytes that are available, up to a limit."""
        self.is_connected = False
        self.is_new = True
        self.events = 0
        self.task = task
        self.parser: Optional[ResponseParser] = None
        self.unsent: Optional[memoryview] = None
        self.last_activity = self.window_start = time.monotonic()
        self.received = self.received_before = 0

    def start_exchange(self, parser: ResponseParser, head: memoryview) -> None:
        """Starts an exchange with the first bytes of a request."""
        self.parser, self.unsent = parser, head
        self.last_activity = self.window_start = time.monotonic()
        self.received = self.received_before = 0

    def extend_timeouts(self, seconds: float) -> None:
        """Ignores a time in which the event loop did not run: the server was not silent."""
        self.last_activity += seconds
        self.window_start += seconds


class ConnectionTable:
    """At most ``limit`` connections to each address, and twice as many in all.

    ``paced``: bandwidth is limited.
    """

    def __init__(
        self, net: SocketFactory, selector: selectors.BaseSelector, limit: int, *, paced: bool
    ) -> None:
        self._net = net
        self._selector = selector
        self._max_limit = limit
        self._limit = min(_INITIAL_LIMIT, limit)
        self._paced = paced
        self._all: set[Connection] = set()
        self._counts: dict[Address, int] = {}
        self._idle: dict[Address, list[Connection]] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all))

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._all

    @property
    def can_grow(self) -> bool:
        """True if more connections may be opened than now."""
        return self._limit < self._max_limit

    def raise_limit(self) -> None:
        """Raises the limit: requests wait while the loop is idle."""
        self._limit = min(self._limit + _LIMIT_STEP, self._max_limit)

    def take_idle(self, address: Address) -> Optional[Connection]:
        """Returns an idle connection, or None."""
        idle = self._idle.get(address)
        return idle.pop() if idle else None

    def keep(self, connection: Connection) -> None:
        """Keeps a connection for the next request."""
        connection.task = connection.parser = None
        connection.is_new = False
        self._idle.setdefault(connection.address, []).append(connection)

    def can_open(self, address: Address) -> bool:
        """Returns True if there is room for another connection; may close an idle one."""
        if self._counts.get(address, 0) >= self._limit:
            idle = self._idle.get(address)
            if not idle:
                return False
            self.close(idle.pop())
        if len(self._all) >= self._limit * 2:
            idle = next((others for others in self._idle.values() if others), None)
            if idle is None:
                return False
            self.close(idle.pop())
        return True

    def add(self, address: Address, task: Any) -> Connection:
        """Returns a new connection that is not connected yet."""
        connection = Connection(address, task)
        self._all.add(connection)
        self._counts[address] = self._counts.get(address, 0) + 1
        return connection

    def connect(self, connection: Connection, cancel: Cancel) -> None:
        """Starts to connect. Raises OSError if no address can be tried."""
        connection.endpoints = list(self._net.resolve(connection.address, cancel))
        self._try_next(connection, OSError("the host has no address"))

    def _try_next(self, connection: Connection, why: Exception) -> None:
        """Starts to connect to the next of the host's addresses.

        Raises ``why`` or the last address's OSError.
        """
        while True:
            self._unregister_socket(connection)
            if not connection.endpoints:
                raise why
            connection.endpoint = connection.endpoints.pop(0)
            connection.last_activity = connection.window_start = time.monotonic()
            try:
                connection.sock = self._net.create_socket(connection.endpoint)
                start_connecting(connection.sock, connection.endpoint)
            except OSError as error:
                if error.errno in OUT_OF_FILES:
                    # as many as there are now, less one that others may need
                    self._max_limit = self._limit = max(1, len(self._all) - 2)
                    raise
                why = error
                continue
            self.watch(connection, selectors.EVENT_WRITE)
            return

    def continue_connecting(self, connection: Connection) -> bool:
        """Continues to connect or to shake hands; returns True once connected.

        Raises OSError if no address is left.
        """
        try:
            if not isinstance(connection.sock, ssl.SSLSocket):
                check_connected(connection.sock)
                if connection.address.secure:
                    self._selector.unregister(connection.sock)
                    connection.events = 0
                    connection.sock = self._net.wrap_tls(connection.sock, connection.address)
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.watch(connection, selectors.EVENT_READ)
            return False
        except ssl.SSLWantWriteError:
            self.watch(connection, selectors.EVENT_WRITE)
            return False
        except ssl.SSLCertVerificationError:
            raise  # another address would show the same certificate
        except (OSError, ValueError) as error:
            self._net.report_failure(connection.address, connection.endpoint)
            self._try_next(connection, error if isinstance(error, OSError) else OSError(str(error)))
            return False
        self._finish_connecting(connection)
        return True

    def _finish_connecting(self, connection: Connection) -> None:
        sock = connection.sock
        connection.is_connected = True
        # SSLSocket.recv only checks its arguments before it calls read
        connection.read = sock.read if isinstance(sock, ssl.SSLSocket) else sock.recv
        self._net.save_tls_session(sock, connection.address)
        self.watch(connection, selectors.EVENT_READ)

    def watch(self, connection: Connection, events: int) -> None:
        """Registers the connection for these events of the selector."""
        if events == connection.events:
            return
        if connection.events:
            self._selector.modify(connection.sock, events, connection)
        else:
            self._selector.register(connection.sock, events, connection)
        connection.events = events

    def close(self, connection: Connection) -> None:
        """Closes a connection."""
        self._unregister_socket(connection)
        if connection in self._all:
            self._all.remove(connection)
            self._counts[connection.address] -= 1
        idle = self._idle.get(connection.address)
        if idle and connection in idle:
            idle.remove(connection)

    def _unregister_socket(self, connection: Connection) -> None:
        if connection.sock is None:
            return
        if connection.events:
            self._selector.unregister(connection.sock)
            connection.events = 0
        connection.sock.close()
        connection.sock = None

    def extend_timeouts(self, seconds: float) -> None:
        """Ignores a time in which the event loop did not run."""
        for connection in self._all:
            connection.extend_timeouts(seconds)

    def check_timeouts(self, connection: Connection, now: float) -> None:
        """Raises TimeoutError if an exchange takes too long, OSError if no address is left."""
        if connection.task is None:
            return
        if connection.is_connected:
            if self._is_too_slow(connection, now):
                raise TimeoutError("timed out")
            return
        limit = self._net.connect_timeout(more=bool(connection.endpoints))
        if now - connection.window_start > limit:
            self._net.report_failure(connection.address, connection.endpoint)
            self._try_next(connection, TimeoutError("timed out"))

    def _is_too_slow(self, connection: Connection, now: float) -> bool:
        limit, parser = self._net.read_timeout, connection.parser
        is_silent = now - connection.last_activity > limit
        is_within_window = now - connection.window_start <= limit
        if parser is None or connection.unsent is not None or is_within_window:
            return is_silent
        if parser.answer is None:
            return True  # headers must be complete within one timeout
        progress = connection.received - connection.received_before
        is_dripping = progress < _MIN_PROGRESS and not self._paced and not parser.may_drip
        connection.window_start, connection.received_before = now, connection.received
        return is_silent or is_dripping
