"""SFTP sessions of one connection, each used by one thread at a time, and renewed when lost."""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from rolerunner.errors import StepError
from rolerunner.sftp import ssh
from rolerunner.sftp.errors import translate_error
from rolerunner.sftp.ssh import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from rolerunner.common.cancellation import Cancel
    from rolerunner.sftp.server import SftpServer

T = TypeVar("T")
RETRY_SECONDS = (0.2, 1.0, 3.0, 8.0, 15.0)
"""Waits before the attempts that follow a lost connection."""


@dataclass
class _Session:
    """A session, and the connection that it belongs to."""

    client: Any
    transport: Any


def wait_for(future: Future[T], cancel: Cancel) -> T:
    """Returns a future's result. Raises StepError when the operation has to stop."""
    while True:
        try:
            return future.result(timeout=0.5)
        except FutureTimeout:
            if future.done():
                raise
            cancel.stop_if_set()


class SftpSessions:
    """Up to ``limit`` sessions; fewer if the server allows no more on one connection.

    The first connection is opened by the first use, so a wrong host key or password is an error
    of the step. Thread-safe.
    """

    def __init__(self, server: SftpServer, limit: int, cancel: Cancel) -> None:
        self.server = server
        self.limit = limit
        self._cancel = cancel
        self._changed = threading.Condition()
        self._connecting = threading.Lock()
        self._transport: Optional[Any] = None
        self._free: list[_Session] = []
        self._used = 0
        self._opened = 0
        self._opened_any = False
        self._closed = False
        self._was_connected = False
        self._is_unreachable = False
        self._given_up: Optional[StepError] = None

    def __enter__(self) -> SftpSessions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; operations of other threads fail."""
        with self._changed:
            self._closed = True
            transport, self._transport = self._transport, None
            self._free.clear()
            self._changed.notify_all()
        if transport is not None:
            ssh.close_quietly(transport)

    def connect(self) -> None:
        """Opens a session, which the next use takes. Raises StepError."""
        self.run(lambda _: None, self.server.address, "open a session")

    def run(
        self,
        work: Callable[[Any], T],
        subject: str,
        doing: str,
        progress: Callable[[], int] = lambda: 0,
        *,
        keeps_after_errors: bool = True,
    ) -> T:
        """Returns the result of work with a session; repeats it when the connection is lost.

        A connection that was never made is an error at once, which the step's ``retry`` repeats.
        One that cannot be made again is given up: later work fails without another attempt.
        Attempts count from the last ``progress``. ``subject`` and ``doing`` are for errors, such
        as '/out/a.csv' and 'be read'. Without ``keeps_after_errors`` a session is closed whose
        work fails, since answers may still be on their way. Raises StepError.
        """
        attempt, reached = 0, progress()
        while True:
            self._cancel.stop_if_set()
            if self._given_up is not None:
                raise self._given_up
            is_open = False
            try:
                with self._borrow(keeps_after_errors=keeps_after_errors) as client:
                    is_open = True
                    return work(client)
            except ssh.list_remote_errors() as error:
                failure = translate_error(error, subject, doing)
                if progress() > reached:
                    attempt, reached = 0, progress()
                self._cancel.stop_if_set()
                is_lost = isinstance(failure, ConnectionLost) and self._was_connected
                if not is_lost or attempt >= len(RETRY_SECONDS):
                    if self._is_unreachable and not is_open:
                        self._given_up = failure
                    raise failure from None
            self._cancel.wait(RETRY_SECONDS[attempt])
            attempt += 1

    @contextmanager
    def _borrow(self, *, keeps_after_errors: bool = True) -> Iterator[Any]:
        session = self._acquire()
        keeps = False
        try:
            yield session.client
            keeps = True
        except (OSError, StepError) as error:
            is_lost = isinstance(error, ConnectionLost) or ssh.is_connection_error(error)
            keeps = keeps_after_errors and not is_lost
            if is_lost:  # a connection that is silent may seem to be up
                ssh.close_quietly(session.transport)
            if keeps and not session.transport.is_active():
                keeps = False
                raise ConnectionResetError(str(error)) from None
            raise
        finally:
            self._release(session, keeps=keeps)

    def _acquire(self) -> _Session:
        while True:
            free = self._take_free()
            if free is not None:
                return free
            try:
                return self._open()
            except BaseException as error:
                if not self._give_back(error):
                    raise

    def _take_free(self) -> Optional[_Session]:
        """Waits until a session may be used; returns it, or None if it is to be opened."""
        with self._changed:
            while self._used >= self.limit and not self._closed:
                self._changed.wait(0.5)
                self._cancel.stop_if_set()
            if self._closed:
                raise StepError("stopped before it was done", type="Stopped")
            self._used += 1
            while self._free:
                session = self._free.pop()
                if session.transport.is_active() and not session.client.is_closed():
                    return session
                self._opened -= 1
            return None

    def _give_back(self, error: BaseException) -> bool:
        """Returns True if there are other sessions, which are all that the server allows."""
        with self._changed:
            self._used -= 1
            is_refused = isinstance(error, StepError) and error.type == "ChannelRefused"
            has_others = is_refused and self._opened > 0
            if has_others:
                self.limit = max(1, min(self.limit, self._opened))
            self._changed.notify_all()
        return has_others

    def _open(self) -> _Session:
        """Opens a session, one at a time, so that a refusal shows how many are allowed."""
        with self._connecting:
            transport = self._transport
            if transport is None or not transport.is_active():
                transport = self._connect()
                with self._changed:
                    if self._closed:
                        ssh.close_quietly(transport)
                    self._transport = transport
                    self._was_connected = True
            try:
                session = _Session(ssh.open_channel(transport, self.server), transport)
            except Exception as error:
                if ssh.is_channel_refused(error):
                    raise StepError(
                        f"{self.server.address} opens no SFTP session: {error}",
                        hint="the user may have no access by SFTP; ask the server's operator",
                        type="ChannelRefused",
                    ) from None
                is_first = not self._opened_any
                if is_first and transport.is_active() and not isinstance(error, StepError):
                    raise StepError(
                        f"{self.server.address} does not start SFTP for the user: {error}",
                        hint="the user may have no access by SFTP, or a login script may print"
                        " text; ask the server's operator",
                        type="NoSftp",
                    ) from None
                ssh.close_quietly(transport)
                raise
            with self._changed:
                self._opened += 1
                self._opened_any = True
            return session

    def _connect(self) -> Any:
        try:
            transport = ssh.connect(self.server)
        except BaseException:
            self._is_unreachable = True
            raise
        self._is_unreachable = False
        return transport

    def _release(self, session: _Session, *, keeps: bool) -> None:
        with self._changed:
            self._used -= 1
            if keeps and not self._closed:
                self._free.append(session)
            else:
                self._opened -= 1
            self._changed.notify_all()
        if not keeps:
            ssh.close_quietly(session.client)
