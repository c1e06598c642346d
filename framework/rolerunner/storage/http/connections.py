"""Connections of the loop: made, kept, shared out, given up. None of it blocks, but for the looking up of names."""

from __future__ import annotations

import selectors
import ssl
import time
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.storage.http.sockets import OUT_OF_FILES, begin_to_connect, check_connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.http.framing import ResponseParser
    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.native.templates import Address

_AT_FIRST, _MORE = 16, 8
"""Connections are opened as they turn out to be needed: a handshake costs as much as ten small objects."""
_LEAST = 16 << 10
"""Bytes of a GET's answer that must come within one read timeout: a server that drips is not waited for."""


class Connection:
    """One connection, and what is under way on it: a job whose request is sent (``left`` of it) and whose answer comes (``framing``)."""

    __slots__ = (
        "address",
        "at",
        "connected",
        "events",
        "framing",
        "job",
        "last",
        "left",
        "new",
        "places",
        "read",
        "seen",
        "since",
        "sock",
        "window",
    )

    def __init__(self, address: Address, job: Any) -> None:
        self.address = address
        self.places: list[Any] = []
        self.at: Any = None
        self.sock: Any = None
        self.read: Any = None
        """Once it is connected: what gives the bytes that are there, so many at most."""
        self.connected = False
        self.new = True
        self.events = 0
        self.job = job
        self.framing: Optional[ResponseParser] = None
        self.left: Optional[memoryview] = None
        self.last = self.since = time.monotonic()
        self.seen = self.window = 0

    def begin(self, framing: ResponseParser, head: memoryview) -> None:
        """A request begins."""
        self.framing, self.left = framing, head
        self.last = self.since = time.monotonic()
        self.seen = self.window = 0

    def away(self, seconds: float) -> None:
        """Nobody looked for so long: that is no silence of the server's."""
        self.last += seconds
        self.since += seconds


