"""Messages between a process and one that it forked: pickled values over a socket pair, each whole or not at all.

Nothing else ever writes to it, so what comes is what the other side sent. It may hold keys: it is in memory alone.
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
_BUFFER = 256 << 10


def _send_secret(secret: Secret) -> tuple[Any, ...]:
    """Pickles a secret as its text, and unpickles it as a secret again. For this socket only: elsewhere secrets are not pickled."""
    return register_credential, (str(secret),)


_REDUCERS = {**copyreg.dispatch_table, Secret: _send_secret}
"""pickle looks here before it asks the value itself, in C: values of other types cost nothing more."""


def _pickle(message: tuple[Any, ...]) -> bytes:
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(message)
    return buffer.getvalue()


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end. Any thread may send, one receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._reader = end.makefile("rb", _BUFFER)
        self._sending = threading.Lock()

    def limit_sending(self, seconds: int) -> None:
        """Take the other side for gone where it accepts nothing for so many seconds: it was stopped, say."""
        self._end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))

    def send(self, *message: Any) -> None:
        """Raises Closed; TypeError, AttributeError, PicklingError for what cannot be pickled: nothing is sent then."""
        data = _pickle(message)
        try:
            with self._sending:
                self._end.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self) -> tuple[Any, ...]:
        """The next message. Raises Closed."""
        try:
            head = self._reader.read(_LENGTH.size)
            data = self._reader.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
            if not data or len(data) != _LENGTH.unpack(head)[0]:
                raise ChannelClosed
        except (OSError, ValueError) as error:
            raise ChannelClosed from error
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
