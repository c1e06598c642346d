"""Compresses and decompresses streams of bytes: gzip, zstd, bz2 and xz.

gzip is written in independent pieces that threads compress, as pigz does, so its bytes depend
neither on the time nor on the number of threads. zstd comes from ``backports.zstd`` (the extra
``zstd``), which is Python 3.14's ``compression.zstd``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import struct
import zlib
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1 << 20
SUFFIXES = {"gzip": ".gz", "zstd": ".zst", "bz2": ".bz2", "xz": ".xz"}
"""The codecs, and the suffix of each."""
DEFAULT_LEVELS = {"gzip": 6, "zstd": 3}
MAX_RATIO = 200
"""Bytes that a byte of compressed data may become by default. Text reaches 5 to 50."""
ZSTD_HINT = "install it with: pip install 'rolerunner[zstd]'"
_PIECE = MIB
"""Bytes of a gzip stream that one thread compresses at a time."""
_WINDOW = 1 << 15
"""Bytes before a piece that it may refer to (RFC 1951)."""
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""No name, no time, an unknown operating system (RFC 1952)."""
_OUTPUT = 1 << 18
"""Bytes that a decoder returns at most at once."""
_HARMLESS = 16 * MIB
"""Bytes of output below which no ratio counts."""
_MAX_MEMORY = 128 * MIB
"""Memory of a decoder: files of ``xz -9`` need 65 MiB, those of ``zstd --ultra -22`` 128 MiB."""


@dataclass(frozen=True)
class Compression:
    """How an object is compressed when it is stored."""

    codec: str
    level: int

    @classmethod
    def of(cls, codec: str, level: Optional[int] = None) -> Compression:
        """Returns the compression with the codec's usual level unless another one is given."""
        return cls(codec, DEFAULT_LEVELS[codec] if level is None else level)

    def bound(self, size: int) -> int:
        """Returns the bytes that ``size`` bytes become at most."""
        return size + (size >> 8) + 4096


@dataclass(frozen=True)
class Decompression:
    """How an object is decompressed; an empty codec stands for that of its Content-Encoding."""

    codec: str
    max_bytes: Optional[int] = None
    max_ratio: Optional[int] = MAX_RATIO

    def find_codec(self, encoding: str) -> str:
        """Returns the codec of an object with this Content-Encoding; empty for none."""
        return self.codec or (encoding if encoding in DEFAULT_LEVELS else "")

    def bounds(self, subject: str) -> DecompressionBounds:
        """Returns the bounds of one object."""
        return DecompressionBounds(subject, self.max_bytes, self.max_ratio)


class Compressor(Protocol):
    """Compresses bytes as they come."""

    def compress(self, data: Any, /) -> bytes:
        """Adds the next bytes; returns what is ready."""

    def flush(self) -> bytes:
        """Ends the stream; returns the rest."""


def open_compressor(compression: Compression, *, in_threads: bool = True) -> Compressor:
    """Returns a compressor. Raises StepError if zstd is not installed."""
    if compression.codec == "gzip":
        return _GzipCompressor(compression.level, in_threads=in_threads)
    zstd = _import_zstd()
    parameters = zstd.CompressionParameter
    compressor: Compressor = zstd.ZstdCompressor(
        options={
            parameters.compression_level: compression.level,
            parameters.checksum_flag: 1,
            # with workers, whatever their number, the bytes are the same
            parameters.nb_workers: max(2, min(count_cpus(), 4)) if in_threads else 1,
        }
    )
    return compressor


def compress_bytes(data: Any, compression: Compression) -> bytes:
    """Returns bytes compressed as one stream, in the calling thread."""
    compressor = open_compressor(compression, in_threads=False)
    return compressor.compress(data) + compressor.flush()


def compress_blocks(blocks: Iterable[Any], compression: Compression, size: int) -> Iterator[bytes]:
    """Yields a stream of ``size`` bytes compressed, a large one in several threads."""
    compressor = open_compressor(compression, in_threads=size > _PIECE * 2)
    for block in blocks:
        if ready := compressor.compress(block):
            yield ready
    yield compressor.flush()


def check_installed(codec: Optional[str]) -> None:
    """Raises StepError if a codec's library is not installed."""
    if codec == "zstd":
        _import_zstd()


