"""Errors of local files, with what to do about them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Union

from rolerunner.errors import LocalFileFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINTS = {
    errno.ENOSPC: (
        "the disk is full: Glue Python Shell has some 14 GB free in /tmp, Spark workers 94 GB"
    ),
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "the folder or file is not writable for this user",
    errno.EFBIG: (
        "a file may not become so large: raise the process's limit (ulimit -f), or use another "
        "file system"
    ),
    errno.EIO: "the disk, or the network that leads to it, has failed",
    errno.ELOOP: "links lead in a circle: name the folder or file itself",
    errno.ENOENT: "there is no such folder or file: check the path",
    errno.EPERM: "the system does not permit it for this user: the file may be immutable",
    errno.EROFS: "the file system is read-only; in Glue write below /tmp",
    errno.ENAMETOOLONG: "a file name has at most 255 bytes on most file systems",
    errno.ENOTDIR: "a file exists where a folder is needed",
    errno.EISDIR: "a folder exists where the file would be",
    errno.EMFILE: (
        "no more open files are allowed: raise the limit (ulimit -n), or lower 'max_parallel'"
    ),
    errno.ENFILE: "the machine's limit of open files is reached",
}
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
_UTF8 = "run it with PYTHONUTF8=1, or in a UTF-8 locale such as LC_ALL=C.UTF-8"


def not_regular_file_error(path: object, mode: int) -> LocalFileFailed:
    """Returns the error for a path that is not a regular file."""
    kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
    return LocalFileFailed(
        f"{path}: is {kind}, which is not read", hint="leave it out with 'exclude'", type="NotAFile"
    )


def file_replaced_error(path: object) -> LocalFileFailed:
    """Returns the error for a temporary file that was replaced while it was written."""
    hint = "use a folder that no other user can write to"
    return LocalFileFailed(
        f"{path}: its temporary file was replaced while it was written",
        hint=hint,
        type="FileReplaced",
    )


def name_not_encodable_error(subject: str, error: UnicodeEncodeError) -> LocalFileFailed:
    """Returns the error for a file name that the file system's encoding lacks a character for."""
    character = error.object[error.start : error.start + 1]
    encoding = sys.getfilesystemencoding()
    return LocalFileFailed(
        f"{subject}: the file system's encoding here is {encoding}, which has no {character!a}",
        hint=_UTF8,
        type="FileNameNotEncodable",
    )


@contextlib.contextmanager
def translate_os_errors(path: Union[Path, str]) -> Iterator[None]:
    """Converts OSError to LocalFileFailed with a hint."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise name_not_encodable_error(f"{str(path)!a}", error) from error
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "OSError")
        kind = "DiskFull" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "LocalFileFailed"
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise LocalFileFailed(
            f"{path}: {reason}", hint=_HINTS.get(error.errno or 0, code), type=kind
        ) from error
