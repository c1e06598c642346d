"""Reads remote files: small ones whole, large ones in segments, several of them at once."""

from __future__ import annotations

import stat
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from rolerunner.errors import StepError
from rolerunner.sftp.listing import may_be
from rolerunner.sftp.names import show_path
from rolerunner.sftp.sessions import wait_for
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
    is_last = start + length == file.size
    with client.open_file(file.path, "read") as opened:
        data: bytes = opened.read(start, length, to_end=is_last)
        check_unchanged(file, opened.stat())
    if len(data) > length:
        raise StepError(
            f"{show_path(file.path)}: the file has more bytes than the {file.size:,} that the"
            " server reports, so it cannot be copied whole",
            hint="leave it out with 'exclude', and tell the server's operator",
            type="SourceChanged",
        )
    if len(data) != length:
        raise make_changed_error(file)
    return data


def check_unchanged(file: RemoteFile, now: Any) -> None:
    """Raises StepError unless the attributes are those of the file as it was listed."""
    is_file = may_be(now.st_mode, stat.S_IFREG)
    is_later = file.mtime is not None and now.st_mtime != file.mtime
    if not is_file or now.st_size != file.size or is_later:
        raise make_changed_error(file)


def make_changed_error(file: RemoteFile) -> StepError:
    """Returns the error that a file is not as it was listed."""
    return StepError(
        f"{show_path(file.path)}: the file on the server changed while it was copied",
        hint="leave files out that are still being written, for example with 'min_age: 5m'",
        type="SourceChanged",
    )
