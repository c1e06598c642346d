"""Reads zip archives in S3 by ranges: the central directory first, entry by entry.

zipfile would hold every entry, a gigabyte for a million; it only finds the central directory here.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions.archive_reading import PackedArchive, PackedMember, name_unix_type
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.decompression import DecompressionBounds, decompress_blocks

if TYPE_CHECKING:
    from rolerunner.errors import IntegrityFailed

_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_CODECS = {
    zipfile.ZIP_STORED: None,
    zipfile.ZIP_DEFLATED: "deflate",
    zipfile.ZIP_BZIP2: "bz2",
    93: "zstd",
}
"""Method -> codec (APPNOTE 4.4.5)."""
_ENCRYPTED, _UTF8 = 0x1, 0x800
_ZIP64_EXTRA, _LIMIT_32 = 1, 0xFFFFFFFF
_UNIX = 3
_COUNT_LIMIT = 1 << 16
"""Writers that do not know ZIP64 count the members modulo this."""
_WINDOW = 4 << 20
"""Bytes that one request reads ahead."""
_DIRECTORY_WINDOW = 1 << 20


@dataclass(frozen=True)
class _Entry:
    """An entry of the central directory; ``start`` is where its local header begins."""

    name: str
    raw_name: bytes
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    start: int
    time: tuple[int, int]
    mode: int


def read_zip(
    archive: PackedArchive, bounds: DecompressionBounds
) -> Generator[PackedMember, None, None]:
    """Yields the members of a zip archive. Raises IntegrityFailed."""
    reader = _ZipReader(archive, bounds)
    for entry in reader.entries():
        bounds.subject = f"the member {entry.name!r} of {archive.uri}"
        if entry.name.endswith("/") and not entry.size:
            continue
        yield PackedMember(
            entry.name,
            entry.size,
            _format_time(*entry.time),
            reader.read(entry),
            name_unix_type(entry.mode),
        )


class _ZipReader:
    """Reads entries and their content."""

    def __init__(self, archive: PackedArchive, bounds: DecompressionBounds) -> None:
        self._archive = archive
        self._bounds = bounds
        self._data = _Window(archive, _WINDOW)
        self._shift = 0
        """Bytes before the archive, such as the program of a self-extracting one."""
        bounds.add_input(archive.info.size)

    def entries(self) -> Iterator[_Entry]:
        """Yields the entries of the central directory."""
        count, size, start = self._find_directory()
        directory = _Window(self._archive, _DIRECTORY_WINDOW)
        at, end = start, start + size
        found = 0
        while at < end:
            fixed = directory.read(at, _ENTRY.size)
            if at + _ENTRY.size > end or fixed[:4] != zipfile.stringCentralDir:  # type: ignore[attr-defined]
                raise self._describe_damage("its central directory is damaged")
            values = _ENTRY.unpack(fixed)
            name_size, extra_size, comment_size = values[12:15]
            rest = directory.read(at + _ENTRY.size, name_size + extra_size)
            if len(rest) != name_size + extra_size:
                raise self._describe_damage("its central directory is cut short")
            yield self._parse(values, rest[:name_size], rest[name_size:])
            at += _ENTRY.size + name_size + extra_size + comment_size
            found += 1
        if at != end or (found - count) % _COUNT_LIMIT:
            self._bounds.subject = str(self._archive.uri)
            raise self._describe_damage(
                f"its central directory has {found:,} entries, and claims {count:,}"
            )

    def read(self, entry: _Entry) -> Iterator[bytes]:
        """Yields the content of an entry; its size and checksum are verified."""
        codec = self._check(entry)
        packed = self._data.iterate(self._find_content(entry), entry.packed)
        bounds = DecompressionBounds(self._bounds.subject, max_ratio=None)
        blocks = packed if codec is None else decompress_blocks(packed, codec, bounds)
        crc = size = 0
        for block in blocks:
            crc, size = zlib.crc32(block, crc), size + len(block)
            if size > entry.size:
                raise self._describe_damage(
                    f"the member has more than the {entry.size:,} bytes it claims"
                )
            self._bounds.add_output(len(block))
            yield block
        if size != entry.size:
            raise self._describe_damage(f"the member has {size:,} bytes, and claims {entry.size:,}")
        if crc != entry.crc:
            raise self._describe_damage("the member does not have its checksum")

    def _find_directory(self) -> tuple[int, int, int]:
        """Returns number of entries, size and start of the central directory."""
        try:
            found = zipfile._EndRecData(_TailFile(self._archive))  # type: ignore[attr-defined]  # noqa: SLF001 - parses both forms of the end
        except (OSError, struct.error, zipfile.BadZipFile):
            found = None
        if found is None:
            raise self._describe_damage(
                "it is no zip archive, or cut short: it has no central directory"
            )
        _, _, _, _, count, size, offset, _, _, end = found[:10]
        start = end - size
        if found[0] == zipfile.stringEndArchive64:  # type: ignore[attr-defined]
            start -= zipfile.sizeEndCentDir64 + zipfile.sizeEndCentDir64Locator  # type: ignore[attr-defined]
        self._shift = start - offset
        if start < 0 or self._shift < 0 or count * _ENTRY.size > size:
            raise self._describe_damage("its central directory lies outside of it")
        return count, size, start

    def _parse(self, values: tuple[Any, ...], raw: bytes, extra: bytes) -> _Entry:
        flags, method, time, day, crc = values[5], values[6], values[7], values[8], values[9]
        packed, size, mode, start = values[10], values[11], values[17] >> 16, values[18]
        try:
            name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
            size, packed, start = _read_zip64(extra, size, packed, start)
        except (UnicodeDecodeError, struct.error):
            raise self._describe_damage(f"the entry of {raw!r} is damaged") from None
        unix = mode if values[2] == _UNIX else 0
        return _Entry(
            name, raw, method, flags, crc, packed, size, start + self._shift, (day, time), unix
        )

    def _check(self, entry: _Entry) -> Optional[str]:
        """Returns the codec of an entry. Raises IntegrityFailed for one that cannot be read."""
        if entry.flags & _ENCRYPTED:
            raise self._describe_damage("the member is encrypted, and cannot be read")
        if entry.method not in _CODECS:
            raise self._describe_damage(
                f"the member is compressed by method {entry.method}, not supported"
            )
        return _CODECS[entry.method]

    def _find_content(self, entry: _Entry) -> int:
        """Returns where the content of an entry begins."""
        fixed = self._data.read(entry.start, _LOCAL.size)
        if len(fixed) < _LOCAL.size or fixed[:4] != zipfile.stringFileHeader:  # type: ignore[attr-defined]
            raise self._describe_damage("the member is not where the central directory says")
        name_size, extra_size = _LOCAL.unpack(fixed)[-2:]
        if self._data.read(entry.start + _LOCAL.size, name_size) != entry.raw_name:
            raise self._describe_damage("the member has another name in its own header")
        return int(entry.start + _LOCAL.size + name_size + extra_size)

    def _describe_damage(self, reason: str) -> IntegrityFailed:
        return self._archive.describe_damage(self._bounds, reason)


def _read_zip64(extra: bytes, size: int, packed: int, start: int) -> tuple[int, int, int]:
    """Returns size, compressed size and start, each of 64 bits where the entry has them."""
    wide = b""
    while len(extra) >= 4:  # noqa: PLR2004 - id and length
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64_EXTRA:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    found = []
    for value in (size, packed, start):
        if value == _LIMIT_32 and wide:
            value, wide = struct.unpack_from("<Q", wide)[0], wide[8:]  # noqa: PLW2901
        found.append(value)
    return found[0], found[1], found[2]


def _format_time(day: int, time: int) -> str:
    """Returns a time of MS-DOS in the format of S3."""
    date = f"{(day >> 9) + 1980:04}-{day >> 5 & 15:02}-{day & 31:02}"
    return f"{date}T{time >> 11:02}:{time >> 5 & 63:02}:{(time & 31) * 2:02}Z"


class _Window:
    """Reads ranges of an archive; what is read ahead is kept."""

    def __init__(self, archive: PackedArchive, size: int) -> None:
        self._archive = archive
        self._size = size
        self._start = 0
        self._data = b""

    def read(self, start: int, length: int) -> bytes:
        """Returns a range; less of it at the end of the archive."""
        found = bytearray()
        for block in self.iterate(start, length):
            found += block
        return bytes(found)

    def iterate(self, start: int, length: int) -> Iterator[bytes]:
        """Yields the blocks of a range."""
        end = min(start + length, self._archive.info.size)
        if start < end and length > self._size:
            yield from self._archive.blocks((start, end - start))
            return
        while start < end:
            if not self._start <= start < self._start + len(self._data):
                self._load(start)
            block = self._data[start - self._start : end - self._start]
            start += len(block)
            yield block

    def _load(self, start: int) -> None:
        length = min(self._size, self._archive.info.size - start)
        self._data = b"".join(map(bytes, self._archive.blocks((start, length))))
        self._start = start


class _TailFile(io.RawIOBase):
    """The archive as a file that zipfile looks for its end in."""

    def __init__(self, archive: PackedArchive) -> None:
        super().__init__()
        self._window = _Window(archive, 128 << 10)
        self._length = archive.info.size
        self._at = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self._at, self._length)[whence]
        if at < 0:
            raise OSError("before the beginning")
        self._at = at
        return at

    def read(self, size: int = -1) -> bytes:
        data = self._window.read(self._at, self._length if size < 0 else size)
        self._at += len(data)
        return data
