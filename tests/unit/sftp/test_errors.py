"""An answer of a server becomes an error with a remedy."""

from __future__ import annotations

import errno
import socket

import paramiko
import pytest

from rolerunner.errors import StepError
from rolerunner.sftp.errors import translate_error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOENT, "No such file"), "NotFound", "no such file or folder"),
        (OSError(errno.EACCES, "Permission denied"), "AccessDenied", "allow the user to write it"),
        (OSError("Failure"), "SftpFailed", "failed to write it: Failure"),
        (OSError("Socket is closed"), "ConnectionLost", "connection was lost"),
        (EOFError(), "ConnectionLost", "did not respond in time"),
        (socket.timeout("timed out"), "ConnectionLost", "timed out"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "ConnectionLost", "reset"),
        (paramiko.SSHException("Server connection dropped"), "ConnectionLost", "dropped"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "UnsafeKey", "not UTF-8"),
        (StepError("kept as it is", hint="do", type="Kept"), "Kept", "kept as it is"),
    ],
)
def test_errors(error: BaseException, kind: str, words: str) -> None:
    found = translate_error(error, "/in/a", "write it")
    assert found.type == kind
    assert words in found.message
    assert found.hint


def test_a_failed_write_may_be_a_full_disk() -> None:
    assert "disk or the quota" in translate_error(OSError("Failure"), "/a", "write it").hint
    assert "disk or the quota" not in translate_error(OSError("Failure"), "/a", "read it").hint
