"""Messages between a process and one that it forked: pickled values over a socket pair.

Each message arrives whole or not at all. Nothing else writes to the socket pair, so unpickling is
safe. Messages may hold credentials: they stay in memory.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import socket
import struct
import threading
from typing import Any

from rolerunner.redaction.secrets import Secret, register_credential

_LENGTH = struct.Struct("!I")
_BUFFER_SIZE = 256 << 10


def _reduce_secret(secret: Secret) -> tuple[Any, ...]:
    """Pickles a secret as text that is unpickled as a secret.

    For this socket only: secrets cannot be pickled elsewhere.
    """
    return register_credential, (str(secret),)


_REDUCERS = {**copyreg.dispatch_table, Secret: _reduce_secret}
"""pickle consults this table in C before it asks the value: other types cost nothing more."""


def _pickle_message(message: tuple[Any, ...]) -> bytes:
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(message)
    return buffer.getvalue()


class ChannelClosed(Exception):
    """The process at the other end has closed the channel or is gone."""


class Channel:
    """One end of the socket pair. Any thread may send; one thread receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = end.makefile("rb", _BUFFER_SIZE)
        self._send_lock = threading.Lock()

    def set_send_timeout(self, seconds: int) -> None:
        """Makes ``send`` raise ChannelClosed if the other process takes nothing for so long."""
        self._end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))

    def send(self, *message: Any) -> None:
        """Sends a message.

        Raises ChannelClosed; and TypeError, AttributeError or PicklingError for a message that
        cannot be pickled, of which nothing is sent.
        """
        data = _pickle_message(message)
        try:
            with self._send_lock:
                self._end.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self) -> tuple[Any, ...]:
        """Returns the next message. Raises ChannelClosed."""
        try:
            data = self._read_frame()
        except (OSError, ValueError) as error:
            raise ChannelClosed from error
        message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - sent by our own process
        return message

    def _read_frame(self) -> bytes:
        head = self._reader.read(_LENGTH.size)
        if len(head) != _LENGTH.size:
            raise ChannelClosed
        (length,) = _LENGTH.unpack(head)
        data: bytes = self._reader.read(length)
        if not data or len(data) != length:
            raise ChannelClosed
        return data

    def close(self) -> None:
        """Closes this end, which the other process sees."""
        self._reader.close()
        self._end.close()

    def shut_down(self) -> None:
        """Closes the channel from any thread; the receiving one then raises ChannelClosed."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already
