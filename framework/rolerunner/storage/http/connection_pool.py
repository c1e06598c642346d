"""The connections and buffers that the threads of an operation keep for their next requests."""

from __future__ import annotations

import select
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.native.templates import Address

BLOCK_SIZE = 1 << 20
_MAX_IDLE_SECONDS = 15.0
"""Age up to which an idle connection is used again; S3 closes them after about 20 seconds."""


class BlockingConnection:
    """A connection that one thread uses at a time."""

    __slots__ = ("address", "last_used", "sock")

    def __init__(self, address: Address, sock: Any) -> None:
        self.address = address
        self.sock = sock
        self.last_used = 0.0


class ConnectionPool:
    """Idle connections, which close with the pool, and memory for each thread. Thread-safe."""

    def __init__(self, net: SocketFactory) -> None:
        self.net = net
        self._lock = threading.Lock()
        self._idle: list[BlockingConnection] = []
        self._thread_local = threading.local()
        self._spare_memory: list[bytearray] = []
        # what is left open between two operations closes with the pool
        weakref.finalize(self, _close_connections, self._idle)

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            idle, self._spare_memory = self._idle[:], []
            self._idle.clear()
        _close_connections(idle)

    def release(self, connection: BlockingConnection) -> None:
        """Keeps a connection for the next request."""
        connection.last_used = time.monotonic()
        with self._lock:
            self._idle.append(connection)

    def acquire(self, address: Address) -> Optional[BlockingConnection]:
        """Returns an idle connection that seems to be alive, or None."""
        while True:
            with self._lock:
                matching = (each for each in reversed(self._idle) if each.address == address)
                connection = next(matching, None)
                if connection is None:
                    return None
                self._idle.remove(connection)
            is_recent = time.monotonic() - connection.last_used < _MAX_IDLE_SECONDS
            if is_recent and not _is_readable(connection.sock):
                return connection
            connection.sock.close()

    @contextmanager
    def borrow_memory(self, length: int) -> Iterator[memoryview]:
        """Lends memory for a part, in bytes.

        Memory is used again, since the kernel clears fresh pages first.
        """
        with self._lock:
            memory = self._spare_memory.pop() if self._spare_memory else bytearray()
        if len(memory) < length:
            memory = bytearray(length)
        try:
            yield memoryview(memory)[:length]
        finally:
            with self._lock:
                self._spare_memory.append(memory)

    def get_buffer(self) -> memoryview:
        """Returns the buffer of this thread."""
        if not hasattr(self._thread_local, "buffer"):
            self._thread_local.buffer = memoryview(bytearray(BLOCK_SIZE))
        return self._thread_local.buffer  # type: ignore[no-any-return]


def _close_connections(connections: list[BlockingConnection]) -> None:
    for connection in connections:
        connection.sock.close()


def _is_readable(sock: Any) -> bool:
    """Returns True if the server has closed an idle connection, or sent data without a request.

    poll takes any descriptor; select takes none above 1,023.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
