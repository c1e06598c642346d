"""Turns the failures of remote operations into errors that say what to do."""

from __future__ import annotations

import errno

from rolerunner.errors import AccessDenied, NotFound, StepError, UnsafeKey
from rolerunner.sftp.names import show_path
from rolerunner.sftp.ssh import ConnectionLost, is_connection_error


def translate_error(error: BaseException, subject: str, doing: str) -> StepError:
    """Returns the error of a failed operation; ``doing`` is it in words, such as 'be read'."""
    if isinstance(error, StepError):
        return error
    subject = show_path(subject)
    if isinstance(error, UnicodeDecodeError):
        return UnsafeKey(
            f"{subject}: a name on the server is not UTF-8, as keys must be",
            hint="rename it on the server, or name a folder without it as 'source'",
        )
    if is_connection_error(error):
        text = str(error) or "the server did not respond in time"
        return ConnectionLost(
            f"{subject}: the connection was lost: {text}",
            hint="the step can be run again: what was transferred is skipped; a server that"
            " is slow may need a longer 'response_timeout'",
            type="ConnectionLost",
        )
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return NotFound(
            f"{subject}: there is no such file or folder on the server",
            hint="check the path; one without '/' in front begins at the user's own folder",
        )
    if number == errno.EACCES:
        return AccessDenied(
            f"{subject}: the server does not allow the user to {doing}",
            hint="ask the server's operator for the permission, or name another folder",
        )
    return StepError(
        f"{subject}: the server failed to {doing}: {error}",
        hint=_hint_of(doing),
        type="SftpFailed",
    )


def _hint_of(doing: str) -> str:
    if doing.startswith(("write", "rename")):
        return (
            "SFTP has no more precise reason: the disk or the quota of the server may be full,"
            " or a folder may have the name"
        )
    return "the server gives no more precise reason; its operator's log may"