class ConnectionTable:
    """``most`` to each place, and twice as many in all. ``paced``: bytes are held back on purpose."""

    def __init__(
        self, net: SocketFactory, selector: selectors.BaseSelector, most: int, *, paced: bool
    ) -> None:
        self._net = net
        self._selector = selector
        self._most = most
        self._room = min(_AT_FIRST, most)
        self._paced = paced
        self._all: set[Connection] = set()
        self._counts: dict[Address, int] = {}
        self._idle: dict[Address, list[Connection]] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all))

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._all

    @property
    def may_grow(self) -> bool:
        """Are there to be more of them than now, if they are needed?"""
        return self._room < self._most

    def grow(self) -> None:
        """Requests wait, and so do we: more connections would help."""
        self._room = min(self._room + _MORE, self._most)

    def idle(self, address: Address) -> Optional[Connection]:
        """One that is kept alive, if there is one."""
        kept = self._idle.get(address)
        return kept.pop() if kept else None

    def keep(self, connection: Connection) -> None:
        """For the next request."""
        connection.job = connection.framing = None
        connection.new = False
        self._idle.setdefault(connection.address, []).append(connection)

    def may_connect(self, address: Address) -> bool:
        """Is there room for one more? An idle one makes room."""
        if self._counts.get(address, 0) >= self._room:
            kept = self._idle.get(address)
            if not kept:
                return False
            self.drop(kept.pop())
        if len(self._all) >= self._room * 2:
            spare = next((others for others in self._idle.values() if others), None)
            if spare is None:
                return False
            self.drop(spare.pop())
        return True

    def made(self, address: Address, job: Any) -> Connection:
        """A new one, which is yet to be connected."""
        connection = Connection(address, job)
        self._all.add(connection)
        self._counts[address] = self._counts.get(address, 0) + 1
        return connection

    def connect(self, connection: Connection, cancel: Cancel) -> None:
        """Begin to. Raises OSError where no address can even be tried."""
        connection.places = list(self._net.places(connection.address, cancel))
        self._try_next(connection, OSError("the host has no address"))

    def _try_next(self, connection: Connection, why: Exception) -> None:
        """Connect to the next of the host's addresses. Raises ``why``, or what the last of them said."""
        while True:
            self._unregister(connection)
            if not connection.places:
                raise why
            connection.at = connection.places.pop(0)
            connection.last = connection.since = time.monotonic()
            try:
                connection.sock = self._net.unconnected(connection.at)
                begin_to_connect(connection.sock, connection.at)
            except OSError as error:
                if (
                    error.errno in OUT_OF_FILES
                ):  # as many as there are now, but for one that somebody else may need
                    self._most = self._room = max(1, len(self._all) - 2)
                    raise
                why = error
                continue
            self.want(connection, selectors.EVENT_WRITE)
            return

    def go_on(self, connection: Connection) -> bool:
        """A socket that is connecting, or shaking hands, can go on; is it connected now? Raises OSError when no address is left."""
        try:
            if not isinstance(connection.sock, ssl.SSLSocket):
                check_connected(connection.sock)
                if connection.address.secure:
                    self._selector.unregister(connection.sock)
                    connection.events = 0
                    connection.sock = self._net.secured(connection.sock, connection.address)
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.want(connection, selectors.EVENT_READ)
            return False
        except ssl.SSLWantWriteError:
            self.want(connection, selectors.EVENT_WRITE)
            return False
        except ssl.SSLCertVerificationError:
            raise  # another address would show no other certificate
        except (OSError, ValueError) as error:
            self._net.failed(connection.address, connection.at)
            self._try_next(connection, error if isinstance(error, OSError) else OSError(str(error)))
            return False
        connection.connected = True
        # recv would but look at its arguments before it calls read
        connection.read = (
            connection.sock.read
            if isinstance(connection.sock, ssl.SSLSocket)
            else connection.sock.recv
        )
        self._net.shook(connection.sock, connection.address)
        self.want(connection, selectors.EVENT_READ)
        return True

    def want(self, connection: Connection, events: int) -> None:
        """Be told of these events."""
        if events == connection.events:
            return
        if connection.events:
            self._selector.modify(connection.sock, events, connection)
        else:
            self._selector.register(connection.sock, events, connection)
        connection.events = events

    def drop(self, connection: Connection) -> None:
        """Close it."""
        self._unregister(connection)
        if connection in self._all:
            self._all.remove(connection)
            self._counts[connection.address] -= 1
        kept = self._idle.get(connection.address)
        if kept and connection in kept:
            kept.remove(connection)

    def _unregister(self, connection: Connection) -> None:
        if connection.sock is None:
            return
        if connection.events:
            self._selector.unregister(connection.sock)
            connection.events = 0
        connection.sock.close()
        connection.sock = None

    # time

    def away(self, seconds: float) -> None:
        """Nobody looked for so long."""
        for connection in self._all:
            connection.away(seconds)

    def check_time(self, connection: Connection, now: float) -> None:
        """Raises TimeoutError for what took too long, OSError when no other address is left to try."""
        if connection.job is None:
            return
        if not connection.connected:
            if now - connection.since > self._net.connect_timeout(more=bool(connection.places)):
                self._net.failed(connection.address, connection.at)
                self._try_next(connection, TimeoutError("timed out"))
        elif self._is_slow(connection, now):
            raise TimeoutError("timed out")

    def _is_slow(self, connection: Connection, now: float) -> bool:
        limit, framing = self._net.read_timeout, connection.framing
        slow = now - connection.last > limit
        if framing is None or connection.left is not None or now - connection.since <= limit:
            return slow
        if framing.answer is None:
            return True  # headers that drip are no headers
        dripping = (
            connection.seen - connection.window < _LEAST
            and not self._paced
            and not framing.may_drip
        )
        connection.since, connection.window = now, connection.seen
        return slow or dripping
