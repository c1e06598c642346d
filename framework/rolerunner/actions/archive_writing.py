"""Writes archives to a stream that cannot seek, member by member and in bounded memory."""

from __future__ import annotations

import pickle
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any, Optional, Protocol, cast

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.compression import Compression, open_compressor, open_deflater

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.actions.archive_formats import ArchiveFormat
    from rolerunner.storage.protocol import ByteSink

_MODE = 0o644
_HEADERS = 2048
"""Bytes that a member takes at most besides its content and its name."""
_ENDS = 64 << 10
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_ZIP_LAST = (2107, 12, 31, 23, 59, 58)
"""The first and last time that a zip archive can express."""
_REGULAR_FILE = 0o100000
_UNIX = 3
_LARGE = 2_000_000_000
"""Bytes from which a member of a zip archive has sizes of 64 bits."""


@dataclass(frozen=True)
class Member:
    """A file of an archive. ``modified`` is in the format of S3; empty if unknown."""

    name: str
    size: int
    modified: str


class ArchiveWriter(Protocol):
    """Writes the members of an archive one after the other."""

    def begin(self, member: Member) -> None:
        """Begins a member."""

    def write(self, data: bytes) -> None:
        """Adds bytes to the member, in all as many as its size."""

    def end(self) -> None:
        """Ends the member."""

    def close(self) -> None:
        """Ends the archive."""


def bound_size(count: int, content: int, names: int) -> int:
    """Returns the bytes that an archive has at most: of members, their content and names."""
    return content + (content >> 8) + count * _HEADERS + names * 4 + _ENDS


@contextmanager
def open_archive(
    kind: ArchiveFormat, sink: ByteSink, level: Optional[int], folder: Path
) -> Iterator[ArchiveWriter]:
    """Opens an archive that ends with the block. ``folder`` takes what does not fit in memory."""
    if kind.container == "zip":
        with _ZipWriter(sink, 6 if level is None else level, folder) as writer:
            yield writer
            writer.close()
        return
    packed = None if kind.codec is None else CompressingSink(sink, kind.codec, level)
    tar = _TarWriter(sink if packed is None else packed)
    yield tar
    tar.close()
    if packed is not None:
        packed.close()


class CompressingSink:
    """Compresses what is written, and writes it to another sink."""

    def __init__(self, sink: ByteSink, codec: str, level: Optional[int]) -> None:
        self._sink = sink
        self._compressor = open_compressor(Compression.of(codec, level))

    def write(self, data: Any) -> int:
        """Compresses bytes; returns their number."""
        if ready := self._compressor.compress(data):
            self._sink.write(ready)
        return len(data)

    def close(self) -> None:
        """Writes the rest."""
        self._sink.write(self._compressor.flush())


class _TarWriter:
    """A tar of the POSIX format: names of any length and character are in pax headers."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self._size = self._written = 0

    def begin(self, member: Member) -> None:
        info = tarfile.TarInfo(member.name)
        info.size, info.mode, info.mtime = (
            member.size,
            _MODE,
            int(_parse_time(member.modified).timestamp()),
        )
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
        self._size = member.size

    def write(self, data: bytes) -> None:
        self._write(data)

    def end(self) -> None:
        self._write(b"\0" * (-self._size % tarfile.BLOCKSIZE))

    def close(self) -> None:
        self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._write(b"\0" * (-self._written % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self._sink.write(data)
        self._written += len(data)


class _ZipWriter:
    """A zip archive without seeking; ZIP64 where sizes or numbers need it."""

    def __init__(self, sink: ByteSink, level: int, folder: Path) -> None:
        self._level = level
        with translate_os_errors(folder):
            self._directory = _SpilledDirectory(folder)
        self._zip = zipfile.ZipFile(cast("IO[bytes]", _NotSeekable(sink)), "w")
        # zipfile keeps an entry of each member until the end: a gigabyte for a million
        self._zip.filelist = self._directory  # type: ignore[assignment]
        self._zip.NameToInfo = _Nothing()
        self._file: Optional[IO[bytes]] = None

    def __enter__(self) -> _ZipWriter:
        return self

    def __exit__(self, *failure: object) -> None:
        self._directory.close()
        if failure[0] is not None:
            self._zip.fp = None  # else the collected object would write its end

    def begin(self, member: Member) -> None:
        info = zipfile.ZipInfo(member.name, _zip_time(member.modified))
        info.create_system = _UNIX
        info.external_attr = (_REGULAR_FILE | _MODE) << 16
        info.compress_type = zipfile.ZIP_DEFLATED if self._level else zipfile.ZIP_STORED
        info.file_size = member.size
        self._file = self._zip.open(info, "w", force_zip64=member.size > _LARGE)
        if self._level:  # instead of zlib's own, in one thread
            self._file._compressor = open_deflater(self._level, member.size)  # type: ignore[attr-defined]  # noqa: SLF001 - zipfile takes no other

    def write(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)

    def end(self) -> None:
        if self._file is not None:
            self._file.close()

    def close(self) -> None:
        self._zip.close()


class _NotSeekable:
    """A file object that only writes; zipfile then puts sizes behind each member."""

    def __init__(self, sink: ByteSink) -> None:
        self.write = sink.write

    def flush(self) -> None:
        """Does nothing."""


class _Nothing(dict[str, Any]):
    """A dict that keeps nothing."""

    def __setitem__(self, key: str, value: Any) -> None:
        pass


class _SpilledDirectory:
    """The entries of a zip's central directory, on disk: zipfile's ``filelist``."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the archive
        self._pickler = pickle.Pickler(self._file, pickle.HIGHEST_PROTOCOL)
        self._count = 0

    def append(self, info: zipfile.ZipInfo) -> None:
        with translate_os_errors(tempfile.gettempdir()):
            self._pickler.dump(info)
        self._pickler.clear_memo()
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        self._file.seek(0)
        for _ in range(self._count):
            yield pickle.load(self._file)  # noqa: S301 - written above, to a file without a name

    def close(self) -> None:
        self._file.close()


def _parse_time(modified: str) -> datetime:
    """Returns the moment of a time in the format of S3; 1970 if it is unknown."""
    text = modified.removesuffix("Z")
    moment = datetime.fromisoformat(text) if text else datetime(1970, 1, 1)  # noqa: DTZ001 - UTC is set below
    return moment.replace(tzinfo=timezone.utc)


def _zip_time(modified: str) -> tuple[int, int, int, int, int, int]:
    at = _parse_time(modified)
    moment = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    return min(max(moment, _ZIP_EPOCH), _ZIP_LAST)
