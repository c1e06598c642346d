"""Small local files, and properties of the file system they are on."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from pathlib import Path

from rolerunner.common.file_errors import not_regular_file_error, translate_os_errors
from rolerunner.common.new_files import (
    CREATE_FLAGS,
    PRIVATE,
    TEMPORARY_PREFIX,
    NewFile,
    create_atomically,
)


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Writes a small file atomically: readers see all of it or none. Raises LocalFileFailed.

    With ``private``, only the owner may read it. A device or a pipe is written to directly.
    """
    path = path.absolute()
    if _is_stream(path):
        _write_stream(path, data)
        return
    mode = PRIVATE if private else 0o666
    with (
        create_atomically(path, mode=mode) as file,
        open(file.descriptor, "wb", closefd=False) as stream,
    ):
        stream.write(data)


def read_file(path: Path, limit: int) -> bytes:
    """Returns the first ``limit`` bytes of a file. Raises LocalFileFailed.

    A named pipe or a device is refused, as it may give nothing, or no end.
    """
    with translate_os_errors(path):
        # without waiting for a writer of a pipe
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise not_regular_file_error(path, mode)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(limit)
        finally:
            os.close(descriptor)


def check_writable(path: Path) -> None:
    """Raises LocalFileFailed if a file could not be written there; creates missing folders.

    A pipe is not opened: its reader may come later.
    """
    path = path.absolute()
    with translate_os_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if _is_stream(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
    file = NewFile(path, mode=PRIVATE)
    file.open()
    file.discard()


def copy_file(source: Path, target: Path) -> None:
    """Copies a file atomically; only the owner may read the copy. Raises LocalFileFailed."""
    with (
        translate_os_errors(source),
        source.open("rb") as read,
        create_atomically(target, mode=PRIVATE) as file,
        open(file.descriptor, "wb", closefd=False) as written,
    ):
        shutil.copyfileobj(read, written)


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _write_stream(path: Path, data: bytes) -> None:
    with translate_os_errors(path):
        # a pipe that nobody reads is an error, and does not block
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
        os.set_blocking(descriptor, True)
        with open(descriptor, "wb") as stream:
            stream.write(data)


def is_case_insensitive(folder: Path) -> bool:
    """Returns True if file names that differ only in case are the same file.

    Checks the nearest existing folder.
    """
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    with translate_os_errors(there):
        probe = there / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}a"
        os.close(os.open(probe, CREATE_FLAGS, PRIVATE))
        try:
            return probe.with_name(probe.name.upper()).exists()
        finally:
            probe.unlink()


def count_free_bytes(folder: Path) -> int:
    """Returns the free bytes of the file system of a folder, which need not exist yet."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    with translate_os_errors(there):
        return shutil.disk_usage(there).free
