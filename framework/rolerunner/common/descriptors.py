"""Folders opened part by part, so that no link leads out of the folder above them."""

from __future__ import annotations

import contextlib
import os
import stat

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.errors import UnsafeKey

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags to open a file that is no link, for this process alone."""
_FOLDER = (
    getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)


def open_below(folder: str, path: str) -> int:
    """Returns a descriptor of a folder below ``folder``; creates missing folders.

    Raises OSError, and UnsafeKey if a part of the path below ``folder`` is a link.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(folder, _FOLDER)
    for part in path[len(folder) :].split(os.sep):
        if part:
            above = descriptor
            try:
                descriptor = _open_inner(above, part, path)
            finally:
                os.close(above)
    return descriptor


def _open_inner(above: int, part: str, path: str) -> int:
    try:
        return os.open(part, _FOLDER | NO_FOLLOW, dir_fd=above)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=above)
        return os.open(part, _FOLDER | NO_FOLLOW, dir_fd=above)
    except OSError:
        if stat.S_ISLNK(os.stat(part, dir_fd=above, follow_symlinks=False).st_mode):
            raise UnsafeKey(
                f"{path} leads through the link '{part}', out of the target folder"
            ) from None
        raise


def remove_file_below(folder: str, path: str) -> None:
    """Deletes a file below a folder, if it exists. Raises LocalFileFailed.

    Raises UnsafeKey if its folder was replaced by a link.
    """
    with translate_os_errors(path):
        above = open_below(folder, os.path.dirname(path))
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.basename(path), dir_fd=above)
        finally:
            os.close(above)
