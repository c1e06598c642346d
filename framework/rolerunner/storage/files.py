"""The local end of a transfer: files that are sent as they were at first, and what is done to one that has come."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import zlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.errors import IntegrityFailed, LocalFileFailed
from rolerunner.model import S3Uri
from rolerunner.storage import checksums
from rolerunner.storage.answers import told_by
from rolerunner.storage.local import done_with, temporary_beside, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.storage.base import ObjectInfo

_BLOCK = 1 << 18


@dataclass(frozen=True)
class FromFile:
    """Reads a file's ranges, and sees when it is not what it was at first. Raises LocalFileFailed."""

    path: Union[str, Path]
    before: os.stat_result

    def __call__(self, start: int, length: int) -> bytes:
        """A range of it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                data = os.pread(descriptor, length, start)
                while len(data) < length:
                    more = os.pread(descriptor, length - len(data), start + len(data))
                    if not more:
                        break
                    data += more
                self.check(descriptor, short=len(data) != length)
            finally:
                os.close(descriptor)
        except OSError:
            with translated(self.path):
                raise
        return data

    def check(self, descriptor: int, *, short: bool = False) -> None:
        """Is the open file what it was at first? Raises LocalFileFailed."""
        now, before = os.fstat(descriptor), self.before
        if short or now.st_mtime_ns != before.st_mtime_ns or now.st_size != before.st_size or now.st_ino != before.st_ino:
            hint = "upload it when whoever writes it is done"
            raise LocalFileFailed(f"{self.path}: the file changed while it was read", hint=hint, type="FileChanged")


class Arrival:
    """A file that is to appear: written under a temporary name, whole or as it comes, then renamed. Raises LocalFileFailed.

    A sink of the lane: ``begin`` starts it, or starts it again.
    """

    __slots__ = ("_descriptor", "_moved", "_target", "got", "running", "temporary")

    def __init__(self, target: Union[str, Path], moved: Callable[[int], None]) -> None:
        self._target = str(target)
        self._moved = moved
        self._descriptor = -1
        self.temporary = ""
        self.running: Optional[checksums.Running] = None
        self.got = 0

    def whole(self, data: bytes) -> None:
        """All of it at once."""
        self._open()
        write_at(self._target, self._descriptor, data, 0)
        self._close()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """An answer's body begins to come."""
        del status
        self._open()
        self.got = 0
        expected = checksums.Expected.of(told_by(headers))
        self.running = expected.start(0, lambda: 0) if expected is not None and not expected.parts else None

    def write(self, data: bytes) -> None:
        """The next bytes."""
        write_at(self._target, self._descriptor, data, self.got)
        self.got += len(data)
        if self.running is not None:
            self.running.update(data)
        self._moved(len(data))

    def appear(self) -> None:
        """It is right: give it its name."""
        self._close()
        try:
            os.replace(self.temporary, self._target)  # noqa: PTH105
        except OSError:
            with translated(self._target):
                raise
        done_with(self.temporary)
        self.temporary = ""

    def discard(self) -> None:
        """Nothing of it is left, unless it has appeared."""
        if self.temporary:
            self._close()
            with contextlib.suppress(OSError):
                os.unlink(self.temporary)  # noqa: PTH108
                done_with(self.temporary)
            self.temporary = ""

    def _open(self) -> None:
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
        self.temporary = self.temporary or temporary_beside(self._target)
        try:
            try:
                self._descriptor = os.open(self.temporary, flags, 0o666)
            except FileNotFoundError:  # its folder is made when it turns out to be missing: most are there
                os.makedirs(os.path.dirname(self._target), exist_ok=True)  # noqa: PTH103, PTH120
                self._descriptor = os.open(self.temporary, flags, 0o666)
        except OSError:
            self.temporary = ""
            with translated(self._target):
                raise

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Landing:
    """A range on its way into an open file: written where it belongs, counted, its checksum computed as it comes.

    A sink of the lane. What is not this range of the object is refused, since it would overwrite its neighbours.
    """

    def __init__(
        self, path: Path, descriptor: int, info: ObjectInfo, start: int, length: int, make: Optional[Callable[[], checksums.Hash]],
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
        check_range(status, headers, self._info, self._start, self._length)
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


def check_range(status: int, headers: Mapping[str, str], info: ObjectInfo, start: int, length: int) -> None:
    """Is it the range that was asked for, of this object? A server may give all of it, and not every one heeds If-Match. Raises IntegrityFailed.

    Every range of the lane comes by here, as the ``begin`` of its sink.
    """
    if headers.get("etag", "").strip('"') != info.etag:
        raise IntegrityFailed(f"{info.key}: the object changed while its ranges were read")
    told = headers.get("content-range", "")
    wanted = f"bytes {start}-{start + length - 1}/"
    whole = status != http.client.PARTIAL_CONTENT and start == 0 and headers.get("content-length") == str(length)
    if told.startswith(wanted) or (not told and (status == http.client.PARTIAL_CONTENT or whole)):
        return
    raise IntegrityFailed(f"bytes {start}-{start + length - 1} were asked for, and {told or 'the whole object'} came")


def write_at(path: Union[Path, str], descriptor: int, data: Any, at: int) -> None:
    """Write all of it at a place of an open file. Raises LocalFileFailed."""
    try:
        while (count := os.pwrite(descriptor, data, at)) < len(data):
            data, at = memoryview(data)[count:], at + count
    except OSError:
        with translated(path):
            raise


def unpack(temporary: Path, uri: S3Uri) -> None:
    """Replace a gzip file by what it holds. Raises IntegrityFailed for one that is not gzip, or not whole."""
    unpacked = temporary.with_name(f"{temporary.name}.gunzip")
    try:
        with gzip.open(temporary, "rb") as packed, unpacked.open("wb") as file:
            for block in iter(lambda: packed.read(_BLOCK), b""):
                file.write(block)
        unpacked.replace(temporary)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IntegrityFailed(f"{uri}: cannot be unpacked: {error}", hint="leave 'decompress' out", type="NotGzip") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            unpacked.unlink()


def keep_time(path: Path, info: ObjectInfo) -> None:
    """Give the file the object's time of modification."""
    moment = datetime.strptime(info.modified, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    os.utime(path, (moment, moment))


def prove(uri: S3Uri, info: ObjectInfo, running: Optional[checksums.Running]) -> None:
    """Raises IntegrityFailed where what came does not have the checksum that S3 tells."""
    if running is not None and not running.matches():
        raise IntegrityFailed(f"{uri}: the bytes that came do not have the checksum {info.checksum} that S3 tells")
