"""Serves SSH connections by paramiko, for the servers of the tests of SFTP."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import paramiko

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator


@contextmanager
def serve_ssh(
    listener: socket.socket, host_key: Any, begin_login: Callable[[], Any], *subsystem: Any
) -> Iterator[None]:
    """Answers the connections of ``listener`` while the block runs, and closes them at its end.

    ``begin_login`` is called for each and returns its ServerInterface; ``subsystem`` is the handler
    of SFTP and its arguments.
    """
    transports: list[Any] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                login = begin_login()
                transport = paramiko.Transport(connection)
                transport.set_log_channel("rolerunner.sftp.ssh")
                transport.add_server_key(host_key)
                transport.set_subsystem_handler("sftp", *subsystem)
                transports.append(transport)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=login)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listener.close()
        for each in transports:
            each.close()
