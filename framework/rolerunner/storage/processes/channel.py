"""Messages between a process and one that it forked: pickled values over a socket pair, each whole or not at all.

Nothing else ever writes to it, so what comes is what the other side sent. It may hold keys: it is in memory alone.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from typing import Any

_LENGTH = struct.Struct("!I")
_BUFFER = 256 << 10


class Closed(Exception):
    """The other side is gone."""


class Channel:
    """One end. Any thread may send, one receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = end.makefile("rb", _BUFFER)
        self._sending = threading.Lock()

    def send(self, *message: Any) -> None:
        """Raises Closed; TypeError, AttributeError, PicklingError for what cannot be pickled: nothing is sent then."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        try:
            with self._sending:
                self._end.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise Closed from error

    def receive(self) -> tuple[Any, ...]:
        """The next message. Raises Closed."""
        try:
            head = self._reader.read(_LENGTH.size)
            data = self._reader.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
            if not data or len(data) != _LENGTH.unpack(head)[0]:
                raise Closed
        except (OSError, ValueError) as error:
            raise Closed from error
        message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - our own process's
        return message

    def close(self) -> None:
        """The other side sees that."""
        self._reader.close()
        self._end.close()

    def hang_up(self) -> None:
        """End it from another thread than the one that receives, which then sees it closed."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already
