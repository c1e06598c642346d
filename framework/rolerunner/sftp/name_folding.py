"""Finds out whether a server has one file for names that differ in case alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.sftp.listing import lstat_or_none

if TYPE_CHECKING:
    from rolerunner.sftp.sessions import SftpSessions


def is_case_insensitive(sessions: SftpSessions, folder: str) -> bool:
    """Returns True if a folder is found under its name in the other case.

    Nothing is written. The user's own folder is tried as well, since the other one may not exist
    yet; False if neither has a letter. Raises StepError.
    """
    return bool(sessions.run(lambda client: _finds_swapped(client, folder), folder, "look it up"))


def _finds_swapped(client: Any, folder: str) -> bool:
    for path in (folder.rstrip("/"), client.normalize(".")):
        there = lstat_or_none(client, path) if path.swapcase() != path else None
        if there is not None:
            swapped = lstat_or_none(client, path.swapcase())
            return swapped is not None and swapped.st_mtime == there.st_mtime
    return False
