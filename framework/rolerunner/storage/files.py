"""The local end of a transfer: files that are sent as they were at first, and what is done to one that has come."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import IntegrityFailed, LocalFileFailed
from rolerunner.model import S3Uri
from rolerunner.storage.local import translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.storage import checksums
    from rolerunner.storage.base import ObjectInfo

_BLOCK = 1 << 18


@dataclass(frozen=True)
class FromFile:
    """Reads a file's ranges, and sees when it is not what it was at first. Raises LocalFileFailed."""

    path: Path
    before: os.stat_result

    def __call__(self, start: int, length: int) -> bytes:
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


class Landing:
    """A range on its way into an open file: written where it belongs, counted, its checksum computed as it comes."""

    def __init__(self, path: Path, descriptor: int, start: int, running: Optional[checksums.Hash], moved: Callable[[int], None]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._start = start
        self._running = running
        self._moved = moved
        self.got = 0

    @property
    def crc(self) -> bytes:
        """The checksum of what came."""
        return self._running.digest() if self._running is not None else b""

    def write(self, data: Any) -> None:
        """The next bytes. Raises LocalFileFailed, StepError when stopped."""
        write_at(self._path, self._descriptor, data, self._start + self.got)
        if self._running is not None:
            self._running.update(data)
        self.got += len(data)
        self._moved(len(data))


def write_at(path: Path, descriptor: int, data: Any, at: int) -> None:
    """Write all of it at a place of an open file. Raises LocalFileFailed."""
    view = memoryview(data)
    try:
        while view:
            count = os.pwrite(descriptor, view, at)
            view, at = view[count:], at + count
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
