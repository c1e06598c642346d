"""Removes remote files that were copied, unless they have changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.sftp.listing import lstat_or_none
from rolerunner.sftp.reading import check_unchanged

if TYPE_CHECKING:
    from rolerunner.sftp.listing import RemoteFile
    from rolerunner.sftp.sessions import SftpSessions


def remove_unchanged(sessions: SftpSessions, file: RemoteFile) -> None:
    """Removes a file. Raises StepError if it is not as it was listed."""
    was_requested = False

    def remove(client: Any) -> None:
        nonlocal was_requested
        if was_requested and lstat_or_none(client, file.path) is None:
            return  # the connection was lost before the server's answer
        check_unchanged(file, client.lstat(file.path))
        was_requested = True
        client.remove(file.path)

    sessions.run(remove, file.path, "delete it")
