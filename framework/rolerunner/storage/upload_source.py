"""The local files that are uploaded, and must not change meanwhile."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Union

from rolerunner.common.file_errors import not_regular_file_error, translate_os_errors
from rolerunner.errors import LocalFileFailed
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.common.cancellation import Cancel

_READ_AHEAD = 1 << 20
"""Bytes of a file that are read at once to be compressed."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class UploadSource:
    """Reads ranges of a file and detects that it has changed. Raises LocalFileFailed."""

    path: Union[str, Path]
    before: os.stat_result
    follow: bool = True
    """True if a symbolic link is followed."""

    @classmethod
    def of(cls, path: Union[str, Path], *, follow: bool = True) -> UploadSource:
        """Returns the current state of a file.

        Raises LocalFileFailed, also if it is not a regular file.
        """
        try:
            before = os.stat(path, follow_symlinks=follow)
        except OSError:
            with translate_os_errors(path):
                raise
        if not stat.S_ISREG(before.st_mode):
            raise not_regular_file_error(path, before.st_mode)
        return cls(path, before, follow)

    def open(self) -> int:
        """Opens the file and returns its descriptor. A pipe in its place does not block.

        Raises OSError.
        """
        return os.open(self.path, _READ if self.follow else _READ | os.O_NOFOLLOW)

    def __call__(self, start: int, length: int) -> bytes:
        """Returns a range of the file."""
        try:
            descriptor = self.open()
            try:
                data = os.pread(
                    descriptor, length or 1, start
                )  # empty files are read too: files of /proc have a size of 0
                if data and not length:
                    raise LocalFileFailed(
                        f"{self.path}: has content but no size, as files of /proc have, "
                        "and is not read",
                        type="NotAFile",
                    )
                while len(data) < length:
                    more = os.pread(descriptor, length - len(data), start + len(data))
                    if not more:
                        break
                    data += more
                self.check(descriptor, short=len(data) != length)
            finally:
                os.close(descriptor)
        except OSError:
            with translate_os_errors(self.path):
                raise
        return data

    def read_blocks(self, cancel: Cancel) -> Iterator[bytes]:
        """Yields the file block by block."""
        for start in range(0, self.before.st_size or 1, _READ_AHEAD):
            cancel.stop_if_set()
            yield self(start, min(_READ_AHEAD, self.before.st_size - start))

    def check(self, descriptor: int, *, short: bool = False) -> None:
        """Raises LocalFileFailed if the open file has changed."""
        now, before = os.fstat(descriptor), self.before
        if (
            short
            or now.st_mtime_ns != before.st_mtime_ns
            or now.st_size != before.st_size
            or now.st_ino != before.st_ino
        ):
            hint = "upload it when it is no longer being written"
            raise LocalFileFailed(
                f"{self.path}: the file changed while it was read", hint=hint, type="FileChanged"
            )
