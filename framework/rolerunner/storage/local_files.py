"""The local end of a transfer: files that are sent as they were at first, and what is done to one that has come."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import stat
import zlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.common.files import (
    NewFile,
    TargetFolder,
    file_replaced_error,
    not_regular_file_error,
    translate_os_errors,
)
from rolerunner.errors import IntegrityFailed, LocalFileFailed
from rolerunner.model import S3Uri
from rolerunner.storage import integrity
from rolerunner.storage.responses import find_checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolerunner.storage.protocol import ObjectInfo

_BLOCK = 1 << 18
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class UploadSource:
    """Reads a file's ranges, and sees when it is not what it was at first. Raises LocalFileFailed."""

    path: Union[str, Path]
    before: os.stat_result
    follow: bool = True
    """Whether a link is followed."""

    @classmethod
    def of(cls, path: Union[str, Path], *, follow: bool = True) -> UploadSource:
        """The file as it is now. Raises LocalFileFailed, also for what is no regular file."""
        try:
            before = os.stat(path, follow_symlinks=follow)
        except OSError:
            with translate_os_errors(path):
                raise
        if not stat.S_ISREG(before.st_mode):
            raise not_regular_file_error(path, before.st_mode)
        return cls(path, before, follow)

    def open(self) -> int:
        """A descriptor to read from; a pipe that has taken the file's place does not block. Raises OSError."""
        return os.open(self.path, _READ if self.follow else _READ | os.O_NOFOLLOW)

    def __call__(self, start: int, length: int) -> bytes:
        """A range of it."""
        try:
            descriptor = self.open()
            try:
                data = os.pread(
                    descriptor, length or 1, start
                )  # an empty file is read as well: those of /proc only say that they are empty
                if data and not length:
                    raise LocalFileFailed(
                        f"{self.path}: has content but no size, as files of /proc have, and is not read",
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

    def check(self, descriptor: int, *, short: bool = False) -> None:
        """Is the open file what it was at first? Raises LocalFileFailed."""
        now, before = os.fstat(descriptor), self.before
        if (
            short
            or now.st_mtime_ns != before.st_mtime_ns
            or now.st_size != before.st_size
            or now.st_ino != before.st_ino
        ):
            hint = "upload it when whoever writes it is done"
            raise LocalFileFailed(
                f"{self.path}: the file changed while it was read", hint=hint, type="FileChanged"
            )


class DownloadSink:
    """A file that is to appear: written under a temporary name, whole or as it comes, then renamed. Raises LocalFileFailed.

    A sink of the lane: ``begin`` starts it, or starts it again.
    """

    __slots__ = ("_bound", "_moved", "_size", "_target", "file", "got", "running")

    def __init__(
        self,
        target: Union[str, Path],
        moved: Callable[[int], None],
        size: int,
        folder: Optional[TargetFolder] = None,
    ) -> None:
        self._target = target
        self._moved = moved
        self._size = size
        """Bytes of the object as it was listed: the bound of an answer that tells no length."""
        self._bound: Optional[int] = None
        self.file = NewFile(target, folder)
        self.running: Optional[integrity.RunningChecksum] = None
        self.got = 0

    def write_all(self, data: bytes) -> None:
        """All of it at once."""
        write_at(self._target, self.file.open(), data, 0)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """An answer's body begins to come."""
        del status
        self.file.open()
        self.got = 0
        self._bound = None if "content-length" in headers else self._size
        expected = integrity.ExpectedChecksum.of(find_checksum(headers))
        self.running = (
            expected.start(0, lambda: 0) if expected is not None and not expected.parts else None
        )

    def write(self, data: bytes) -> None:
        """The next bytes. Raises IntegrityFailed for more than the object has."""
        if self._bound is not None and self.got + len(data) > self._bound:
            raise IntegrityFailed(
                f"{self._target}: received more than the {self._bound:,} bytes of the object"
            )
        write_at(self._target, self.file.descriptor, data, self.got)
        self.got += len(data)
        if self.running is not None:
            self.running.update(data)
        self._moved(len(data))

    def commit(self) -> None:
        """It is right: give it its name."""
        self.file.commit()

    def discard(self) -> None:
        """Nothing of it is left, unless it has appeared."""
        self.file.discard()


@dataclass(frozen=True)
class SharedFile:
    """A temporary file that this process has open, for another process to open: what is there later must be the same file."""

    path: str
    inode: int
    device: int

    @classmethod
    def of(cls, file: NewFile) -> SharedFile:
        """The open file."""
        status = os.fstat(file.descriptor)
        return cls(file.temporary, status.st_ino, status.st_dev)

    @contextlib.contextmanager
    def writable(self) -> Iterator[int]:
        """A descriptor to write to the file. Raises LocalFileFailed, also where another file has its place."""
        with translate_os_errors(self.path):
            descriptor = os.open(
                self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        try:
            status = os.fstat(descriptor)
            if (status.st_ino, status.st_dev) != (self.inode, self.device):
                raise file_replaced_error(self.path)
            yield descriptor
        finally:
            os.close(descriptor)


class RangeSink:
    """A range on its way into an open file: written where it belongs, counted, its checksum computed as it comes.

    A sink of the lane. What is not this range of the object is refused, since it would overwrite its neighbours.
    """

    def __init__(
        self, path: Path, descriptor: int, info: ObjectInfo, start: int, length: int, make: Optional[Callable[[], integrity.Hash]],
        moved: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._path = path
        self._descriptor = descriptor
        self._info = info
        self._start = start
        self._length = length
        self._make = make
        self._running = make() if make is not None else None
        self._moved = moved
        self.got = 0

    @property
    def crc(self) -> bytes:
        """The checksum of what came."""
        return self._running.digest() if self._running is not None else b""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """An answer begins to come, the first or another one. Raises IntegrityFailed for what is not this range."""
        check_range_headers(status, headers, self._info, self._start, self._length)
        self.got = 0
        self._running = self._make() if self._make is not None else None

    def write(self, data: Any) -> None:
        """The next bytes. Raises LocalFileFailed, IntegrityFailed for more than was asked for, StepError when stopped."""
        if self.got + len(data) > self._length:
            raise IntegrityFailed(f"{self._path}: more bytes came than were asked for")
        write_at(self._path, self._descriptor, data, self._start + self.got)
        if self._running is not None:
            self._running.update(data)
        self.got += len(data)
        self._moved(len(data))


def check_range_headers(
    status: int, headers: Mapping[str, str], info: ObjectInfo, start: int, length: int
) -> None:
    """Is it the range that was asked for, of this object? A server may give all of it, and not every one heeds If-Match. Raises IntegrityFailed.

    Every range of the lane comes by here, as the ``begin`` of its sink.
    """
    if headers.get("etag", "").strip('"') != info.etag:
        raise IntegrityFailed(f"{info.key}: the object changed while its ranges were read")
    told = headers.get("content-range", "")
    wanted = f"bytes {start}-{start + length - 1}/"
    whole = (
        status != http.client.PARTIAL_CONTENT
        and start == 0
        and headers.get("content-length") == str(length)
    )
    if told.startswith(wanted) or (not told and (status == http.client.PARTIAL_CONTENT or whole)):
        return
    raise IntegrityFailed(
        f"bytes {start}-{start + length - 1} were asked for, and {told or 'the whole object'} came"
    )


def write_at(path: Union[Path, str], descriptor: int, data: Any, at: int) -> None:
    """Write all of it at a place of an open file. Raises LocalFileFailed."""
    try:
        while (count := os.pwrite(descriptor, data, at)) < len(data):
            data, at = memoryview(data)[count:], at + count
    except OSError:
        with translate_os_errors(path):
            raise


def decompress_file(
    file: NewFile, target: Union[str, Path], uri: S3Uri, folder: Optional[TargetFolder]
) -> None:
    """Replace a gzip file by what it holds. Raises IntegrityFailed for one that is not gzip, or not whole."""
    unpacked = NewFile(target, folder)
    try:
        _check_filled(file)
        os.lseek(file.descriptor, 0, os.SEEK_SET)
        with (
            open(file.descriptor, "rb", closefd=False) as read,
            gzip.open(read, "rb") as packed,
            open(unpacked.open(), "wb", closefd=False) as written,
        ):
            written.writelines(iter(lambda: packed.read(_BLOCK), b""))
        file.replace_by(unpacked)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IntegrityFailed(
            f"{uri}: cannot be unpacked: {error}", hint="leave 'decompress' out", type="NotGzip"
        ) from None
    finally:
        unpacked.discard()


def _check_filled(file: NewFile) -> None:
    """Raises EOFError for an empty file, which Python's gzip takes for one that holds nothing."""
    if not os.fstat(file.descriptor).st_size:
        raise EOFError("it is empty, which no gzip file is")


def set_modified_time(file: NewFile, info: ObjectInfo) -> None:
    """Give the file the object's time of modification."""
    moment = (
        datetime.strptime(info.modified, "%Y-%m-%dT%H:%M:%SZ")
        .replace(tzinfo=timezone.utc)
        .timestamp()
    )
    os.utime(file.descriptor, (moment, moment))


def verify_checksum(
    uri: S3Uri, info: ObjectInfo, running: Optional[integrity.RunningChecksum]
) -> None:
    """Raises IntegrityFailed where what came does not have the checksum that S3 tells."""
    if running is not None and not running.matches():
        raise IntegrityFailed(
            f"{uri}: the bytes that came do not have the checksum {info.checksum} that S3 tells"
        )
