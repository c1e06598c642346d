"""Reads the members of archives in S3, in bounded memory, and distrusts what they say."""

from __future__ import annotations

import math
import stat
import tarfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import IntegrityFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.selection.names import format_timestamp
from rolerunner.storage.decompression import DecompressionBounds, decompress_blocks

if TYPE_CHECKING:
    from rolerunner.actions.archive_formats import ArchiveFormat
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.protocol import ObjectInfo, Storage

_BLOCK = 1 << 20
_MAX_HEADERS = 1 << 20
"""Bytes of headers that one member of a tar may have."""
_LAST_SECOND = 253402300799
"""The end of the year 9999."""


@dataclass(frozen=True)
class PackedMember:
    """A member of an archive; ``special`` says what it is if it is neither file nor folder.

    The blocks of its content are read once, before the next member is drawn.
    """

    name: str
    size: int
    modified: str
    blocks: Iterable[bytes]
    special: str = ""


@dataclass(frozen=True)
class PackedArchive:
    """An archive in S3, read under a role."""

    uri: S3Uri
    info: ObjectInfo
    kind: ArchiveFormat
    storage: Storage
    cancel: Cancel

    def members(self, bounds: DecompressionBounds) -> Generator[PackedMember, None, None]:
        """Yields the files and special members in their order.

        Raises IntegrityFailed for an archive that is damaged, cut short or too large.
        """
        if self.kind.container == "zip":
            from rolerunner.actions.zip_reading import read_zip  # noqa: PLC0415 - few are zips

            return read_zip(self, bounds)
        return self._read_tar(bounds)

    def blocks(self, within: Optional[tuple[int, int]] = None) -> Generator[bytes, None, None]:
        """Yields the bytes of the archive, or of a range of it. Raises StepError."""
        items = [(self.uri, self.info)]
        with closing(self.storage.read_in_order(items, self.cancel, within=within)) as blocks:
            for block in blocks:
                if block.error is not None:
                    raise block.error
                yield block.data

    def describe_damage(self, bounds: DecompressionBounds, reason: str) -> IntegrityFailed:
        """Returns the error of an archive that cannot be read; the bounds say where."""
        return IntegrityFailed(
            f"{bounds.subject}: the archive is damaged: {reason}",
            hint="check that it is complete, and of the format that its name or 'format' says",
            type="DamagedArchive",
        )

    def _read_tar(self, bounds: DecompressionBounds) -> Generator[PackedMember, None, None]:
        with closing(self.blocks()) as packed:
            yield from self._read_members(packed, bounds)

    def _read_members(
        self, packed: Iterator[bytes], bounds: DecompressionBounds
    ) -> Iterator[PackedMember]:
        codec = self.kind.codec
        content = (
            _count(packed, bounds) if codec is None else decompress_blocks(packed, codec, bounds)
        )
        file = _ForwardFile(content)
        with self._translate_errors(bounds):
            tar = tarfile.TarFile(
                fileobj=file,  # type: ignore[arg-type]  # it has what is called
                tarinfo=_StrictInfo,
                encoding="utf-8",
                errors="surrogateescape",
            )
        while True:
            file.allow_headers()
            with self._translate_errors(bounds):
                info = tar.next()
            if info is None:
                break
            del tar.members[:]  # type: ignore[attr-defined]  # a million would take a gigabyte
            bounds.subject = f"the member {info.name!r} of {self.uri}"
            if info.size < 0:
                raise self.describe_damage(bounds, "its size is negative")
            if _count_text(tar.pax_headers) > _MAX_HEADERS:  # kept until the end
                reason = f"its global headers have more than {_MAX_HEADERS:,} bytes"
                raise self.describe_damage(bounds, reason)
            if not info.isdir():
                yield self._describe(info, file, bounds)
        self._check_end(file, bounds)

    def _describe(
        self, info: tarfile.TarInfo, file: _ForwardFile, bounds: DecompressionBounds
    ) -> PackedMember:
        mtime = int(info.mtime) if math.isfinite(info.mtime) else 0
        moment = datetime.fromtimestamp(min(max(mtime, 0), _LAST_SECOND), timezone.utc)
        return PackedMember(
            info.name,
            info.size,
            format_timestamp(moment),
            self._read_member(info, file, bounds),
            _name_type(info),
        )

    def _read_member(
        self, info: tarfile.TarInfo, file: _ForwardFile, bounds: DecompressionBounds
    ) -> Iterator[bytes]:
        left = info.size
        while left:
            data = file.take(min(left, _BLOCK))
            if not data:
                raise self.describe_damage(bounds, f"it ends {left:,} bytes before the member does")
            left -= len(data)
            yield data

    def _check_end(self, file: _ForwardFile, bounds: DecompressionBounds) -> None:
        """Reads what follows the last member, so that checksums of the whole are verified."""
        bounds.subject = str(self.uri)
        while data := file.take(_BLOCK):
            if data.strip(b"\0"):
                raise self.describe_damage(bounds, "other data follows its end")

    @contextmanager
    def _translate_errors(self, bounds: DecompressionBounds) -> Iterator[None]:
        try:
            yield
        except tarfile.TarError as error:
            raise self.describe_damage(bounds, f"after this, {error}") from None
        except (ValueError, OverflowError, RecursionError, _TooManyHeaders) as error:
            reason = str(error) or type(error).__name__
            raise self.describe_damage(
                bounds, f"a header that follows is not one of tar: {reason}"
            ) from None