def count_cpus() -> int:
    """Returns the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _import_zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):  # of Python 3.14, and of the extra zstd
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise StepError(
        "zstd needs the package backports.zstd, which is not installed",
        hint=f"{ZSTD_HINT}; in AWS Glue add backports.zstd to 'requirements' of 'glue'",
        type="MissingPackage",
    )


class _GzipCompressor:
    """Compresses pieces of one gzip member in threads."""

    def __init__(self, level: int, *, in_threads: bool) -> None:
        self._level = level
        self._threads = min(count_cpus(), 4) if in_threads else 0
        self._buffer = bytearray()
        self._window = b""
        self._crc = self._size = 0
        self._pending: deque[Future[bytes]] = deque()
        self._pool: Optional[ThreadPool] = None
        self._header = _GZIP_HEADER

    def compress(self, data: Any) -> bytes:
        """Adds bytes; returns the pieces that are ready, in their order."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._buffer += data
        ready = bytearray(self._take_header())
        while len(self._buffer) >= _PIECE * 2:  # the last piece is never empty
            ready += self._start_piece(bytes(self._buffer[:_PIECE]))
            del self._buffer[:_PIECE]
        return bytes(ready)

    def flush(self) -> bytes:
        """Compresses what is left, and ends the member."""
        rest = bytes(self._buffer)
        ready = bytearray(self._take_header())
        if len(rest) > _PIECE:
            ready += self._start_piece(rest[:_PIECE])
            rest = rest[_PIECE:]
        last = _deflate(rest, self._level, self._window, zlib.Z_FINISH)
        ready += b"".join(each.result() for each in self._pending)
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown()
        return bytes(ready + last + struct.pack("<LL", self._crc, self._size & 0xFFFFFFFF))

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header

    def _start_piece(self, piece: bytes) -> bytes:
        """Starts a piece in a thread; returns an earlier one once enough of them are waiting."""
        window, self._window = self._window, piece[-_WINDOW:]
        if not self._threads:
            return _deflate(piece, self._level, window, zlib.Z_SYNC_FLUSH)
        if self._pool is None:
            self._pool = ThreadPool(self._threads, thread_name_prefix="rolerunner-gzip")
        self._pending.append(
            self._pool.submit(_deflate, piece, self._level, window, zlib.Z_SYNC_FLUSH)
        )
        return self._pending.popleft().result() if len(self._pending) > self._threads + 1 else b""

    def __del__(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _deflate(piece: bytes, level: int, window: bytes, end: int) -> bytes:
    """Compresses a piece that may refer to the bytes before it."""
    options = (level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY)
    compressor = zlib.compressobj(*options, window) if window else zlib.compressobj(*options)
    return compressor.compress(piece) + compressor.flush(end)


# decompression


class DecompressionBounds:
    """Bounds of what a stream may become, and counts of what it has become."""

    def __init__(
        self,
        subject: str,
        max_bytes: Optional[int] = None,
        max_ratio: Optional[int] = MAX_RATIO,
    ) -> None:
        """``subject`` names the stream in errors; it may be changed on the way."""
        self.subject = subject
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self.read = self.produced = 0

    def add_input(self, count: int) -> None:
        """Counts compressed bytes."""
        self.read += count

    def add_output(self, count: int) -> None:
        """Counts decompressed bytes. Raises IntegrityFailed if there are too many."""
        self.produced += count
        if self._max_bytes is not None and self.produced > self._max_bytes:
            raise IntegrityFailed(
                f"{self.subject}: has more than {self._max_bytes:,} bytes when decompressed,"
                " which 'max_bytes' allows",
                hint="raise 'max_bytes' if the content is what you expect",
                type="TooLarge",
            )
        ratio = self._max_ratio
        if ratio is not None and self.produced > max(_HARMLESS, self.read * ratio):
            raise IntegrityFailed(
                f"{self.subject}: {self.read:,} compressed bytes became more than"
                f" {self.read * ratio:,}, which is {ratio:,} times as many",
                hint="raise 'max_ratio' if the content is what you expect",
                type="TooLarge",
            )


class _Decoder(Protocol):
    """The interface of bz2's, lzma's and zstd's decompressors."""

    @property
    def eof(self) -> bool:
        """True at the end of a member."""

    @property
    def needs_input(self) -> bool:
        """True if more output needs more input."""

    @property
    def unused_data(self) -> bytes:
        """Returns the bytes behind the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Adds bytes; returns at most ``max_length`` bytes of output."""


class _Inflater:
    """zlib's decompressor of one stream, with the interface of bz2's."""

    def __init__(self, window_bits: int) -> None:
        self._inflater = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)
        self.needs_input = not self._inflater.unconsumed_tail and len(found) < max_length
        return found


def _open_decoder(codec: str) -> _Decoder:
    if codec == "gzip":
        return _Inflater(16 + zlib.MAX_WBITS)
    if codec == "deflate":  # without a header, as in zip archives
        return _Inflater(-zlib.MAX_WBITS)
    if codec == "bz2":
        import bz2  # noqa: PLC0415 - few need it

        return bz2.BZ2Decompressor()
    if codec == "xz":
        import lzma  # noqa: PLC0415 - few need it

        return lzma.LZMADecompressor(memlimit=_MAX_MEMORY)
    zstd = _import_zstd()
    decoder: _Decoder = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _MAX_MEMORY.bit_length() - 1}
    )
    return decoder


def decompress_blocks(
    blocks: Iterable[Any], codec: str, bounds: DecompressionBounds
) -> Iterator[bytes]:
    """Yields a stream decompressed; members that follow one another are one content.

    Raises IntegrityFailed for a stream that is damaged, cut short, followed by something else, or
    larger than the bounds allow.
    """
    decoder: Optional[_Decoder] = None
    count = 0
    for block in blocks:
        bounds.add_input(len(block))
        data = bytes(block)
        while data or not (decoder is None or decoder.needs_input):
            if decoder is None:
                data = data.lstrip(b"\0") if count else data  # padding, as tapes have it
                if not data:
                    break
                decoder, count = _open_decoder(codec), count + 1
            found = _decode(decoder, data, codec, bounds, is_first=count == 1)
            if found:
                bounds.add_output(len(found))
                yield found
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
    if decoder is not None or not count:
        reason = "it is cut short" if bounds.read else "it is empty"
        raise _damaged_error(bounds, codec, reason)


def _decode(
    decoder: _Decoder, data: bytes, codec: str, bounds: DecompressionBounds, *, is_first: bool
) -> bytes:
    try:
        return decoder.decompress(data, _OUTPUT)
    except (MemoryError, StepError):
        raise
    except Exception as error:  # noqa: BLE001 - zlib.error, OSError, LZMAError, ZstdError: one a library
        reason = str(error) if is_first else f"other data follows it ({error})"
        raise _damaged_error(bounds, codec, reason) from None


def _damaged_error(bounds: DecompressionBounds, codec: str, reason: str) -> IntegrityFailed:
    return IntegrityFailed(
        f"{bounds.subject}: cannot be decompressed as {codec}: {reason}",
        hint="check that the object is complete and compressed as its name says",
        type="NotGzip" if codec == "gzip" else "NotCompressed",
    )
