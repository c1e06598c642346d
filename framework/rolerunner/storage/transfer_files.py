"""The local files that objects are written to, which are renamed once they are complete."""

from __future__ import annotations

import contextlib
import http.client
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.common.file_errors import (
    file_replaced_error,
    translate_os_errors,
)
from rolerunner.common.new_files import NewFile, TargetFolder
from rolerunner.errors import IntegrityFailed, UnexpectedResponse
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, integrity
from rolerunner.storage.decompression import decompress_blocks
from rolerunner.storage.kept_times import find_mtime
from rolerunner.storage.responses import find_checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolerunner.storage.decompression import Decompression
    from rolerunner.storage.parts import ObjectRange
    from rolerunner.storage.protocol import ObjectInfo

_BLOCK = 1 << 18


class DownloadSink:
    """A file that is downloaded under a temporary name and then renamed. Raises LocalFileFailed.

    It is a sink: ``begin`` starts it, or starts it again.
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
        """Size of the listed object in bytes, which bounds a response without a length."""
        self._bound: Optional[int] = None
        self.file = NewFile(target, folder)
        self.running: Optional[integrity.RunningChecksum] = None
        self.got = 0

    def write_all(self, data: bytes) -> None:
        """Writes the whole file."""
        write_at(self._target, self.file.open(), data, 0)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Starts the body of a response."""
        del status
        self.file.open()
        self.got = 0
        self._bound = None if "content-length" in headers else self._size
        expected = integrity.ExpectedChecksum.of(find_checksum(headers))
        self.running = (
            expected.start(0, lambda: 0) if expected is not None and not expected.parts else None
        )

    def write(self, data: bytes) -> None:
        """Writes the next bytes. Raises IntegrityFailed for more than the object has."""
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
        """Renames the file to its target."""
        self.file.commit()

    def discard(self) -> None:
        """Deletes the temporary file, unless it was committed."""
        self.file.discard()


@dataclass(frozen=True)
class SharedFile:
    """A temporary file that another process opens by its path, and recognises by its inode."""

    path: str
    inode: int
    device: int

    @classmethod
    def of(cls, file: NewFile) -> SharedFile:
        """Returns the shared file for an open one."""
        status = os.fstat(file.descriptor)
        return cls(file.temporary, status.st_ino, status.st_dev)

    @contextlib.contextmanager
    def writable(self) -> Iterator[int]:
        """Opens the file for writing.

        Raises LocalFileFailed, also if another file has taken its place.
        """
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
    """A sink that writes a range to its place in an open file and computes its checksum.

    It rejects responses that hold another range, which would overwrite other parts of the file.
    """

    def __init__(
        self,
        path: Path,
        descriptor: int,
        source: ObjectRange,
        make: Optional[Callable[[], hashing.Hash]],
        moved: Callable[[int], None],
    ) -> None:
        self._path = path
        self._descriptor = descriptor
        self._source = source
        self._make = make
        self._running = make() if make is not None else None
        self._moved = moved
        self.got = 0

    @property
    def crc(self) -> bytes:
        """The checksum of the received bytes."""
        return self._running.digest() if self._running is not None else b""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Starts a response, the first or another one.

        Raises IntegrityFailed if it is not this range.
        """
        check_range_headers(status, headers, self._source)
        self.got = 0
        self._running = self._make() if self._make is not None else None

    def write(self, data: Any) -> None:
        """Writes the next bytes.

        Raises LocalFileFailed, IntegrityFailed for too many bytes, StepError on cancellation.
        """
        source = self._source
        if self.got + len(data) > source.length:
            raise IntegrityFailed(f"{self._path}: received more bytes than requested")
        write_at(self._path, self._descriptor, data, source.start + self.got)
        if self._running is not None:
            self._running.update(data)
        self.got += len(data)
        self._moved(len(data))


def check_range_headers(status: int, headers: Mapping[str, str], source: ObjectRange) -> None:
    """Checks that a response is the requested range of this object.

    Raises IntegrityFailed, and UnexpectedResponse for one that is of no object. A server may return
    the whole object, and not every one supports If-Match.
    """
    start, length = source.start, source.length
    if not headers.get("etag"):
        raise UnexpectedResponse(f"{source.uri}: S3 returned {status} to a range without an ETag")
    if headers.get("etag", "").strip('"') != source.info.etag:
        raise IntegrityFailed(f"{source.uri}: the object changed while its ranges were read")
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
        f"{source.uri}: requested bytes {start}-{start + length - 1},"
        f" received {told or 'the whole object'}"
    )


def write_at(path: Union[Path, str], descriptor: int, data: Any, at: int) -> None:
    """Writes data to a position of an open file. Raises LocalFileFailed."""
    try:
        while (count := os.pwrite(descriptor, data, at)) < len(data):
            data, at = memoryview(data)[count:], at + count
    except OSError:
        with translate_os_errors(path):
            raise


def decompress_file(
    file: NewFile,
    target: Union[str, Path],
    uri: S3Uri,
    folder: Optional[TargetFolder],
    decompression: Decompression,
    encoding: str,
) -> None:
    """Replaces a compressed file by its content. Raises IntegrityFailed if that is not possible.

    ``encoding`` is the object's Content-Encoding.
    """
    codec = decompression.find_codec(encoding)
    if not codec:
        return
    unpacked = NewFile(target, folder)
    try:
        os.lseek(file.descriptor, 0, os.SEEK_SET)
        with (
            open(file.descriptor, "rb", closefd=False) as read,
            open(unpacked.open(), "wb", closefd=False) as written,
        ):
            blocks = iter(lambda: read.read(_BLOCK), b"")
            bounds = decompression.bounds(str(uri))
            written.writelines(decompress_blocks(blocks, codec, bounds))
        file.replace_by(unpacked)
    finally:
        unpacked.discard()


def set_modified_time(file: NewFile, info: ObjectInfo) -> None:
    """Sets the file's modification time to the object's, which its metadata may hold."""
    moment = find_mtime(info)
    if moment is not None:
        os.utime(file.descriptor, ns=(moment, moment))


def verify_checksum(
    uri: S3Uri, info: ObjectInfo, running: Optional[integrity.RunningChecksum]
) -> None:
    """Raises IntegrityFailed if the received bytes do not have the object's checksum."""
    if running is not None and not running.matches():
        raise IntegrityFailed(
            f"{uri}: checksum mismatch: the received bytes are not {info.checksum}"
        )
