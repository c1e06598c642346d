"""Reads remote files: small ones whole, large ones in segments, several of them at once."""

from __future__ import annotations

import stat
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rolerunner.errors import StepError
from rolerunner.sftp.names import show_path
from rolerunner.sftp.sessions import wait_for
from rolerunner.sftp.ssh import list_remote_errors
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from rolerunner.common.cancellation import Cancel
    from rolerunner.sftp.listing import RemoteFile
    from rolerunner.sftp.sessions import SftpSessions

MIB = 1 << 20
SEGMENT = 4 * MIB
"""Bytes that are read by one session at a time, and again if its connection is lost."""
_SEGMENTS_AT_ONCE = 2
"""Segments that are being read; one more waits to be used. Each takes its size three times."""
CHUNK = 1 << 15
"""Bytes of one request; every server answers that much (draft-ietf-secsh-filexfer-02, section 3).
"""


def read_whole(sessions: SftpSessions, file: RemoteFile) -> bytes:
    """Returns the bytes of a small file. Raises StepError, also if it has changed."""
    return sessions.run(partial(_read_range, file, 0, file.size), file.path, "read it")


def read_segments(sessions: SftpSessions, file: RemoteFile, cancel: Cancel) -> Iterator[bytes]:
    """Yields the bytes of a large file in their order, in bounded memory.

    Of a lost connection only the segments in flight are read again. Raises StepError, also if the
    file has changed since it was listed.
    """
    at_once = max(1, min(_SEGMENTS_AT_ONCE, sessions.limit))
    pending: deque[Future[bytes]] = deque()
    with ThreadPool(at_once, thread_name_prefix="rolerunner-sftp-read") as pool:
        try:
            for start in range(0, file.size, SEGMENT):
                cancel.stop_if_set()
                length = min(SEGMENT, file.size - start)
                read = partial(_read_range, file, start, length)
                pending.append(pool.submit(sessions.run, read, file.path, "read it"))
                if len(pending) > at_once:
                    yield wait_for(pending.popleft(), cancel)
            while pending:
                yield wait_for(pending.popleft(), cancel)
        finally:
            for each in pending:
                each.cancel()
    sessions.run(lambda client: check_unchanged(file, client.stat(file.path)), file.path, "read it")


def _read_range(file: RemoteFile, start: int, length: int, client: Any) -> bytes:
    with client.open(file.path, "rb") as opened:
        data = read_at(opened, start, length)
        check_unchanged(file, opened.stat())
    if len(data) != length:
        raise make_changed_error(file)
    return data


def read_at(opened: Any, start: int, length: int) -> bytes:
    """Returns the bytes of a range, requested all at once; fewer at the end of the file."""
    if length <= CHUNK:
        opened.seek(start)
        return bytes(opened.read(length)) if length else b""
    _end_requests_quietly(opened)
    chunks = [(at, min(CHUNK, start + length - at)) for at in range(start, start + length, CHUNK)]
    return b"".join(opened.readv(chunks))


def _end_requests_quietly(opened: Any) -> None:
    """Lets the thread of paramiko that sends requests end without a traceback.

    If the connection is lost, whoever reads the answers gets the error.
    """
    send = opened._prefetch_thread  # noqa: SLF001 - paramiko offers nothing else

    def send_quietly(*arguments: Any) -> None:
        with suppress(*list_remote_errors()):
            send(*arguments)

    opened._prefetch_thread = send_quietly  # noqa: SLF001


def check_unchanged(file: RemoteFile, now: Any) -> None:
    """Raises StepError unless the attributes are those of the file as it was listed."""
    is_regular = now.st_mode is None or stat.S_ISREG(now.st_mode)
    if not is_regular or (now.st_size, int(now.st_mtime or 0)) != (file.size, file.mtime):
        raise make_changed_error(file)


def make_changed_error(file: RemoteFile) -> StepError:
    """Returns the error that a file is not as it was listed."""
    return StepError(
        f"{show_path(file.path)}: the file on the server changed while it was copied",
        hint="leave files out that are still being written, for example with 'min_age: 5m'",
        type="SourceChanged",
    )