class _TooManyHeaders(Exception):
    """The headers of a member are larger than any that make sense."""


class _StrictInfo(tarfile.TarInfo):
    """A header; tarfile takes one that is damaged for the end of the archive, and this does not."""

    @classmethod
    def fromtarfile(cls, archive: Any) -> _StrictInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
            raise tarfile.ReadError("the archive is cut short: it has no end") from None
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"the next header cannot be read: {error}") from None


class _ForwardFile:
    """A file that tarfile reads headers from; it seeks by reading on."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._buffer = b""
        self._at = self._start = 0
        self._headers = 0

    def allow_headers(self) -> None:
        """Counts the bytes of headers anew."""
        self._headers = 0

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        """Reads a header. Raises _TooManyHeaders."""
        self._headers += size
        if size < 0 or self._headers > _MAX_HEADERS:
            raise _TooManyHeaders(f"it has more than {_MAX_HEADERS:,} bytes")
        found = bytearray()
        while len(found) < size and (data := self.take(size - len(found))):
            found += data
        return bytes(found)

    def seek(self, position: int) -> None:
        if position < self._at:
            raise _TooManyHeaders("it leads back to an earlier member")
        while self._at < position and self.take(min(position - self._at, _BLOCK)):
            pass

    def take(self, most: int) -> bytes:
        """Returns the next bytes, at most so many; none at the end."""
        while self._start >= len(self._buffer):
            self._buffer, self._start = next(self._blocks, b""), 0
            if not self._buffer:
                return b""
        data = self._buffer[self._start : self._start + most]
        self._start += len(data)
        self._at += len(data)
        return data


def _count(blocks: Iterable[bytes], bounds: DecompressionBounds) -> Iterator[bytes]:
    for block in blocks:
        bounds.add_input(len(block))
        bounds.add_output(len(block))
        yield block


def _count_text(headers: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in headers.items())


def _name_type(info: tarfile.TarInfo) -> str:
    """Returns what a member is, besides a file; empty for a file."""
    if info.issym():
        return "a symbolic link"
    if info.islnk():
        return "a hard link"
    if info.isdev():
        return "a device or pipe"
    if info.issparse():
        return "a sparse file"
    return "" if info.isreg() else "of an unknown type"


def name_unix_type(mode: int) -> str:
    """Returns what a file of this mode is, besides a file; empty for a file."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    kinds = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
    return "a device or pipe" if stat.S_IFMT(mode) in kinds else ""
